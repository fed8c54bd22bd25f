"""The systemd unit: systemd understands it, rates it, and the gateway starts from what it hands over."""

import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from check import GATEWAY, ROOT, checked, secret_file, seconds
from figures import report  # noqa: F401: a fixture
from manifests import inside, written_to
from started import refused, serving

FOLDER = ROOT / "deploy/systemd"
UNIT = FOLDER / "behest-gateway.service"
# systemd's own scale: 0.0 is safe, 10.0 is not; it calls anything under 2.0 "OK" to "SAFE".
EXPOSURE = 1.5


def settings(text: str) -> dict[str, list[str]]:
    """The unit's settings, each with all its values; an empty value clears what stood before."""
    found: dict[str, list[str]] = {}
    for line in text.splitlines():
        if line and line[0] not in "#;[":
            key, value = line.split("=", 1)
            found.setdefault(key, []).append(value)
    return found


def environment_file(text: str, commented: bool = False) -> dict[str, str]:
    """Its assignments; `commented`: those too that stand there to be uncommented."""
    pattern = r"^#?([A-Z][A-Z0-9_]*)=(.*)$" if commented else r"^([A-Z][A-Z0-9_]*)=(.*)$"
    return dict(re.findall(pattern, text, re.MULTILINE))


@pytest.fixture(scope="module")
def unit() -> dict[str, list[str]]:
    return settings(UNIT.read_text())


@pytest.fixture
def verifiable(tmp_path) -> Path:
    """The unit with the program and the files where they are here."""
    text = UNIT.read_text().replace("/usr/local/bin/behest-gateway", str(GATEWAY))
    for name in ("behest_key", "auth_secret"):
        secret_file(tmp_path / "etc", name)
    shutil.copy(FOLDER / "gateway.env", tmp_path / "etc")
    file = tmp_path / UNIT.name
    file.write_text(text.replace("/etc/behest-gateway", str(tmp_path / "etc")))
    return file


def analyze(*arguments: str | Path) -> subprocess.CompletedProcess:
    assert shutil.which("systemd-analyze"), "the Debian package systemd has it; `make deps` installs it"
    env = {**os.environ, "SYSTEMD_COLORS": "0", "SYSTEMD_PAGER": "cat", "SYSTEMD_LOG_TARGET": "console"}
    return subprocess.run(["systemd-analyze", *arguments], capture_output=True, text=True, timeout=60, env=env)


def test_systemd_understands_every_line(verifiable):
    done = analyze("verify", "--man=no", verifiable)
    told = [line for line in (done.stdout + done.stderr).splitlines() if UNIT.name in line]
    assert done.returncode == 0 and told == [], done.stderr


def test_systemd_rates_it_as_confined(verifiable, report):
    done = analyze("security", "--offline=true", f"--threshold={int(EXPOSURE * 10)}", verifiable)
    rating = re.search(r"Overall exposure level for .*: ([0-9.]+) (\w+)", done.stdout)
    assert rating, done.stdout + done.stderr
    report(f"systemd: exposure {rating[1]} of 10, {rating[2]}")
    assert float(rating[1]) <= EXPOSURE and done.returncode == 0, done.stdout


@pytest.mark.parametrize("everything", [False, True], ids=["as it is", "with all that is commented out"])
def test_the_gateway_starts_from_what_it_hands_over(unit, tmp_path, everything):
    (file,) = unit["EnvironmentFile"]
    assert file == "/etc/behest-gateway/gateway.env"
    env = environment_file((FOLDER / Path(file).name).read_text(), commented=everything)
    credentials = dict(value.split(":", 1) for value in unit["LoadCredential"])
    for name, source in credentials.items():
        assert source == f"/etc/behest-gateway/{name}"
        secret_file(tmp_path, name)
    for assignment in unit["Environment"]:
        name, value = assignment.split("=", 1)
        assert name not in env
        env[name] = value.replace("%d", str(tmp_path))
    env = with_state(env, unit, tmp_path)
    places = written_to(env)
    assert len(places) == (3 if everything else 1), "all that it writes is in its StateDirectory"
    found = checked(env)
    with serving(env):
        assert (tmp_path / "state/budgets.lock").is_file()
    (tmp_path / "state").chmod(0o500)
    assert "store.path (GATEWAY_STORE__PATH) cannot be used" in refused(env)
    stop = seconds(found["server.drain_delay"][0]) + seconds(found["server.drain_limit"][0]) + 10
    assert unit["TimeoutStopSec"] == [str(stop)]
    open_files = int(unit["LimitNOFILE"][0])
    assert open_files > 3 * int(found["server.max_connections"][0])
    assert "BEHEST_KEY_FILE" in found["mint.key"][1] and "AUTH_SECRET_FILE" in str(found["session.secrets"])


