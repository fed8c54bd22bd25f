"""Starts the gateway as a container does, but for its ports: without a capability, so that files' modes hold
for root too.
"""

import json
import os
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager

from check import GATEWAY

# It is a debug build, on a machine that does other things.
WITHIN = 60.0
ANY_PORT = ("--listen", "127.0.0.1:0", "--admin-listen", "127.0.0.1:0")
CONFINED = ("setpriv", "--bounding-set=-all", "--inh-caps=-all", "--no-new-privs", "--")


def command(*arguments: str) -> list[str]:
    confined = CONFINED if os.geteuid() == 0 else ()
    return [*confined, str(GATEWAY), *arguments]


@contextmanager
def serving(env: dict[str, str]) -> Iterator[dict[str, str]]:
    """While the gateway serves from that environment: where, as `listen` and `admin`. Fails where it does
    not, with what it said.
    """
    child = subprocess.Popen(
        command(*ANY_PORT), env=env, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )
    bound = threading.Timer(WITHIN, child.kill)
    bound.start()
    try:
        said: list[str] = []
        for line in child.stdout:
            said.append(line)
            if '"message":"serving"' in line:
                break
        else:
            raise AssertionError("it does not start:\n" + "".join(said))
        yield json.loads(line)
        child.terminate()
        child.stdout.read()
        assert child.wait() == 0, "it does not end as it should"
    finally:
        bound.cancel()
        child.kill()
        child.wait()
        child.stdout.close()


def refused(env: dict[str, str]) -> str:
    """What it says instead of starting: once as it starts, and the same when it is asked to check."""
    said = []
    for arguments in (ANY_PORT, ("check",)):
        done = subprocess.run(
            command(*arguments), env=env, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=WITHIN
        )
        assert done.returncode == 2, done.stdout + done.stderr
        said.append(done.stderr)
    assert said[0] == said[1]
    return said[0]
