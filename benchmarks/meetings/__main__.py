"""Write a synthetic meeting; see the package's docstring."""

import argparse
import json
from pathlib import Path

import soundfile

from benchmarks.meetings.generate import Meeting, from_script, from_seed
from meet_transcriber.core.formats import EXPORTERS, export
from meet_transcriber.core.serialization import to_plain
from meet_transcriber.ports.engines import SAMPLE_RATE_HZ


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.meetings", description=__doc__)
    parser.add_argument("--out", type=Path, required=True, help="path without its ending")
    parser.add_argument("--script", type=Path, help="a written meeting instead of a made-up one")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--minutes", type=float, default=3.0)
    parser.add_argument("--voices", type=int, default=4)
    parser.add_argument("--similar", action="store_true", help="two voices sound alike")
    parser.add_argument("--quiet-share", type=float, help="share of turns of one quiet speaker")
    parser.add_argument("--format", choices=("flac", "ogg"), default="flac")
    args = parser.parse_args()
    if args.script:
        meeting = from_script(args.script, args.seed)
    else:
        meeting = from_seed(args.seed, args.minutes, args.voices, args.similar, args.quiet_share)
    write(meeting, args.out, args.format)


def write(meeting: Meeting, out: Path, ending: str) -> None:
    """Write the audio and its reference: our JSON, RTTM, STM and SegLST."""
    subtype = "OPUS" if ending == "ogg" else "PCM_16"
    with soundfile.SoundFile(
        out.with_suffix(f".{ending}"), "w", SAMPLE_RATE_HZ, 1, subtype=subtype
    ) as file:
        for block in meeting.blocks():
            # libsndfile's Opus needs small writes.
            for start in range(0, len(block), SAMPLE_RATE_HZ):
                file.write(block[start : start + SAMPLE_RATE_HZ])
    transcript = meeting.reference
    out.with_suffix(".json").write_text(json.dumps(to_plain(transcript), indent=1) + "\n")
    for form in ("rttm", "stm", "seglst"):
        out.with_suffix(f".{EXPORTERS[form].extension}").write_bytes(export(transcript, form))


if __name__ == "__main__":
    main()
