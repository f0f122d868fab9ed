"""Time from the API's start to its first response: `python -m benchmarks.cold_start`."""

import os
import socket
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.request
from urllib.error import URLError

RUNS = 5


def start_seconds(folder: str) -> float:
    """Seconds from starting the process until /health responds, with files in the page cache."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    settings = {"DATA_DIR": folder, "EMBEDDED_WORKER": "off"}
    command = [sys.executable, "-m", "meet_transcriber", "serve", "--port", str(port)]
    begun = time.perf_counter()
    with subprocess.Popen(
        command, env={**os.environ, **settings}, stderr=subprocess.DEVNULL
    ) as process:
        try:
            while not _answers(port):
                time.sleep(0.005)
            return time.perf_counter() - begun
        finally:
            process.terminate()


def _answers(port: int) -> bool:
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/health", timeout=5) as answer:
            return bool(answer.status == 200)
    except URLError:
        return False


def main() -> None:
    """Print the median and the range."""
    with tempfile.TemporaryDirectory() as folder:
        start_seconds(folder)
        times = sorted(start_seconds(folder) for _ in range(RUNS))
    print(
        f"The API answers {statistics.median(times):.2f} s after its start "
        f"({times[0]:.2f} to {times[-1]:.2f} s in {RUNS} runs)."
    )


if __name__ == "__main__":
    main()
