"""Reads a Compose file as Compose does: variables by its rules, from .env and the shell.

https://docs.docker.com/reference/compose-file/interpolation/: `$$`, `${A}`, and `-` `+` `?` with and
without a colon, one inside the other.
"""

import re
from pathlib import Path

import yaml

NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")


class Required(Exception):
    """A variable that must be set is not: Compose stops here with its message."""


def interpolate(text: str, variables: dict[str, str]) -> str:
    """`text` with its variables in place."""
    out, at = [], 0
    while at < len(text):
        if text.startswith("$$", at):
            out.append("$")
            at += 2
        elif text.startswith("${", at):
            end = _closing(text, at + 2)
            out.append(_expand(text[at + 2 : end], variables))
            at = end + 1
        elif text[at] == "$" and (name := NAME.match(text, at + 1)):
            out.append(variables.get(name[0], ""))
            at = name.end()
        elif text[at] == "$":
            raise ValueError(f"Compose refuses a lone $: {text}")
        else:
            out.append(text[at])
            at += 1
    return "".join(out)


def _closing(text: str, at: int) -> int:
    """Where the brace that is open at `at` is closed."""
    depth = 1
    while depth:
        depth += {"{": 1, "}": -1}.get(text[at], 0)
        at += 1
    return at - 1


def _expand(expression: str, variables: dict[str, str]) -> str:
    name, operator, word = re.fullmatch(r"(\w+)(:?[-+?])?(.*)", expression, re.DOTALL).groups()
    value = variables.get(name)
    if not operator:
        if word:
            raise ValueError(f"Compose refuses ${{{expression}}}")
        return value or ""
    there = bool(value) if operator.startswith(":") else value is not None
    if operator.endswith("+"):
        return interpolate(word, variables) if there else ""
    if there:
        return value
    if operator.endswith("?"):
        raise Required(word)
    return interpolate(word, variables)


def env_file(file: Path) -> dict[str, str]:
    """Assignments of an env file; lines with # are comments."""
    lines = (line.strip() for line in file.read_text().splitlines())
    return dict(line.split("=", 1) for line in lines if line and not line.startswith("#"))


def merged(below: object, above: object) -> object:
    """As Compose lays one file over another: mappings by key, lists one after the other."""
    if isinstance(below, dict) and isinstance(above, dict):
        both = {key: merged(below[key], above[key]) for key in below.keys() & above.keys()}
        return {**below, **above, **both}
    if isinstance(below, list) and isinstance(above, list):
        return below + above
    return above


def load(file: Path, variables: dict[str, str], *overlays: Path) -> dict:
    """The file with anchors and variables resolved, each service's env_file in its environment, and the
    overlays on it; where a list would replace one (`command`), none of ours does.
    """

    def resolved(value):
        if isinstance(value, dict):
            return {key: resolved(item) for key, item in value.items()}
        if isinstance(value, list):
            return [resolved(item) for item in value]
        return interpolate(value, variables) if isinstance(value, str) else value

    whole = resolved(yaml.safe_load(file.read_text()))
    for overlay in overlays:
        whole = merged(whole, resolved(yaml.safe_load(overlay.read_text())))
    for service in whole["services"].values():
        if "env_file" in service:
            own = service.get("environment", {})
            service["environment"] = {**env_file(file.parent / service["env_file"]), **own}
    return whole
