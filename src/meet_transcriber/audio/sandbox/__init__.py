"""Decodes each recording in a confined child process, so FFmpeg never runs in ours.

client.py       an AudioDecoder that sends a request to a child, serves it the media and waits
pool.py         starts the fork server and gets children from it
forkserver.py   forks a child per recording, which confines itself, decodes and replies
confinement.py  resource limits and the system call filter
protocol.py     frames between both sides, media read through them, and checks of replies
"""

import os
import socket


def is_supported() -> bool:
    """Return whether the system can fork and pass file descriptors; Windows cannot."""
    return hasattr(os, "fork") and hasattr(socket, "send_fds")
