"""
WhisperX on one recording, as JSON; for `benchmarks.recognition`, in WhisperX's own environment.

    python -m benchmarks.whisperx_run RECORDING MODEL [--device cpu] [--batch-size 8] [--threads 4]

Written for WhisperX 3.8.6, which includes its voice activity detection. Its alignment needs another
network and is omitted, so these are seconds to sentences, not to timed words. Needs the program
ffmpeg. The last line of the output is the result.
"""

import argparse
import importlib
import json
import time
from typing import Any


def main() -> None:
    """Print seconds by stage and the text."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("recording")
    parser.add_argument("model", help="a folder in CTranslate2's format")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--batch-size", type=int, default=8)
    parser.add_argument("--threads", type=int, default=4)
    args = parser.parse_args()
    library: Any = importlib.import_module("whisperx")  # not in the environment of this project
    model = library.load_model(
        args.model,
        args.device,
        compute_type="int8" if args.device == "cpu" else "float16",
        language="en",
        threads=args.threads,
    )
    started = time.perf_counter()
    audio = library.load_audio(args.recording)
    decoded = time.perf_counter()
    found = model.transcribe(audio, batch_size=args.batch_size, language="en")
    ended = time.perf_counter()
    seconds = {"decode": decoded - started, "transcribe": ended - decoded}
    text = " ".join(segment["text"] for segment in found["segments"])
    print(json.dumps({"seconds": seconds, "text": text}))


if __name__ == "__main__":
    main()
