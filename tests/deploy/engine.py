"""What a container engine does, as far as the image's tests need it: an empty root, mounted read-only,
a network of its own, a user who is nobody, no capabilities and no new privileges.

usage: unshare [--map-root-user] --mount --net -- python engine.py SPEC < /dev/null

SPEC is JSON (see `image.py`); the findings are printed as JSON. Everything that it starts ends with it.
"""

import contextlib
import ctypes
import fcntl
import http.client
import json
import os
import signal
import socket
import statistics
import struct
import subprocess
import sys
import time
from pathlib import Path

HERE = Path(__file__).resolve().parent
API, ADMIN, BEHEST = 8080, 9090, 8787
READY_WITHIN = 20.0

libc = ctypes.CDLL(None, use_errno=True)
MS_RDONLY, MS_REMOUNT, MS_BIND, MS_REC, MS_PRIVATE = 1, 32, 4096, 16384, 1 << 18
PR_SET_NO_NEW_PRIVS = 38


def loopback_up() -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as any_socket:
        fcntl.ioctl(any_socket, 0x8914, struct.pack("16sh14x", b"lo", 1))  # SIOCSIFFLAGS, IFF_UP


def mount(source: Path, target: Path, flags: int) -> None:
    if libc.mount(os.fsencode(source), os.fsencode(target), None, flags, None) != 0:
        raise OSError(ctypes.get_errno(), f"mount {target}")


def read_only(root: Path) -> None:
    """The tree at `root`, as nobody below can change it. The mount ends with this namespace."""
    mount(Path("none"), Path("/"), MS_REC | MS_PRIVATE)
    mount(root, root, MS_BIND)
    mount(root, root, MS_BIND | MS_REMOUNT | MS_RDONLY)


def confine(root: Path, user: int | None):
    """What happens in the child before the program: there is nothing of the outside left then."""

    def between() -> None:
        libc.prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)
        os.chroot(root)
        os.chdir("/")
        if user is not None:
            os.setgroups([])
            os.setresgid(user, user, user)
            os.setresuid(user, user, user)

    return between


class Container:
    """The image's program, running; `begun` is the moment before the fork."""

    def __init__(
        self, spec: dict, root: Path, behest: str, command: list[str] | None = None, more: dict[str, str] | None = None
    ):
        env = {**spec["env"], "BEHEST_BASE_URL": f"http://{behest}:{BEHEST}", **(more or {})}
        self.log = (Path(spec["logs"]) / f"{root.name}.log").open("ab")
        self.begun = time.monotonic()
        self.child = subprocess.Popen(
            command or spec["entrypoint"],
            env=env,
            stdin=subprocess.DEVNULL,
            stdout=self.log,
            stderr=self.log,
            preexec_fn=confine(root, spec["user"]),
        )

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.stop()
        self.log.close()

    def stop(self) -> int:
        if self.child.poll() is None:
            self.child.send_signal(signal.SIGTERM)
        try:
            return self.child.wait(10)
        except subprocess.TimeoutExpired:
            self.child.kill()
            return self.child.wait()

    def status(self) -> dict[str, str]:
        lines = Path(f"/proc/{self.child.pid}/status").read_text().splitlines()
        return {key: value.strip() for key, _, value in (line.partition(":") for line in lines)}

    def threads(self) -> list[str]:
        return [task.joinpath("comm").read_text().strip() for task in Path(f"/proc/{self.child.pid}/task").iterdir()]


def ask(port: int, path: str, headers: dict[str, str] | None = None) -> tuple[int, bytes]:
    """One GET, as soon as somebody listens."""
    end = time.monotonic() + READY_WITHIN
    while True:
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
        try:
            connection.connect()
        except ConnectionRefusedError:
            connection.close()
            if time.monotonic() > end:
                raise
            time.sleep(0.0005)
            continue
        with contextlib.closing(connection):
            connection.request("GET", path, headers=headers or {})
            answer = connection.getresponse()
            return answer.status, answer.read()


def kilobytes(status: dict[str, str], *keys: str) -> dict[str, int]:
    return {key: int(status[key].split()[0]) for key in keys}


