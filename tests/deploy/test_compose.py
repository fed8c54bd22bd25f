"""The Compose example: Compose would take the file, the gateway would start from it in both ways to run
it, and its pieces agree with each other and with the images.
"""

import os
import re
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path
from urllib.parse import urlsplit

import pytest

import dockerfile
from check import ROOT, SECRETS, checked, secret_file, seconds
from compose_file import Required, env_file, interpolate, load

FOLDER = ROOT / "deploy/compose"
FILE = FOLDER / "compose.yaml"
EXAMPLE = FOLDER / ".env.example"
BEHEST = "https://your-slug.behest.app"
BIN_DIR = ROOT / os.environ.get("BIN_DIR", "target/debug")
VERSION = tomllib.loads((ROOT / "Cargo.toml").read_text())["package"]["version"]

# The example's .env as it is, and with each of its lines that are commented out.
EMULATOR, REAL = "with the emulator", "with Behest"
WAYS = {EMULATOR: {}, REAL: {"BEHEST_BASE_URL": BEHEST}}


@pytest.fixture(params=WAYS)
def way(request) -> str:
    return request.param


@pytest.fixture
def whole(way) -> dict:
    return load(FILE, {**env_file(EXAMPLE), **WAYS[way]})


def settings_of(service: dict, whole: dict, folder: Path, warnings: tuple[str, ...]) -> dict[str, tuple[str, str]]:
    """What the gateway makes of the service's environment, its secrets being files of the test."""
    env = dict(service["environment"])
    for volume in service["volumes"]:
        name, at = volume.split(":")
        (folder / name).mkdir()
        env = {key: value.replace(at, str(folder / name)) for key, value in env.items()}
    for name in service["secrets"]:
        assert whole["secrets"][name]["file"] == f"./secrets/{name}"
        file = secret_file(folder, name)
        env = {key: value.replace(f"/run/secrets/{name}", str(file)) for key, value in env.items()}
    assert not [value for value in env.values() if "/run/secrets" in value], "a file that is not mounted"
    return checked(env, warnings=warnings)


def test_the_rules_of_interpolation():
    for text, wanted in {
        "${A}": "x", "$A/": "x/", "$$A": "$A", "${B}": "", "${B:-d}": "d", "${B-d}": "d", "${E:-d}": "d",
        "${E-d}": "", "${A:+a}": "a", "${E:+a}": "", "${E+a}": "a", "${B:-${A}/${B:-n}}": "x/n",
        "p.${A:+q.}s": "p.q.s", "p.${B:+q.}s": "p.s",
    }.items():
        assert interpolate(text, {"A": "x", "E": ""}) == wanted, text
    with pytest.raises(Required):
        interpolate("${B:?say it}", {})


