"""Synthetic meetings with exact references, from Debian's flite and festival voices.

    python -m benchmarks.meetings --seed 7 --voices 4 --minutes 3 --out meeting
    python -m benchmarks.meetings --script benchmarks/meetings/standup.txt --out meeting

writes `meeting.flac` and its reference: `meeting.json` (our transcript form, with the word
times that the synthesizers lay out), `.rttm`, `.stm` and `.seglst.json`. The same arguments
give the same samples. Memory is bounded: sounds are on disk and are mixed in blocks.
"""
