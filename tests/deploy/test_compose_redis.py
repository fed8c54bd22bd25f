"""The Compose example with Redis: the overlay fits the file that it is laid on, and a real Redis, started as
it says with the password that ./setup made, counts for a gateway that is started as it says.
"""

import http.client
import json
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

import dockerfile
from check import ROOT, secret_file
from compose_file import env_file, load
from conftest import BIN_DIR
from started import WITHIN, serving

FOLDER = ROOT / "deploy/compose"
FILE, OVERLAY = FOLDER / "compose.yaml", FOLDER / "redis.yaml"
# tests/e2e/mint.mjs makes cookies under this secret.
SECRET = "e2e-secret-0-7c1d5a9be24f8036-not-for-production"


@pytest.fixture(scope="module")
def whole() -> dict:
    return load(FILE, env_file(FOLDER / ".env.example"), OVERLAY)


@pytest.fixture
def secrets(tmp_path) -> Path:
    """Made by ./setup."""
    for name in ("setup", ".env.example"):
        shutil.copy(FOLDER / name, tmp_path)
    subprocess.run([tmp_path / "setup"], check=True, timeout=20)
    return tmp_path / "secrets"


def test_it_follows_the_compose_specification():
    done = subprocess.run(
        [sys.executable, "-m", "check_jsonschema", "--builtin-schema", "vendor.compose-spec", str(OVERLAY)],
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_redis_has_no_more_than_it_needs_and_nobody_else_its_secret(whole):
    services = whole["services"]
    redis = services["redis"]
    assert redis["cap_drop"] == ["ALL"] and redis["security_opt"] == ["no-new-privileges:true"] and redis["read_only"]
    assert not {"ports", "privileged", "network_mode", "environment"} & set(redis)
    user, group = redis["user"].split(":")
    assert int(user) and int(group)
    (volume,) = redis["volumes"]
    name, at = volume.split(":")
    assert name in whole["volumes"] and redis["command"][redis["command"].index("--dir") + 1] == at
    holders = {name: service.get("secrets", []) for name, service in services.items()}
    assert [name for name in holders if "redis_url" in holders[name]] == ["gateway"]
    assert [name for name in holders if "redis_acl" in holders[name]] == ["redis"]
    assert services["gateway"]["depends_on"]["redis"] == {"condition": "service_healthy"}
    assert redis["healthcheck"]["test"] == ["CMD", "redis-cli", "-e", "ping"]
    # What the overlay is laid on stays as it was.
    assert services["gateway"]["volumes"] == [f"gateway-state:{dockerfile.STATE}"]


def test_it_counts_for_the_gateway(whole, secrets, tmp_path):
    with redis_server(whole["services"]["redis"], secrets, tmp_path) as (port, ask), emulator() as behest:
        env = {
            **whole["services"]["gateway"]["environment"],
            "BEHEST_BASE_URL": behest,
            "AUTH_SECRET_FILE": str(secret_file(tmp_path / "app", "auth_secret", SECRET)),
            "GATEWAY_BUDGETS__DEFAULT__REQUESTS_PER_DAY": "1",
        }
        url = (secrets / "redis_url").read_text().strip()
        assert url.endswith("@redis:6379/0") and "redis" in whole["services"]
        there = secret_file(tmp_path, "redis_url", url.replace("@redis:6379", f"@127.0.0.1:{port}"))
        assert env["GATEWAY_STORE__URL_FILE"] == "/run/secrets/redis_url"
        env["GATEWAY_STORE__URL_FILE"] = str(there)
        headers = {"Cookie": cookie(), "Content-Type": "application/json", "Origin": env["GATEWAY_PUBLIC_ORIGIN"]}
        # One gateway after the other: what the second knows of the first is in Redis.
        for status in (200, 402):
            with serving(env) as at:
                until_it_has_a_store(at["admin"])
                assert post(at["listen"], "/v1/chat/completions", headers)[0] == status
        # Nobody gets at it without the password, and only to ask whether it is there.
        assert ask("ping") == (0, "PONG")
        assert ask("keys", "*")[0] != 0 and ask("get", "behest:probe")[0] != 0
        password = url.split(":")[2].split("@")[0]
        assert ask("--user", "gateway", "--pass", password, "--no-auth-warning", "get", "elsewhere")[0] != 0


@contextmanager
def redis_server(service: dict, secrets: Path, folder: Path) -> Iterator[tuple]:
    """As its command says, with the folders of the test; its port, and a way to ask it as its health check does."""
    data = folder / "data"
    data.mkdir()
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [text.replace("/run/secrets", str(secrets)) for text in service["command"]]
    command = [str(data) if text == "/data" else text for text in command]
    server = subprocess.Popen(
        [*command, "--bind", "127.0.0.1", "--port", str(port)], stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL
    )

    def ask(*words: str) -> tuple[int, str]:
        health = service["healthcheck"]["test"][1:-1]
        done = subprocess.run(
            [*health, "-h", "127.0.0.1", "-p", str(port), *words], capture_output=True, text=True, timeout=20
        )
        return done.returncode, done.stdout.strip()

    try:
        eventually(lambda: ask("ping")[0] == 0, "Redis answers")
        yield port, ask
    finally:
        server.terminate()
        server.wait()


@contextmanager
def emulator() -> Iterator[str]:
    child = subprocess.Popen(
        [BIN_DIR / "behest-emulator", "--listen", "127.0.0.1:0"], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True
    )
    try:
        yield child.stdout.readline().rpartition(" ")[2].strip()
    finally:
        child.kill()
        child.wait()
        child.stdout.close()


def until_it_has_a_store(admin: str) -> None:
    eventually(lambda: "behest_gateway_store_up 1" in get(admin, "/metrics"), "the gateway reaches Redis")


def eventually(holds, what: str) -> None:
    end = time.monotonic() + WITHIN
    while not holds():
        assert time.monotonic() < end, f"not within {WITHIN} s: {what}"
        time.sleep(0.05)


def get(address: str, path: str) -> str:
    connection = http.client.HTTPConnection(address, timeout=20)
    connection.request("GET", path)
    return connection.getresponse().read().decode()


def post(address: str, path: str, headers: dict[str, str]) -> tuple[int, str]:
    connection = http.client.HTTPConnection(address, timeout=20)
    body = {"model": "gpt-4o-mini", "messages": [{"role": "user", "content": "hello"}]}
    connection.request("POST", path, json.dumps(body), headers)
    answer = connection.getresponse()
    return answer.status, answer.read().decode()


def cookie() -> str:
    command = ["node", "mint.mjs", '{"sub":"usr_ada","tier":"pro","sid":"sess_ada"}']
    done = subprocess.run(command, cwd=ROOT / "tests/e2e", check=True, capture_output=True, text=True)
    return done.stdout.removeprefix("Cookie: ")
