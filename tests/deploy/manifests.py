"""Renders the overlays by the real kubectl and the chart by the real helm, and reads what comes out."""

import os
import re
import shutil
import subprocess
import textwrap
from functools import cache
from pathlib import Path, PurePosixPath

import yaml

from conftest import KUBE_TOOLS_DIR, ROOT

KUBERNETES = ROOT / "deploy/kubernetes"
CHART = ROOT / "deploy/helm/behest-gateway"
OVERLAYS = sorted(folder.name for folder in (KUBERNETES / "overlays").iterdir())
VERSION = re.search(r'^version = "(.+)"$', (ROOT / "Cargo.toml").read_text(), re.M)[1]

# The values that the chart cannot do without.
REQUIRED = {
    "publicOrigin": "https://app.example",
    "behest": {"baseUrl": "https://your-slug.behest.app"},
    "existingSecret": "behest-gateway",
}
# Everything that can be switched on, and every value that is empty by default.
EVERYTHING = {
    **REQUIRED,
    "appUrl": "http://app:3000",
    "imagePullSecrets": [{"name": "registry"}],
    "config": '[limits]\nmax_body = "16 MiB"\n\n[mint]\ntiers = { free = 1, pro = 2 }\n',
    "secretFiles": {"GATEWAY_ADMIN_TOKEN_FILE": "admin-token"},
    "extraEnv": [
        {"name": "GATEWAY_ALLOWED_ORIGINS", "value": "https://chat.app.example"},
        {"name": "GATEWAY_UPSTREAM__CA_FILE", "value": "/etc/private-ca/ca.crt"},
    ],
    "extraVolumes": [{"name": "private-ca", "configMap": {"name": "private-ca"}}],
    "extraVolumeMounts": [{"name": "private-ca", "mountPath": "/etc/private-ca", "readOnly": True}],
    "store": {"kind": "redis"},
    "trustedProxies": ["10.0.0.0/8", "fd00::/8"],
    "drain": {"delaySeconds": 15, "limitSeconds": 120},
    "autoscaling": {"enabled": True},
    "ingress": {"enabled": True, "className": "nginx", "annotations": {"a": "b"}, "tlsSecret": "app-tls"},
    "service": {"annotations": {"a": "b"}},
    "networkPolicy": {
        "enabled": True,
        "extraEgress": [{"to": [{"ipBlock": {"cidr": "192.0.2.1/32"}}], "ports": [{"port": 3128}]}],
    },
    "serviceMonitor": {"enabled": True, "labels": {"release": "prometheus"}},
    "podAnnotations": {"a": "b"},
    "podLabels": {"team": "chat"},
    "priorityClassName": "high",
    "nodeSelector": {"kubernetes.io/arch": "amd64"},
    "tolerations": [{"key": "dedicated", "operator": "Exists"}],
}
# One gateway, whose counts outlive its pod, and what it can write besides.
SINGLE = {
    **REQUIRED,
    "replicaCount": 1,
    "store": {"persistence": {"size": "2Gi", "storageClass": "fast"}},
    "config": (
        "[budgets.default]\ntokens_per_day = 50000\n\n"
        '[usage.file]\npath = "/var/lib/behest-gateway/usage.jsonl"\n\n'
        '[usage.webhook]\nurl = "https://billing.example/usage"\nspool_path = "/var/lib/behest-gateway/spool"\n'
    ),
}


class Strict(yaml.SafeLoader):
    """Refuses a key that stands twice, of which YAML libraries keep the last without a word."""


def _mapping(loader: Strict, node: yaml.MappingNode) -> dict:
    keys = [loader.construct_object(key) for key, _ in node.value]
    assert len(keys) == len(set(keys)), f"a key stands twice: {keys}{node.start_mark}"
    return loader.construct_mapping(node, deep=True)


Strict.add_constructor(yaml.resolver.BaseResolver.DEFAULT_MAPPING_TAG, _mapping)


def documents(text: str) -> list[dict]:
    return [document for document in yaml.load_all(text, Strict) if document]


def run(tool: str, *arguments: str | Path) -> subprocess.CompletedProcess:
    program = KUBE_TOOLS_DIR / tool / tool
    assert program.is_file(), f"{program} is missing: `make test-deploy` unpacks it"
    return subprocess.run([program, *arguments], capture_output=True, text=True, timeout=60, env={"HOME": "/nonexistent"})


def kustomize(folder: Path) -> list[dict]:
    done = run("kubectl", "kustomize", folder)
    # Deprecated fields are told of there.
    assert done.returncode == 0 and not done.stderr, done.stderr
    return documents(done.stdout)


def helm(values: dict, folder: Path, chart: Path = CHART, release: str = "gateway") -> list[dict]:
    done = helm_template(values, folder, chart, release)
    assert done.returncode == 0 and not done.stderr, done.stderr
    return documents(done.stdout)


def helm_template(values: dict, folder: Path, chart: Path = CHART, release: str = "gateway"):
    file = folder / "values.yaml"
    file.write_text(yaml.safe_dump(values))
    return run("helm", "template", release, chart, "--values", file, "--kube-version", "1.29.0")


