"""What the tests of deployment files share: where things are, and which files there are."""

import os
import subprocess
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
BIN_DIR = ROOT / os.environ.get("BIN_DIR", "target/debug")
KUBE_TOOLS_DIR = ROOT / os.environ.get("KUBE_TOOLS_DIR", "target/e2e/kube-tools")


def shipped_files(*folders: str) -> list[str]:
    """The files of these folders that are, or are about to be, in the repository; from its root."""
    listed = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard", "-z", "--", *folders],
        cwd=ROOT,
        check=True,
        capture_output=True,
        text=True,
    ).stdout
    return sorted(name for name in listed.split("\0") if name and (ROOT / name).is_file())
