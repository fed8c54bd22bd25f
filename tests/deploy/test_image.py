"""The image: its Dockerfile's own commands build a static program, which runs in an empty, read-only root
as nobody, resolves names there, and is measured.

The bounds here are what would be absurd; what was measured is printed. A bare machine builds for five
minutes (BUILD_WITHIN), and then only what has changed.
"""

import json
import os
import struct
import subprocess
import sys
from pathlib import Path

import pytest

from dockerfile import EMULATOR, GATEWAY, IGNORE, ROOT, STAGES, STATE, context, user
from figures import report  # noqa: F401: a fixture

HERE = Path(__file__).resolve().parent
TARGET_DIR = ROOT / os.environ.get("CARGO_TARGET_DIR", "target")
BIN_DIR = ROOT / os.environ.get("BIN_DIR", "target/debug")
WORK = ROOT / "target/e2e/image"
BUILD_WITHIN = 2400
MEGABYTE = 1_000_000

# tests/e2e/mint.mjs makes cookies under this secret.
SECRET = "e2e-secret-0-7c1d5a9be24f8036-not-for-production"
KEY = "behest_sk_live_" + "0123456789abcdef" * 2
HOST = "behest.test"
PT_INTERP = 3


@pytest.fixture(scope="session")
def program() -> Path:
    """What the gateway's RUN makes of that, where its COPY takes it from."""
    source, out = WORK / "src", WORK / "out"
    source.mkdir(parents=True, exist_ok=True)
    context(ROOT, IGNORE, source)
    command = STAGES["build-gateway"].run().replace("/out", str(out))
    subprocess.run(
        ["sh", "-c", command],
        cwd=source,
        env={**os.environ, "CARGO_TARGET_DIR": str(TARGET_DIR)},
        check=True,
        timeout=BUILD_WITHIN,
    )
    return out


@pytest.fixture(scope="session")
def root(program, tmp_path_factory) -> Path:
    """The final stage, whose base is empty."""
    assert GATEWAY.base == "scratch"
    root = tmp_path_factory.mktemp("image") / "root"
    root.mkdir()
    for copy in GATEWAY.all("COPY"):
        stage, *_, source, target = copy.split()
        at = root / target.lstrip("/")
        if stage == "--from=state":
            at.mkdir(parents=True, mode=0o700)
            if os.geteuid() == 0:
                os.chown(at, user(), user())
            continue
        assert stage == "--from=build-gateway"
        at.write_bytes((program / Path(source).relative_to("/out")).read_bytes())
        at.chmod(0o755)
    root.chmod(0o555)
    root.parent.chmod(0o755)
    return root


def unshare() -> list[str] | None:
    """How namespaces are made here: as root, as anybody, or not at all."""
    mapped = [] if os.geteuid() == 0 else ["--map-root-user"]
    command = ["unshare", *mapped, "--mount", "--net", "--"]
    tried = subprocess.run([*command, "chroot", "/", "true"], capture_output=True)
    return command if tried.returncode == 0 else None


@pytest.fixture(scope="session")
def found(root, tmp_path_factory) -> dict:
    """What came of running it; see engine.py."""
    command = unshare()
    if command is None:
        pytest.skip("#### SKIPPED: neither root nor user namespaces here: the image was built and never run ####")
    work = tmp_path_factory.mktemp("run")
    named = work / "named"
    subprocess.run(["cp", "-a", root, named], check=True)
    named.chmod(0o755)
    # These two an engine mounts into every container.
    (named / "etc").mkdir()
    (named / "etc/resolv.conf").write_text("nameserver 127.0.0.1\noptions timeout:2 attempts:2\n")
    (named / "etc/hosts").write_text("127.0.0.1 localhost\n")
    named.chmod(0o555)
    for folder in (root.parent.parent, work):
        folder.chmod(0o755)
    spec = {
        "bare": str(root),
        "named": str(named),
        "logs": str(work),
        "host": HOST,
        "user": user() if os.geteuid() == 0 else None,
        "entrypoint": GATEWAY.command("ENTRYPOINT"),
        "healthcheck": GATEWAY.command("HEALTHCHECK"),
        "emulator": [str(BIN_DIR / "behest-emulator"), *EMULATOR.command("ENTRYPOINT")[1:], "--key", KEY],
        "env": {
            "BEHEST_KEY": KEY,
            "AUTH_SECRET": SECRET,
            "GATEWAY_PUBLIC_ORIGIN": "https://app.example",
            "GATEWAY_UPSTREAM__ALLOW_PLAINTEXT": "true",
        },
        "cookie": cookie(),
        "starts": 20,
        "state": STATE,
    }
    (work / "spec.json").write_text(json.dumps(spec))
    run = subprocess.run(
        [*command, sys.executable, str(HERE / "engine.py"), str(work / "spec.json")],
        capture_output=True,
        text=True,
        timeout=300,
        stdin=subprocess.DEVNULL,
    )
    logs = "\n".join(log.read_text()[-3000:] for log in work.glob("*.log"))
    assert run.returncode == 0, f"{run.stderr}\n{logs}"
    return json.loads(run.stdout)


