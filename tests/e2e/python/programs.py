"""Starts the project's programs for a test and ends them again, by process id and never by name."""

import os
import socket
import subprocess
import tempfile
import time
import urllib.request
from pathlib import Path

ROOT = Path(__file__).resolve().parents[3]
BIN_DIR = ROOT / os.environ.get("BIN_DIR", "target/debug")
READY_WITHIN = 20.0


def free_port() -> int:
    """A loopback port that was free a moment ago."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def until(what: str, question, limit: float = 5.0, every: float = 0.005):
    """Asks until the answer is true, and gives it; fails with `what` after `limit` seconds."""
    end = time.monotonic() + limit
    while True:
        answer = question()
        if answer:
            return answer
        if time.monotonic() > end:
            raise AssertionError(f"{what}: not within {limit} s")
        time.sleep(every)


class Program:
    """A running program with only the environment that it is given."""

    def __init__(self, name: str, args: list[str], env: dict[str, str], ready_url: str):
        self.log = tempfile.TemporaryFile("w+")
        self.child = subprocess.Popen(
            [BIN_DIR / name, *args],
            env={"PATH": os.environ["PATH"], **env},
            stdin=subprocess.DEVNULL,
            stdout=self.log,
            stderr=self.log,
        )
        try:
            until(f"{name} answers at {ready_url}", lambda: self._answers(ready_url), READY_WITHIN, 0.02)
        except BaseException as error:
            self.stop()
            raise RuntimeError(f"{name} did not start:\n{self.output()}") from error

    def _answers(self, url: str) -> bool:
        if self.child.poll() is not None:
            raise RuntimeError(f"it ended with {self.child.returncode}")
        try:
            with urllib.request.urlopen(url, timeout=2) as answer:
                return answer.status == 200
        except OSError:
            return False

    def output(self) -> str:
        self.log.seek(0)
        return self.log.read()

    def stop(self) -> None:
        if self.child.poll() is None:
            self.child.terminate()
        try:
            self.child.wait(5)
        except subprocess.TimeoutExpired:
            self.child.kill()
            self.child.wait()


def started(arrange, tries: int = 3) -> Program:
    """Starts what `arrange` says, on new ports when another process took one of the first."""
    for attempt in range(1, tries + 1):
        try:
            return Program(*arrange())
        except RuntimeError as error:
            if attempt == tries or "in use" not in str(error):
                raise
    raise AssertionError("unreachable")
