"""Synthetic meetings with exact references, from Debian's flite and festival voices.

    python -m benchmarks.meetings --seed 7 --voices 4 --minutes 3 --out meeting
    python -m benchmarks.meetings --script benchmarks/meetings/standup.txt --out meeting

writes `meeting.flac`, `meeting.json` (our transcript form: words, speakers, times) and
`meeting.rttm`. The same arguments give the same samples.
"""