def with_state(env: dict[str, str], unit: dict, folder: Path) -> dict[str, str]:
    """The environment with the unit's StateDirectory in the test's folder; systemd makes it as the unit says."""
    (name,), (mode,) = unit["StateDirectory"], unit["StateDirectoryMode"]
    (folder / "state").mkdir(mode=int(mode, 8))
    moved = {key: re.sub(rf"^/var/lib/{name}(?=/|$)", str(folder / "state"), value) for key, value in env.items()}
    assert all(inside(place, str(folder / "state")) for place in written_to(moved).values())
    return moved


def test_nobody_else_sees_what_was_counted(unit):
    assert unit["StateDirectoryMode"] == ["0700"] and unit["UMask"] == ["0077"]


def test_redis_is_a_credential_of_the_unit(unit, tmp_path):
    """The lines that stand there to be uncommented, in both files."""
    text = UNIT.read_text()
    commented = settings("\n".join(re.findall(r"^#((?:LoadCredential|Environment)=.*)$", text, re.M)))
    ((name, source),) = [value.split(":", 1) for value in commented["LoadCredential"]]
    assert source == f"/etc/behest-gateway/{name}" and source in text.split("[Unit]")[0]
    (assignment,) = commented["Environment"]
    env = environment_file((FOLDER / "gateway.env").read_text())
    env |= dict(re.findall(r"^# (GATEWAY_STORE__KIND)=(.*)$", (FOLDER / "gateway.env").read_text(), re.M))
    for given in [*unit["Environment"], assignment]:
        variable, value = given.split("=", 1)
        env[variable] = value.replace("%d", str(tmp_path))
    secret_file(tmp_path, name, "redis://gateway:deploy-tests-only-3-7c1d5a9be24f8036@redis.example:6379/0")
    for secret in ("behest_key", "auth_secret"):
        secret_file(tmp_path, secret)
    del env["GATEWAY_STORE__PATH"]
    found = checked(env)
    assert found["store.kind"][0] == '"redis"' and found["store.url"][1] == variable == "GATEWAY_STORE__URL_FILE"


def test_nothing_secret_is_in_the_environment_file(unit):
    names = environment_file((FOLDER / "gateway.env").read_text(), commented=True)
    assert not [name for name in names if re.search("KEY|SECRET|TOKEN", name) and not name.endswith("_FILE")]


def test_it_reloads_and_does_not_restart_what_cannot_start(unit):
    """SIGHUP reloads; 2 is the exit code of a configuration that does not hold."""
    assert unit["ExecReload"] == ["/bin/kill -HUP $MAINPID"]
    assert unit["Restart"] == ["on-failure"] and unit["RestartPreventExitStatus"] == ["2"]
    done = subprocess.run([GATEWAY], env={}, capture_output=True, timeout=20)
    assert done.returncode == 2


def test_the_way_to_install_it_names_its_own_files(unit):
    comment = "\n".join(line for line in UNIT.read_text().splitlines() if line.startswith("#"))
    paths = [value.split(":", 1)[1] for value in unit["LoadCredential"]]
    for path in [*paths, unit["ExecStart"][0], *unit["EnvironmentFile"]]:
        assert Path(path).name in comment and str(Path(path).parent) in comment
