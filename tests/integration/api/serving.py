"""The API as a process: `python -m tests.integration.api.serving FOLDER MEBIBYTES [KEY]`."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import uvicorn
from pydantic import SecretStr

from meet_transcriber.api.app import create_app
from meet_transcriber.auth.encryption import MonocypherSealer
from meet_transcriber.cli.serve import address, listen
from meet_transcriber.service import Policy
from meet_transcriber.settings import Settings
from tests.unit.api.service_fixture import make_service

ROOT = Path(__file__).parents[3]
PATIENCE_SECONDS = 30.0
SECRET = b"what voices are sealed with here"


class Server:
    """A child process and its address; ended by its id."""

    def __init__(self, *command: str, env: dict[str, str] | None = None) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-m", *command],
            stderr=subprocess.PIPE,
            text=True,
            cwd=ROOT,
            env={**os.environ, **(env or {})},
        )
        self.url = self._address()

    def _address(self) -> str:
        assert self.process.stderr is not None
        for line in self.process.stderr:
            if "http://" in line:
                return "http://" + line.split("http://")[1].split()[0]
        raise AssertionError("the server did not start")

    def fact(self, name: str) -> int:
        """A figure of /proc/PID/status, such as VmHWM, in KiB."""
        status = Path(f"/proc/{self.process.pid}/status").read_text(encoding="ascii")
        return int(status.split(f"{name}:")[1].split()[0])

    def open_files(self) -> list[str]:
        """What its descriptors point to."""
        found = []
        for link in Path(f"/proc/{self.process.pid}/fd").iterdir():
            with suppress(FileNotFoundError):  # it was closed meanwhile
                found.append(str(link.readlink()))
        return found

    def end(self) -> int:
        """Ask it to end; returns its exit code."""
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
        code = self.process.wait(PATIENCE_SECONDS)
        assert self.process.stderr is not None
        self.process.stderr.close()
        return code


def eventually(fact: Callable[[], bool], seconds: float = PATIENCE_SECONDS) -> bool:
    """Whether something comes true within some seconds."""
    end = time.monotonic() + seconds
    while not fact():
        if time.monotonic() > end:
            return False
        time.sleep(0.05)
    return True


def main(folder: str, mebibytes: str, key: str = "") -> None:
    """Serve a service on `folder` that takes so many MiB, and asks for the key if there is one."""
    rules = Policy(max_upload_bytes=int(mebibytes) << 20, part_seconds=30)
    service = make_service(Path(folder), rules, sealer=MonocypherSealer(SECRET))
    settings = Settings(
        rate_limit="0",
        rate_limit_submit="0",
        rate_limit_failed_auth="0",
        auth_mode="required" if key else "open",
        api_keys=SecretStr(f"all:{key}:submit+read+admin+monitor:,") if key else None,
        data_dir=Path(folder),
    )
    listener = listen("127.0.0.1", 0)
    print(address(listener), file=sys.stderr, flush=True)
    config = uvicorn.Config(create_app(service, settings), log_level="error")
    uvicorn.Server(config).run(sockets=[listener])


if __name__ == "__main__":
    main(*sys.argv[1:])