def serve_once(spec: dict, root: Path, behest: str, more: dict[str, str] | None = None) -> dict:
    """Starts, is asked as a signed-in user asks, and stops."""
    with Container(spec, root, behest, more=more) as container:
        code, body = ask(API, "/v1/models", {"Cookie": spec["cookie"]})
        served = time.monotonic() - container.begun
        health = Container(spec, root, behest, spec["healthcheck"], more)
        status = container.status()
        return {
            "code": code,
            "body": body.decode(errors="replace"),
            "served_ms": served * 1000,
            "health": health.child.wait(10),
            "uid": status["Uid"].split(),
            "capabilities": int(status["CapEff"], 16),
            "no_new_privileges": status["NoNewPrivs"],
            "memory_kb": kilobytes(status, "VmRSS", "RssAnon", "RssFile"),
            "stopped": container.stop(),
        }


def keep(spec: dict, root: Path) -> dict:
    """With the folder for state named: first without a volume there, then with a new one."""
    more = {"GATEWAY_STORE__PATH": spec["state"]}
    with Container(spec, root, "127.0.0.1", more=more) as container:
        code = container.child.wait(10)
    refused = {"code": code, "said": Path(container.log.name).read_text()}
    inside = root / spec["state"].lstrip("/")
    volume = Path(spec["logs"]) / "volume"
    subprocess.run(["cp", "-a", inside, volume], check=True)
    mount(volume, inside, MS_BIND)
    served = serve_once(spec, root, "127.0.0.1", more)
    return {"without_a_volume": refused, "kept": served, "state": [path.name for path in volume.iterdir()]}


def cold_start(spec: dict, root: Path) -> tuple[float, float]:
    """Milliseconds from before the fork to the first answer of its own, and to the first served."""
    with Container(spec, root, "127.0.0.1") as container:
        code, _ = ask(API, "/v1/models", {"Cookie": spec["cookie"]})
        served = time.monotonic() - container.begun
    with Container(spec, root, "127.0.0.1") as container:
        refused, _ = ask(API, "/v1/models")
        answered = time.monotonic() - container.begun
    if (code, refused) != (200, 401):
        raise RuntimeError(f"a cold start was answered {code} and {refused}")
    return answered * 1000, served * 1000


def first_answer(spec: dict, root: Path) -> float:
    """Milliseconds that the first caller waits of a process whose start is over."""
    with Container(spec, root, "127.0.0.1") as container:
        ask(ADMIN, "/readyz")
        end = time.monotonic() + READY_WITHIN
        while "entropy" in container.threads() and time.monotonic() < end:
            time.sleep(0.005)
        begun = time.monotonic()
        ask(API, "/v1/models")
        return (time.monotonic() - begun) * 1000


def at_rest(spec: dict, root: Path) -> dict[str, int]:
    """Memory once it is ready and nobody has asked it anything."""
    with Container(spec, root, "127.0.0.1") as container:
        ready, _ = ask(ADMIN, "/readyz")
        if ready != 200:
            raise RuntimeError(f"/readyz answers {ready}")
        return kilobytes(container.status(), "VmRSS", "RssAnon", "RssFile")


def main(spec: dict) -> dict:
    bare, named = Path(spec["bare"]), Path(spec["named"])
    loopback_up()
    read_only(bare)
    read_only(named)
    asked = Path(spec["logs"]) / "asked"
    with contextlib.ExitStack() as running:
        for command in (
            [sys.executable, str(HERE / "names.py"), "127.0.0.1", spec["host"], str(asked)],
            spec["emulator"],
        ):
            child = running.enter_context(subprocess.Popen(command, stdout=subprocess.PIPE, stdin=subprocess.DEVNULL))
            running.callback(child.kill)
            child.stdout.readline()
        ask(BEHEST, "/.well-known/jwks.json")
        found = {
            "unhealthy": Container(spec, bare, "127.0.0.1", spec["healthcheck"]).child.wait(10),
            "read_only": all(os.statvfs(root).f_flag & os.ST_RDONLY for root in (bare, named)),
            "by_address": serve_once(spec, bare, "127.0.0.1"),
            "by_name": serve_once(spec, named, spec["host"]),
            "asked": asked.read_text().split(),
            "at_rest_kb": at_rest(spec, bare),
            "first_answer_ms": min(first_answer(spec, bare) for _ in range(5)),
        }
        found |= keep(spec, bare)
        starts = [cold_start(spec, bare) for _ in range(spec["starts"])]
        for name, times in zip(("answered_ms", "served_ms"), zip(*starts)):
            found[name] = {"median": statistics.median(times), "least": min(times), "most": max(times)}
        return found


if __name__ == "__main__":
    print(json.dumps(main(json.loads(Path(sys.argv[1]).read_text()))))