def cookie() -> str:
    made = subprocess.run(
        ["node", "mint.mjs", '{"sub":"usr_ada","tier":"pro","sid":"sess_ada"}'],
        cwd=ROOT / "tests/e2e",
        check=True,
        capture_output=True,
        text=True,
    )
    return made.stdout


def interpreters(elf: bytes) -> int:
    """How many program headers of an ELF64 file ask for a dynamic loader."""
    assert elf[:6] == b"\x7fELF\x02\x01"
    (offset,) = struct.unpack_from("<Q", elf, 32)
    size, count = struct.unpack_from("<HH", elf, 54)
    return sum(struct.unpack_from("<I", elf, offset + size * at) == (PT_INTERP,) for at in range(count))


def test_the_program_is_one_file_that_needs_no_other(root, report):
    (file,) = [path for path in root.rglob("*") if path.is_file()]
    elf = file.read_bytes()
    report(f"image: {len(elf) / MEGABYTE:.1f} MB, one file")
    assert interpreters(elf) == 0
    assert interpreters(Path(sys.executable).resolve().read_bytes()) == 1, "the question itself works"
    assert len(elf) < 25 * MEGABYTE


def test_it_serves_a_signed_in_user_from_an_empty_root(found):
    served = found["by_address"]
    assert served["code"] == 200, served["body"]
    assert json.loads(served["body"])["data"]
    assert served["stopped"] == 0


def test_it_resolves_names_with_resolv_conf_alone(found):
    """A static glibc could want modules that are not there: it does not, for files and DNS."""
    assert found["by_name"]["code"] == 200, found["by_name"]["body"]
    assert HOST in found["asked"]


def test_nothing_can_be_written_and_nobody_runs_it(found):
    assert found["read_only"]
    for served in (found["by_address"], found["by_name"]):
        assert served["no_new_privileges"] == "1"
        if os.geteuid() == 0:
            assert served["uid"] == [str(user())] * 4 and user() >= 1000
            assert served["capabilities"] == 0


def test_it_counts_in_a_new_volume_and_is_refused_without_one(found):
    """What an engine mounts there the first time: a copy of the image's folder, with its owner."""
    kept = found["kept"]
    assert kept["code"] == 200, kept["body"]
    assert "budgets.lock" in found["state"]
    assert found["without_a_volume"]["code"] == 2
    assert "(GATEWAY_STORE__PATH) cannot be used: Read-only file system" in found["without_a_volume"]["said"]


def test_the_health_check_tells_ready_from_dead(found):
    assert found["by_address"]["health"] == 0
    assert found["by_name"]["health"] == 0
    assert found["unhealthy"] == 1


def test_it_starts_fast_and_stays_small(found, report):
    answered, served = found["answered_ms"], found["served_ms"]
    rest, after = found["at_rest_kb"], found["by_address"]["memory_kb"]
    for name, times in (("to the first answer", answered), ("to the first served request", served)):
        report(f"image: cold start {name}, median of 20: {times['median']:.1f} ms ({times['least']:.1f} to {times['most']:.1f})")
    report(f"image: memory at rest {rest['VmRSS'] / 1024:.1f} MiB ({rest['RssAnon'] / 1024:.1f} its own, the rest is the file)")
    report(f"image: after a request {after['VmRSS'] / 1024:.1f} MiB")
    assert served["median"] < 1000
    assert rest["VmRSS"] < 40 * 1024


def test_the_first_caller_does_not_wait_for_the_random_generator(found, report):
    """Its first use takes 40 ms, and is over before there is a caller. The least of five: noise only adds."""
    report(f"image: the first answer of a started process: {found['first_answer_ms']:.1f} ms")
    assert found["first_answer_ms"] < 15
