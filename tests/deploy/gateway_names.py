"""What the gateway and its emulator can be told: variables, keys, flags and subcommands.

Taken from config/reference.toml, which a unit test holds equal to the code, and from `--help`.
"""

import re
import subprocess
from functools import cache

from conftest import BIN_DIR, ROOT

REFERENCE = (ROOT / "config/reference.toml").read_text()
VARIABLE = r"[A-Z][A-Z0-9]*(?:_+[A-Z0-9]+)+"
SUBCOMMANDS = ("serve", "check", "inspect", "doctor", "health")


@cache
def variables() -> frozenset[str]:
    """Every variable that sets something, and `_FILE` beside those that hold secrets."""
    # Read by libraries, so no key of the gateway's has them; the README explains both.
    found = {"RUST_LOG", "SSL_CERT_FILE"}
    comment: list[str] = []
    for line in REFERENCE.splitlines():
        if re.match(r"#? ?$|# ", line):
            comment.append(line)
            continue
        if re.match(r"#?[a-z0-9_]+ = ", line):
            named = _named(" ".join(comment))
            found |= named
            if re.search(r"\{ (env|file) = ", line):
                found |= {f"{name}_FILE" for name in named}
        comment = []
    found |= set(re.findall(rf"\[env: ({VARIABLE})\]", help_text()))
    return frozenset(found)


def _named(comment: str) -> set[str]:
    """The variables of a key, as its comment ends: `(GATEWAY_LISTEN, GATEWAY_SERVER__LISTEN)`."""
    found = set()
    for inside in re.findall(r"\(([^()]*)\)\s*$", comment):
        found |= set(re.findall(rf"\b{VARIABLE}\b", inside, re.I))
    also = re.search(rf"Also ({VARIABLE}) \(and _1 to _3\) and ({VARIABLE})\.", comment)
    if also:
        first, second = also.groups()
        found |= {first, second, *(f"{first}_{number}" for number in (1, 2, 3))}
    return found


@cache
def keys() -> frozenset[str]:
    """Every key of the file, as `section.key`, and the sections; `session.providers` has its own."""
    found, section = set(), ""
    for line in REFERENCE.splitlines():
        head = re.match(r"#?\[+([a-z_.]+)\]+$", line)
        if head:
            section = head[1]
            found.add(section)
        key = re.match(r"#?([a-z0-9_]+) = ", line)
        if key:
            found.add(f"{section}.{key[1]}")
    return frozenset(found)


@cache
def help_text() -> str:
    """All the help of both programs, of those subcommands that they have."""
    asked = [("behest-gateway",), *(("behest-gateway", word) for word in SUBCOMMANDS), ("behest-emulator",)]
    return "\n".join(_help(*words) for words in asked)


def _help(program: str, *words: str) -> str:
    done = subprocess.run([BIN_DIR / program, *words, "--help"], env={}, capture_output=True, text=True, timeout=20)
    return done.stdout if done.returncode == 0 else ""


@cache
def flags() -> frozenset[str]:
    return frozenset(re.findall(r"^ +(?:-\w, )?(--[a-z-]+)", help_text(), re.M))


@cache
def subcommands() -> frozenset[str]:
    listed = _help("behest-gateway").split("Commands:")[1].split("Options:")[0]
    return frozenset(re.findall(r"^  ([a-z]+) ", listed, re.M))
