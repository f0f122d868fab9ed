"""
The process that pocketsphinx runs in; stdlib and pocketsphinx only, so that it starts quickly.

    python -P sphinx_child.py LANGUAGE_WEIGHT

Reads utterances from stdin, each as a length in 4 bytes and 16-bit samples at 16 kHz. Answers
each with a line of JSON: [[word, first frame, last frame, probability], ...], or {"error": ...}.
Ends when stdin does.
"""

import json
import struct
import sys
from contextlib import suppress
from typing import Any

LENGTH = struct.Struct("<I")


def main() -> None:
    """Listen until nobody asks any more."""
    import pocketsphinx  # noqa: PLC0415 - whoever reads LENGTH needs no engine

    decoder = pocketsphinx.Decoder(loglevel="FATAL", lw=float(sys.argv[1]))
    requests, answers = sys.stdin.buffer, sys.stdout.buffer
    while len(head := requests.read(LENGTH.size)) == LENGTH.size:
        pcm = requests.read(LENGTH.unpack(head)[0])
        answers.write(json.dumps(_answer(decoder, pcm)).encode() + b"\n")
        answers.flush()


def _answer(decoder: Any, pcm: bytes) -> object:
    try:
        decoder.start_utt()
        decoder.process_raw(pcm, False, True)
        decoder.end_utt()
        found = list(decoder.seg() or ()) if decoder.hyp() else []
    except RuntimeError as error:
        return {"error": str(error)}
    exp = decoder.get_logmath().exp
    return [
        (item.word, item.start_frame, item.end_frame, min(float(exp(item.prob)), 1.0))
        for item in found
    ]


if __name__ == "__main__":
    with suppress(BrokenPipeError, KeyboardInterrupt):  # whoever asked is gone
        main()
