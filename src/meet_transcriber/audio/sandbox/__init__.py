"""Decodes each recording in a confined child process, so FFmpeg never runs in ours.

client.py       the service's side: gets a child, serves it the media, and checks its replies
forkserver.py   forks a child per recording, which confines itself, decodes and replies
confinement.py  resource limits and the system call filter
protocol.py     frames between both sides, and media read through them
"""

import os
import socket


def is_supported() -> bool:
    """Return whether the system can fork and pass file descriptors; Windows cannot."""
    return hasattr(os, "fork") and hasattr(socket, "send_fds")
