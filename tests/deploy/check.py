"""Asks the gateway whether it would start from what a file under deploy/ gives it."""

import os
import re
import subprocess
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
GATEWAY = ROOT / os.environ.get("BIN_DIR", "target/debug") / "behest-gateway"

# What stands in the secret files of a test; of the forms that the gateway takes.
SECRETS = {
    "behest_key": "behest_sk_live_" + "0123456789abcdef" * 2,
    "auth_secret": "a-secret-of-the-apps-own-7c1d5a9be24f8036",
}


def secret_file(folder: Path, name: str, content: str | None = None) -> Path:
    """A file with that secret, which nobody else can read."""
    folder.mkdir(parents=True, exist_ok=True)
    file = folder / name
    file.write_text((content or SECRETS[name]) + "\n")
    file.chmod(0o400)
    return file


def checked(env: dict[str, str], *arguments: str, warnings: tuple[str, ...] = ()) -> dict[str, tuple[str, str]]:
    """Every setting in force as (value, where it came from).

    Fails on a problem, and on other warnings than those that are meant, by how they begin.
    """
    deny = [] if warnings else ["--deny-warnings"]
    done = subprocess.run([GATEWAY, "check", *deny, *arguments], env=env, capture_output=True, text=True, timeout=20)
    assert done.returncode == 0, done.stdout[-1500:] + done.stderr
    told = re.findall(r"^\d+\. (.*)$", done.stdout, re.M)
    assert len(told) == len(warnings) and all(map(str.startswith, told, warnings)), told
    settings = {}
    for line in done.stdout.splitlines():
        key, _, rest = line.partition(" ")
        value, _, origin = rest.strip().rpartition("  ")
        if "." in key and value:
            settings[key] = (value.strip(), origin.strip())
    return settings


def seconds(value: str) -> int:
    """A duration of the report; whole seconds and minutes are all that is needed here."""
    text = value.strip('"')
    units = {"s": 1, "m": 60}
    return sum(int(part[:-1]) * units[part[-1]] for part in text.split())
