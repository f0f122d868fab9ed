"""Decodes each recording in a confined child process, so FFmpeg never runs in ours.

client.py       the service's side: gets a child, serves it the media, and checks its replies
forkserver.py   forks a child per recording, which confines itself, decodes and replies
confinement.py  resource limits and the system call filter
protocol.py     frames between both sides, and media read through them
"""
