"""The gateway starts from what each pod gives it: its variables, its secrets' and configuration's files."""

import re
from pathlib import Path

import pytest

from check import checked
from manifests import KUBERNETES, OVERLAYS, RENDERED, environment, gateway, of_kind, pod, render

# Of this it must warn anybody. Kubelet and Prometheus need it, and no Ingress leads there.
MEANT = ("admin.listen is 0.0.0.0:9090",)
NOT_LISTENING_THERE = ("--admin-listen", "127.0.0.1:9090")
# The Secret that an operator makes.
SECRET = {
    "behest-key": "behest_sk_live_0123456789abcdef0123456789abcdef",
    "auth-secret": "deploy-tests-only-0-7c1d5a9be24f8036\ndeploy-tests-only-1-7c1d5a9be24f8036",
    "admin-token": "deploy-tests-only-2-7c1d5a9be24f8036",
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
    name = volume["configMap"]["name"]
    if name == "private-ca":
        return {"ca.crt": CERTIFICATE}
    (found,) = [document for document in of_kind(rendered, "ConfigMap") if document["metadata"]["name"] == name]
    return found["data"]


def started_with(rendered: list[dict], folder: Path) -> dict[str, str]:
    """The container's environment, with its volumes' files under `folder`."""
    env = environment(rendered, gateway(rendered))
    volumes = {volume["name"]: volume for volume in pod(rendered)["spec"]["volumes"]}
    for mount in gateway(rendered)["volumeMounts"]:
        at = folder / mount["name"]
        at.mkdir()
        for key, text in contents(rendered, volumes[mount["name"]]).items():
            (at / key).write_text(text)
            (at / key).chmod(0o440)
        env = {name: re.sub(rf"^{mount['mountPath']}/", f"{at}/", value) for name, value in env.items()}
    return env


def test_it_is_warned_of_nothing_but_the_admin_address(rendered, tmp_path):
    env = started_with(rendered, tmp_path)
    checked(env, *NOT_LISTENING_THERE)
    checked(env, warnings=MEANT)


def test_every_variable_is_in_force(rendered, tmp_path):
    """Each is named as the source of some setting: none is overruled or left unread."""
    env = started_with(rendered, tmp_path)
    origins = {origin for _, origin in checked(env, warnings=MEANT).values()}
    assert env.keys() - {"GATEWAY_CONFIG"} <= origins
    assert ("GATEWAY_CONFIG" in env) == ("file" in origins)


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_what_is_commented_out_works_too(overlay, tmp_path):
    rendered = render(f"kustomize:{overlay}", KUBERNETES)
    text = (KUBERNETES / "base/gateway.env").read_text()
    commented = dict(re.findall(r"^#([A-Z_0-9]+)=(.+)$", text, re.M))
    assert commented
    checked(started_with(rendered, tmp_path) | commented, *NOT_LISTENING_THERE)
