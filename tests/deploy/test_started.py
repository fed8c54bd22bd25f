"""The gateway starts from what each pod gives it: its variables, its secrets' and configuration's files."""

import re
from pathlib import Path

import pytest

from check import checked
from manifests import KUBERNETES, OVERLAYS, RENDERED, STATE, commented_out, environment, gateway, of_kind, pod, render, written_to
from started import refused, serving

# Of this it must warn anybody. Kubelet and Prometheus need it, and no Ingress leads there.
MEANT = ("admin.listen is 0.0.0.0:9090",)
NOT_LISTENING_THERE = ("--admin-listen", "127.0.0.1:9090")
# The Secret that an operator makes.
SECRET = {
    "behest-key": "behest_sk_live_0123456789abcdef0123456789abcdef",
    "auth-secret": "deploy-tests-only-0-7c1d5a9be24f8036\ndeploy-tests-only-1-7c1d5a9be24f8036",
    "admin-token": "deploy-tests-only-2-7c1d5a9be24f8036",
    "redis-url": "redis://gateway:deploy-tests-only-3-7c1d5a9be24f8036@redis:6379/0",
}
# Of an authority whose key nobody has.
CERTIFICATE = """\
-----BEGIN CERTIFICATE-----
MIIBezCCASGgAwIBAgIUUN1Af35+WLZSX5sGYcaeQFAJj5QwCgYIKoZIzj0EAwIw
EjEQMA4GA1UEAwwHcHJpdmF0ZTAgFw0yNjExMjQwMDE4MDFaGA8yMTI2MTAzMTAw
MTgwMVowEjEQMA4GA1UEAwwHcHJpdmF0ZTBZMBMGByqGSM49AgEGCCqGSM49AwEH
A0IABIyEfTg+9lo5eYrimME0hrzurc3T5LhoFgkkFbufF7npRlBKoDahSR3fMeDX
ALV4L1z76eKOhU84eIV7ykVRc8WjUzBRMB0GA1UdDgQWBBS4yT+UMOs8nj7KcrvJ
y0kchKuqJjAfBgNVHSMEGDAWgBS4yT+UMOs8nj7KcrvJy0kchKuqJjAPBgNVHRMB
Af8EBTADAQH/MAoGCCqGSM49BAMCA0gAMEUCIDLV7EFpP56XckQL+jQpYyuvQdEm
R/wpRMMHKeIeDrvPAiEAv+hvm/UP70kCf2J3fSeu2J1pNjYWsmt6oMohc4LdcIk=
-----END CERTIFICATE-----
"""


@pytest.fixture(scope="module", params=RENDERED)
def rendered(request, tmp_path_factory) -> list[dict]:
    return render(request.param, tmp_path_factory.mktemp("rendered"))


def contents(rendered: list[dict], volume: dict) -> dict[str, str]:
    if "secret" in volume:
        return SECRET
    if volume["name"] == STATE:
        return {}
    name = volume["configMap"]["name"]
    if name == "private-ca":
        return {"ca.crt": CERTIFICATE}
    (found,) = [document for document in of_kind(rendered, "ConfigMap") if document["metadata"]["name"] == name]
    return found["data"]


def gateway_state(rendered: list[dict]) -> str:
    """Where it may write."""
    (mount,) = [mount for mount in gateway(rendered)["volumeMounts"] if mount["name"] == STATE]
    return mount["mountPath"]


def started_with(rendered: list[dict], folder: Path, more: dict[str, str] | None = None) -> dict[str, str]:
    """The container's environment and `more`, with its volumes' files under `folder`."""
    env = environment(rendered, gateway(rendered)) | (more or {})
    volumes = {volume["name"]: volume for volume in pod(rendered)["spec"]["volumes"]}
    for mount in gateway(rendered)["volumeMounts"]:
        at = folder / mount["name"]
        at.mkdir()
        for key, text in contents(rendered, volumes[mount["name"]]).items():
            # Of the other volumes, in the file of settings.
            text = re.sub(rf'"{gateway_state(rendered)}/', f'"{folder}/{STATE}/', text)
            (at / key).write_text(text)
            (at / key).chmod(0o440)
        env = {name: re.sub(rf"^{mount['mountPath']}(?=/|$)", str(at), value) for name, value in env.items()}
    return env


def test_it_is_warned_of_nothing_but_the_admin_address(rendered, tmp_path):
    env = started_with(rendered, tmp_path)
    checked(env, *NOT_LISTENING_THERE)
    checked(env, warnings=MEANT)


def test_every_variable_is_in_force(rendered, tmp_path):
    """Each is named as the source of some setting: none is overruled or left unread."""
    env = started_with(rendered, tmp_path)
    origins = {origin for _, origin in checked(env, warnings=MEANT).values()}
    # An empty one is as one that is not there.
    assert {name for name, value in env.items() if value} - {"GATEWAY_CONFIG"} <= origins
    assert ("GATEWAY_CONFIG" in env) == ("file" in origins)


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_what_is_commented_out_works_too(overlay, tmp_path):
    rendered = render(f"kustomize:{overlay}", KUBERNETES)
    assert commented_out()
    checked(started_with(rendered, tmp_path, commented_out()), *NOT_LISTENING_THERE)


def test_it_keeps_what_it_keeps_in_its_volume(rendered, tmp_path):
    """All that it can write is in there, and it starts from it again."""
    env = started_with(rendered, tmp_path, commented_out())
    for _ in range(2):
        with serving(env):
            written = {path.name.split(".")[0] for path in (tmp_path / STATE).iterdir()}
    kept = {"budgets"} if env.get("GATEWAY_STORE__PATH") else set()
    assert written >= kept | {"usage", "spool"}


def test_it_is_refused_where_it_cannot_write(rendered, tmp_path):
    """As in a pod without the volume, whose root is read-only: before it listens, by the variable's name."""
    env = started_with(rendered, tmp_path, commented_out())
    (tmp_path / STATE).chmod(0o555)
    said = refused(env)
    for variable in written_to(env):
        assert f"({variable}) cannot be " in said
    assert ("Mount a volume there" in said) == ("GATEWAY_STORE__PATH" in written_to(env))
