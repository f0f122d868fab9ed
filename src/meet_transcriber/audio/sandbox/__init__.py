"""Decoding in a process of its own: whatever a recording does to FFmpeg, it does it in there.

decoder.py   our side of it: an AudioDecoder that orders, serves, waits, and kills
nursery.py   the process from which a child is forked for each recording
template.py  that process: warm, single-threaded, without our secrets
child.py     what a child does: confine itself, decode, answer
limits.py, seccomp.py   memory, computing time, files; what the kernel still does for it
channel.py, served.py, answers.py   what goes between them: frames, media, plain results
"""

import os
import socket


def is_supported() -> bool:
    """Whether this system can fork, and hand open files over; Windows cannot."""
    return hasattr(os, "fork") and hasattr(socket, "send_fds")