def test_the_file_follows_the_compose_specification():
    done = subprocess.run(
        [sys.executable, "-m", "check_jsonschema", "--builtin-schema", "vendor.compose-spec", str(FILE)],
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_the_gateway_starts_from_it(whole, way, tmp_path):
    gateway = whole["services"]["gateway"]
    # The emulator has no TLS; the gateway says so, and says nothing else.
    warnings = ("upstream.base_url is http://emulator:8787",) if way == EMULATOR else ()
    found = settings_of(gateway, whole, tmp_path, warnings)
    key, origin = found["mint.key"]
    if way == REAL:
        assert found["upstream.base_url"][0] == f'"{BEHEST}"'
        assert found["upstream.allow_plaintext"][0] == "false"
        assert origin == "BEHEST_KEY_FILE" and f"{len(SECRETS['behest_key'])} bytes" in key
    else:
        assert found["upstream.base_url"][0] == '"http://emulator:8787"'
        assert origin == "BEHEST_KEY"
    stop = seconds(found["server.drain_delay"][0]) + seconds(found["server.drain_limit"][0]) + 10
    assert gateway["stop_grace_period"] == f"{stop}s"
    assert "AUTH_SECRET_FILE" in found["session.secrets"][1]


def test_what_is_said_to_be_needed_for_local_signing_is_what_the_gateway_asks_for():
    """The lines that are commented out in gateway.behest.env."""
    text = (FOLDER / "gateway.behest.env").read_text()
    assert re.findall(r"^#([A-Z_]+)=", text, re.M) == ["BEHEST_KID", "BEHEST_TENANT_ID", "BEHEST_PROJECT_ID"]


def test_one_variable_switches_and_nothing_else_differs():
    before, after = (load(FILE, {**env_file(EXAMPLE), **more})["services"] for more in WAYS.values())
    differing = [name for name in before if before[name] != after[name]]
    assert differing == ["gateway"]
    changed = {key for key in before["gateway"] if before["gateway"][key] != after["gateway"][key]}
    assert changed == {"env_file", "environment"}


def test_the_emulator_is_found_and_takes_the_key():
    services = load(FILE, env_file(EXAMPLE))["services"]
    env = services["gateway"]["environment"]
    url = urlsplit(env["BEHEST_BASE_URL"])
    assert url.hostname in services and str(url.port) == dockerfile.EMULATOR.one("EXPOSE")
    usage = subprocess.run([BIN_DIR / "behest-emulator", "--help"], capture_output=True, text=True, check=True).stdout
    assert re.search(r"--key <KEY>.*?\[default: (\S+)\]", usage, re.S)[1] == env["BEHEST_KEY"]
    assert "command" not in services["emulator"], "the image's own entry point listens on the port that is asked"


@pytest.mark.parametrize("extra", [{}, {"HTTP_PORT": "9999"}, {"PUBLIC_ORIGIN": "https://app.example"}])
def test_everybody_knows_the_same_origin(extra):
    services = load(FILE, {**env_file(EXAMPLE), **extra})["services"]
    port = extra.get("HTTP_PORT", "8080")
    origin = extra.get("PUBLIC_ORIGIN", f"http://localhost:{port}")
    assert services["gateway"]["ports"] == [f"127.0.0.1:{port}:{dockerfile.GATEWAY.one('EXPOSE')}"]
    assert services["gateway"]["environment"]["GATEWAY_PUBLIC_ORIGIN"] == origin
    assert services["app"]["environment"]["AUTH_URL"] == origin
    assert services["oidc"]["environment"]["OIDC_REDIRECT_URI"] == f"{origin}/api/auth/callback/oidc"


def test_the_app_is_where_the_gateway_looks(whole):
    services = whole["services"]
    url = urlsplit(services["gateway"]["environment"]["GATEWAY_APP_URL"])
    image = dockerfile.final((FOLDER / services[url.hostname]["build"] / "Dockerfile").read_text())
    assert image.one("EXPOSE") == str(url.port)
    assert image.command("CMD") == services["app"]["command"][-1].split("exec ")[1].split()
    assert image.all("HEALTHCHECK"), "the gateway waits for it"
    assert services["gateway"]["depends_on"]["app"] == {"condition": "service_healthy"}


def test_both_read_the_same_session_secret_and_only_the_gateway_the_key(whole):
    services = whole["services"]
    holders = {name: service.get("secrets", []) for name, service in services.items()}
    assert holders == {"gateway": ["auth_secret", "behest_key"], "app": ["auth_secret"], "emulator": [], "oidc": []}
    assert "$(cat /run/secrets/auth_secret)" in services["app"]["command"][-1]
    assert services["gateway"]["environment"]["AUTH_SECRET_FILE"] == "/run/secrets/auth_secret"
    assert not [key for key in services["app"]["environment"] if "BEHEST" in key]


def test_the_oidc_provider_comes_with_its_profile_alone():
    without = load(FILE, env_file(EXAMPLE))["services"]
    assert without["app"]["environment"]["AUTH_OIDC_ISSUER"] == ""
    services = load(FILE, {**env_file(EXAMPLE), "COMPOSE_PROFILES": "oidc"})["services"]
    app, oidc = services["app"]["environment"], services["oidc"]
    issuer = urlsplit(app["AUTH_OIDC_ISSUER"])
    assert oidc["profiles"] == ["oidc"] and oidc["environment"]["OIDC_ISSUER"] == app["AUTH_OIDC_ISSUER"]
    assert issuer.hostname in oidc["networks"]["default"]["aliases"]
    assert oidc["ports"] == [f"127.0.0.1:{issuer.port}:{issuer.port}"]
    assert oidc["environment"]["OIDC_CLIENT_ID"] == app["AUTH_OIDC_ID"]
    assert oidc["environment"]["OIDC_CLIENT_SECRET"] == app["AUTH_OIDC_SECRET"]
    image = dockerfile.final((FOLDER / oidc["build"] / "Dockerfile").read_text())
    assert image.one("EXPOSE") == str(issuer.port)


def test_nobody_has_more_than_they_need(whole):
    services = whole["services"]
    for name, service in services.items():
        assert service["cap_drop"] == ["ALL"], name
        assert service["security_opt"] == ["no-new-privileges:true"], name
        assert not {"privileged", "network_mode", "pid", "ipc", "devices", "user"} & set(service), name
        for port in service.get("ports", []):
            assert port.startswith("127.0.0.1:"), name
    assert [name for name in services if "ports" in services[name]] == ["gateway", "oidc"]
    assert {name: service["volumes"] for name, service in services.items() if "volumes" in service} == {
        "gateway": [f"gateway-state:{dockerfile.STATE}"]
    }
    assert [name for name in services if services[name].get("read_only")] == ["gateway", "emulator"]


def test_what_it_writes_is_in_a_volume_that_belongs_to_its_user(whole):
    """A named volume, which a new one is, and not a folder of the machine: it takes the image's owner."""
    gateway = whole["services"]["gateway"]
    assert gateway["environment"]["GATEWAY_STORE__PATH"] == dockerfile.STATE
    assert gateway["volumes"] == [f"gateway-state:{dockerfile.STATE}"] and "gateway-state" in whole["volumes"]
    owner, (_, kept) = dockerfile.GATEWAY.one("USER"), dockerfile.GATEWAY.all("COPY")
    assert kept.split()[1:] == [f"--chown={owner}", "/state", dockerfile.STATE]


def test_the_images_are_the_dockerfiles_own(whole):
    for name in ("gateway", "emulator"):
        service = whole["services"][name]
        build = service["build"]
        assert (FOLDER / build["context"]).resolve() == ROOT and (ROOT / build["dockerfile"]).is_file()
        assert dockerfile.STAGES[build["target"]].labels()["org.opencontainers.image.title"] == f"behest-{name}"
        assert service["image"] == f"behest-{name}:{VERSION}"
    check = whole["services"]["gateway"]["healthcheck"]
    flags = dockerfile.GATEWAY.one("HEALTHCHECK")
    assert check["test"] == ["CMD", *dockerfile.GATEWAY.command("HEALTHCHECK")]
    for key in ("interval", "timeout", "start_period", "retries"):
        assert f"--{key.replace('_', '-')}={check[key]}" in flags


def test_every_variable_is_in_the_example_and_in_the_readme():
    used = set(re.findall(r"\$\{([A-Z_]+)", FILE.read_text()))
    listed = set(re.findall(r"^#?([A-Z_]+)=", EXAMPLE.read_text(), re.M))
    told = set(re.findall(r"^\| `([A-Z_]+)` \|", (FOLDER / "README.md").read_text(), re.M))
    # Compose's own, which names the files.
    assert used | {"COMPOSE_FILE"} == listed == told


def test_setup_makes_what_is_needed_and_keeps_what_is_there(tmp_path):
    for name in ("setup", ".env.example"):
        shutil.copy(FOLDER / name, tmp_path)
    subprocess.run([tmp_path / "setup"], check=True, cwd="/", timeout=20)
    assert env_file(tmp_path / ".env") == {**env_file(EXAMPLE), "SECRETS_GID": str(os.getegid())}
    secret = (tmp_path / "secrets/auth_secret").read_text()
    assert len(secret.strip()) == 44
    redis = {name: (tmp_path / "secrets" / name).read_text() for name in ("redis_url", "redis_acl")}
    for file in (tmp_path / "secrets").iterdir():
        assert file.stat().st_mode & 0o777 == 0o640
    (tmp_path / ".env").write_text("HTTP_PORT=1\n")
    (tmp_path / "secrets/behest_key").write_text("mine")
    subprocess.run([tmp_path / "setup"], check=True, cwd="/", timeout=20)
    assert (tmp_path / "secrets/auth_secret").read_text() == secret
    assert redis == {name: (tmp_path / "secrets" / name).read_text() for name in redis}
    assert (tmp_path / "secrets/behest_key").read_text() == "mine"
    assert (tmp_path / ".env").read_text() == "HTTP_PORT=1\n"
    assert {"secrets", "secrets/auth_secret", ".env"} <= kept_out(), "git does not see them"


def kept_out() -> set[str]:
    """What of this folder git ignores."""
    names = [".env", "secrets", "secrets/auth_secret", ".env.example", "compose.yaml"]
    command = ["git", "check-ignore", "--no-index", *names]
    found = set(subprocess.run(command, cwd=FOLDER, capture_output=True, text=True).stdout.split())
    # A folder is ignored by its slash, which it has only where it is there.
    return found | ({"secrets"} if "secrets/auth_secret" in found else set())