def fenced(page: Path, language: str) -> list[str]:
    """The blocks of code in that language on a page."""
    found = re.findall(rf"^( *)```{language}\n(.*?)^ *```", page.read_text(), re.M | re.S)
    return [textwrap.dedent(block) for _, block in found]


def app_chart(folder: Path, kind: str) -> Path:
    """A chart as the README makes it: this one as a dependency, its container in the app's pod."""
    dependency, values, deployment = (
        next(block for block in fenced(CHART / "README.md", "yaml") if block.startswith(start))
        for start in ("dependencies:", "behest-gateway:", "{{- $gateway")
    )
    chart = folder / "app"
    (chart / "templates").mkdir(parents=True)
    (chart / "Chart.yaml").write_text(f"apiVersion: v2\nname: app\nversion: 1.0.0\n{dependency}")
    (chart / "values.yaml").write_text(values)
    if kind == "plain":
        head, rest = deployment.split("      initContainers:\n", 1)
        gateway, app = rest.split("      containers:\n", 1)
        gateway = gateway.replace("behest-gateway.nativeSidecar", "behest-gateway.container")
        deployment = head + "      containers:\n" + gateway + app.replace("seconds: 5", "seconds: 10")
    (chart / "templates/deployment.yaml").write_text(deployment)
    shutil.copytree(CHART, chart / "charts/behest-gateway")
    return chart


RENDERED = [
    *(f"kustomize:{overlay}" for overlay in OVERLAYS),
    "helm:least",
    "helm:everything",
    "helm:single",
    "helm:native-sidecar",
    "helm:plain-sidecar",
]


@cache
def render(what: str, folder: Path) -> list[dict]:
    """One of RENDERED."""
    tool, name = what.split(":")
    if tool == "kustomize":
        return kustomize(KUBERNETES / "overlays" / name)
    if name.endswith("-sidecar"):
        return helm({}, folder, app_chart(folder, name.removesuffix("-sidecar")), "app")
    return helm({"least": REQUIRED, "everything": EVERYTHING, "single": SINGLE}[name], folder)


##### What is in them


def of_kind(rendered: list[dict], kind: str) -> list[dict]:
    return [document for document in rendered if document["kind"] == kind]


def pod(rendered: list[dict]) -> dict:
    """The template of the pods with the gateway in them."""
    templates = [deployment["spec"]["template"] for deployment in of_kind(rendered, "Deployment")]
    (template,) = [one for one in templates if any(c["name"] == "gateway" for c in containers(one))]
    return template


def containers(template: dict) -> list[dict]:
    spec = template["spec"]
    return spec.get("initContainers", []) + spec["containers"]


def gateway(rendered: list[dict]) -> dict:
    (found,) = [container for container in containers(pod(rendered)) if container["name"] == "gateway"]
    return found


def others(rendered: list[dict]) -> list[dict]:
    """The containers beside the gateway's."""
    return [container for container in containers(pod(rendered)) if container["name"] != "gateway"]


def environment(rendered: list[dict], container: dict) -> dict[str, str]:
    """What the container is started with; what comes by reference to a Secret is left out."""
    maps = {document["metadata"]["name"]: document["data"] for document in of_kind(rendered, "ConfigMap")}
    env: dict[str, str] = {}
    for source in container.get("envFrom", []):
        assert list(source) == ["configMapRef"], f"the gateway takes no secrets from variables: {source}"
        env |= maps[source["configMapRef"]["name"]]
    names = [item["name"] for item in container.get("env", [])]
    assert len(names) == len(set(names)), f"a variable stands twice: {names}"
    return env | {item["name"]: item["value"] for item in container.get("env", []) if "value" in item}


# Where the gateway may write, and nowhere else.
STATE = "gateway-state"


def inside(path: str, folder: str) -> bool:
    return PurePosixPath(path).is_relative_to(folder)


def written_to(env: dict[str, str]) -> dict[str, str]:
    """The variables that name a place which the gateway writes to."""
    names = ("GATEWAY_STORE__PATH", "GATEWAY_USAGE__FILE__PATH", "GATEWAY_USAGE__WEBHOOK__SPOOL_PATH")
    return {name: env[name] for name in names if env.get(name)}


def commented_out() -> dict[str, str]:
    """The variables of the overlays that stand there to be uncommented."""
    text = (KUBERNETES / "base/gateway.env").read_text()
    return dict(re.findall(r"^#([A-Z_0-9]+)=(.+)$", text, re.M))


def composed(folder: Path, *kustomizations: Path) -> list[dict]:
    """An overlay of one's own, of that overlay and of those components."""
    first, *components = (os.path.relpath(path, folder) for path in kustomizations)
    own = {"apiVersion": "kustomize.config.k8s.io/v1beta1", "kind": "Kustomization", "resources": [first]}
    (folder / "kustomization.yaml").write_text(yaml.safe_dump({**own, "components": components}))
    return kustomize(folder)


def seconds(text: str) -> int:
    return int(re.fullmatch(r"(\d+)s", text)[1])


def kinds_of(rendered: list[dict]) -> set[str]:
    return {document["kind"] for document in rendered}
