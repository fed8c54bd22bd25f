"""Reads deploy/Dockerfile and .dockerignore as far as these tests need to do what they say.

No container engine is at hand: the tests run the very commands of the file's stages instead.
"""

import fnmatch
import json
import re
import shutil
from dataclasses import dataclass, field
from pathlib import Path

INSTRUCTIONS = {"ARG", "FROM", "WORKDIR", "COPY", "RUN", "LABEL", "USER", "EXPOSE", "HEALTHCHECK", "ENTRYPOINT", "CMD", "ENV"}


@dataclass
class Stage:
    """One FROM and what follows it."""

    name: str
    base: str
    steps: list[tuple[str, str]] = field(default_factory=list)

    def all(self, instruction: str) -> list[str]:
        return [text for name, text in self.steps if name == instruction]

    def one(self, instruction: str) -> str:
        (text,) = self.all(instruction)
        return text

    def command(self, instruction: str) -> list[str]:
        """The exec form, which alone works where there is no shell."""
        text = self.one(instruction)
        return json.loads(text[text.index("[") :])

    def run(self) -> str:
        """The one RUN's command, without its --mount flags."""
        return re.sub(r"--mount=\S+\s+", "", self.one("RUN")).strip()

    def labels(self) -> dict[str, str]:
        return dict(re.findall(r'(\S+?)="([^"]*)"', self.one("LABEL")))


def stages(text: str) -> dict[str, Stage]:
    """The file's stages by name, in its order."""
    lines = [line for line in text.splitlines() if not line.lstrip().startswith("#")]
    arguments: dict[str, str] = {}
    found: dict[str, Stage] = {}
    for step in re.sub(r"\\\n", " ", "\n".join(lines)).splitlines():
        if not step.strip():
            continue
        name, rest = step.split(maxsplit=1)
        if name not in INSTRUCTIONS:
            raise ValueError(f"what does {name} do? Teach these tests before you use it")
        if name == "FROM":
            base, name = re.fullmatch(r"(\S+)(?: AS (\S+))?", rest.strip()).groups()
            name = name or str(len(found))
            base = re.sub(r"\$\{(\w+)\}", lambda match: arguments[match[1]], base)
            found[name] = Stage(name, base)
        elif found:
            list(found.values())[-1].steps.append((name, rest.strip()))
        else:
            argument, value = rest.split("=", 1)
            arguments[argument] = value
    return found


def final(text: str) -> Stage:
    """What a build makes when nobody says which stage."""
    return list(stages(text).values())[-1]


def _matches(pattern: str, path: str) -> bool:
    """Whether the pattern names the path or a folder above it."""
    if pattern.startswith("**/"):
        return any(fnmatch.fnmatch(part, pattern[3:]) for part in path.split("/"))
    wanted, parts = pattern.split("/"), path.split("/")
    return len(wanted) <= len(parts) and all(map(fnmatch.fnmatch, parts, wanted))


def context(root: Path, ignore: str, to: Path) -> list[str]:
    """Copies what a build of `root` may see to `to`, and names it; what is there besides is removed."""
    patterns = [line for line in ignore.splitlines() if line and not line.startswith("#")]
    if patterns[0] != "*":
        raise ValueError(".dockerignore must begin with *, so that it lists what is let in")
    tops = [pattern[1:].split("/")[0] for pattern in patterns if pattern.startswith("!")]
    seen = []
    for top in dict.fromkeys(tops):
        for path in [root / top, *(root / top).rglob("*")]:
            name = path.relative_to(root).as_posix()
            last = next(p for p in reversed(patterns) if _matches(p.removeprefix("!"), name))
            if last.startswith("!") and path.is_file():
                seen.append(name)
    for old in [path for path in to.rglob("*") if path.is_file()]:
        if old.relative_to(to).as_posix() not in seen:
            old.unlink()
    for name in seen:
        target = to / name
        target.parent.mkdir(parents=True, exist_ok=True)
        # With its time, so that cargo sees what has changed and what has not.
        shutil.copy2(root / name, target)
    return seen


ROOT = Path(__file__).resolve().parents[2]
IGNORE = (ROOT / ".dockerignore").read_text()
STAGES = stages((ROOT / "deploy/Dockerfile").read_text())
GATEWAY, EMULATOR = STAGES["gateway"], STAGES["emulator"]
# Where the gateway's image has a folder for a volume.
STATE = "/var/lib/behest-gateway"


def user() -> int:
    """The number that USER names; Kubernetes' runAsNonRoot takes nothing but numbers."""
    uid, gid = GATEWAY.one("USER").split(":")
    assert uid == gid
    return int(uid)
