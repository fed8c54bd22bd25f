"""Gateway and emulator for the Python SDK's tests, and cookies made by the real @auth/core."""

import json
import secrets
import subprocess
import urllib.request
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from programs import Program, free_port, started

HERE = Path(__file__).resolve().parent
SECRET = "e2e-secret-0-7c1d5a9be24f8036-not-for-production"
KEY = f"behest_sk_live_{secrets.token_hex(16)}"


@dataclass
class Stack:
    """Where the gateway is, and the emulator's control paths."""

    base_url: str
    emulator: str

    def control(self, method: str, path: str, body: object = None):
        request = urllib.request.Request(
            f"{self.emulator}/__emulator/{path}",
            method=method,
            data=None if body is None else json.dumps(body).encode(),
            headers={"content-type": "application/json"},
        )
        with urllib.request.urlopen(request, timeout=5) as answer:
            text = answer.read()
        return json.loads(text) if text else None

    def fault(self, action: dict, on: str = "data", times: int | None = 1) -> None:
        self.control("POST", "faults", {"on": on, "times": times, "action": action})

    def calls(self) -> list[dict]:
        """What reached Behest with a user's token, oldest first."""
        seen = self.control("GET", "requests")["requests"]
        return [call for call in seen if "/auth/" not in call["target"]]

    def stats(self) -> dict:
        return self.control("GET", "stats")

    def disconnects(self) -> int:
        return self.stats()["disconnects"]


def headers_of(call: dict) -> dict[str, str]:
    names = [name for name, _ in call["headers"]]
    assert len(names) == len(set(names)), "no header came twice"
    return dict(call["headers"])


@pytest.fixture(scope="session")
def programs() -> Iterator[Stack]:
    running: list[Program] = []
    where: dict[str, str] = {}

    def emulator():
        where["emulator"] = f"http://127.0.0.1:{free_port()}"
        args = ["--listen", where["emulator"].removeprefix("http://"), "--key", KEY, "--frame-delay", "10ms"]
        return "behest-emulator", args, {}, f"{where['emulator']}/.well-known/jwks.json"

    def gateway():
        listen, admin = f"127.0.0.1:{free_port()}", f"127.0.0.1:{free_port()}"
        where["gateway"] = f"http://{listen}"
        env = {
            "BEHEST_KEY": KEY,
            "BEHEST_BASE_URL": where["emulator"],
            "AUTH_SECRET": SECRET,
            "GATEWAY_LISTEN": listen,
            "GATEWAY_ADMIN_LISTEN": admin,
        }
        return "behest-gateway", [], env, f"http://{admin}/readyz"

    try:
        for arrange in (emulator, gateway):
            running.append(started(arrange))
        yield Stack(f"{where['gateway']}/v1", where["emulator"])
    finally:
        for program in reversed(running):
            program.stop()


@pytest.fixture
def stack(programs: Stack) -> Iterator[Stack]:
    """The chain, with nothing seen yet and no fault waiting; nothing may break the contract."""
    programs.control("POST", "reset")
    yield programs
    assert programs.stats()["violations"] == []


@pytest.fixture(scope="session")
def cookie() -> Callable[..., str]:
    """A Cookie header for these claims, by the real library."""

    def mint(max_age: int | None = None, **claims) -> str:
        args = ["node", "mint.mjs", json.dumps(claims)] + ([] if max_age is None else [str(max_age)])
        return subprocess.run(args, cwd=HERE.parent, check=True, capture_output=True, text=True).stdout

    return mint


@pytest.fixture(scope="session")
def ada(cookie) -> str:
    return cookie(sub="usr_ada", tier="pro", sid="sess_ada")
