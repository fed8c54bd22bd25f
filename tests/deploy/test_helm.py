"""The chart beyond what it renders: its values, their schema, and what it says."""

import json
import re

import pytest
import yaml

from manifests import (
    CHART,
    EVERYTHING,
    REQUIRED,
    SINGLE,
    STATE,
    VERSION,
    environment,
    gateway,
    helm,
    helm_template,
    kinds_of,
    of_kind,
    pod,
    run,
)

VALUES = yaml.safe_load((CHART / "values.yaml").read_text())
SCHEMA = json.loads((CHART / "values.schema.json").read_text())
TEMPLATES = sorted((CHART / "templates").glob("*.yaml"))


def test_the_chart_is_of_the_gateways_version():
    chart = yaml.safe_load((CHART / "Chart.yaml").read_text())
    assert chart["appVersion"] == VERSION


@pytest.mark.parametrize("values", [REQUIRED, EVERYTHING, SINGLE], ids=["least", "everything", "single"])
def test_helm_finds_nothing_to_mend(values, tmp_path):
    file = tmp_path / "values.yaml"
    file.write_text(yaml.safe_dump(values))
    done = run("helm", "lint", "--strict", CHART, "--values", file)
    assert done.returncode == 0 and not re.search(r"\[(WARNING|ERROR)\]", done.stdout), done.stdout


def test_every_file_of_the_chart_has_its_part():
    """Helm would take a stray file without a word."""
    top = {"Chart.yaml", "README.md", "values.yaml", "values.schema.json", ".helmignore", "templates"}
    assert {path.name for path in CHART.iterdir()} == top
    others = {path.name for path in (CHART / "templates").iterdir()} - {path.name for path in TEMPLATES}
    assert others == {"NOTES.txt", "_names.tpl", "_pod.tpl", "_store.tpl"}


@pytest.mark.parametrize("template", TEMPLATES, ids=lambda path: path.name)
def test_every_template_renders_something(template, tmp_path):
    file = tmp_path / "values.yaml"
    file.write_text(yaml.safe_dump(SINGLE if template.name == "claim.yaml" else EVERYTHING))
    done = run("helm", "template", "gateway", CHART, "--values", file, "--show-only", f"templates/{template.name}")
    assert done.returncode == 0 and "kind:" in done.stdout, done.stderr


##### Values


def paths(tree: dict, above: str = "") -> set[str]:
    found = set()
    for key, value in tree.items():
        found |= {above + key} | (paths(value, f"{above}{key}.") if isinstance(value, dict) else set())
    return found


def schema_paths(schema: dict, above: str = "") -> set[str]:
    found = set()
    for key, below in schema.get("properties", {}).items():
        found |= {above + key} | schema_paths(below, f"{above}{key}.")
    return found


def test_the_schema_knows_every_value_and_no_other():
    known = schema_paths(SCHEMA)
    values = {path for path in paths(VALUES) if not path.startswith(("secretFiles.", "resources."))}
    assert known - {"global"} == values


def test_every_value_is_used_and_every_value_that_is_used_is_there():
    text = "\n".join(path.read_text() for path in (CHART / "templates").iterdir())
    used = set(re.findall(r"\.Values\.([a-zA-Z.]+)", text))
    assert used <= paths(VALUES)
    top = {name.split(".")[0] for name in used}
    assert top == set(VALUES)


@pytest.mark.parametrize("missing", ["publicOrigin", "behest", "existingSecret"])
def test_what_is_required_is_asked_for_by_name(missing, tmp_path):
    done = helm_template({key: value for key, value in REQUIRED.items() if key != missing}, tmp_path)
    assert done.returncode != 0
    assert re.search(rf"{missing}[.a-zA-Z]* is required", done.stderr), done.stderr


WRONG = {
    "a misspelt value": {"replicas": 3},
    "a misspelt value further down": {"ingress": {"enable": True}},
    "an origin with a path": {"publicOrigin": "https://app.example/"},
    "an app without a scheme": {"appUrl": "app:3000"},
    "a base URL with a path": {"behest": {"baseUrl": "https://your-slug.behest.app/v1"}},
    "a mode that does not exist": {"mode": "daemonset"},
    "a time with a unit": {"drain": {"delaySeconds": "5s"}},
    "a secret's variable that is no file": {"secretFiles": {"BEHEST_KEY": "behest-key"}},
    "a store that does not exist": {"store": {"kind": "memcached"}},
    "a folder that depends on where the program is started": {"store": {"path": "state"}},
    "a size without a unit that Kubernetes knows": {"replicaCount": 1, "store": {"persistence": {"size": "2 GB"}}},
}


@pytest.mark.parametrize("wrong", WRONG)
def test_the_schema_refuses(wrong, tmp_path):
    done = helm_template({**REQUIRED, **WRONG[wrong]}, tmp_path)
    assert done.returncode != 0 and "schema" in done.stderr, done.stdout + done.stderr


def test_a_list_of_origins_is_a_value(tmp_path):
    rendered = helm(
        {**REQUIRED, "publicOrigin": "https://app.example, https://www.app.example:8443", "ingress": {"enabled": True}},
        tmp_path,
    )
    (ingress,) = of_kind(rendered, "Ingress")
    assert [rule["host"] for rule in ingress["spec"]["rules"]] == ["app.example", "www.app.example"]


##### Switches

SWITCHES = {
    "autoscaling": "HorizontalPodAutoscaler",
    "podDisruptionBudget": "PodDisruptionBudget",
    "networkPolicy": "NetworkPolicy",
    "serviceMonitor": "ServiceMonitor",
    "ingress": "Ingress",
}


@pytest.mark.parametrize("switch", SWITCHES)
def test_a_switch_adds_its_kind_alone(switch, tmp_path):
    off = {**REQUIRED, **{name: {"enabled": False} for name in SWITCHES}}
    without = kinds_of(helm(off, tmp_path))
    having = kinds_of(helm({**off, switch: {"enabled": True}}, tmp_path))
    assert without == {"Deployment", "Service"} and having - without == {SWITCHES[switch]}


def test_a_sidecar_is_no_deployment(tmp_path):
    rendered = helm({**EVERYTHING, "mode": "sidecar"}, tmp_path)
    assert kinds_of(rendered) == {"Service", "ServiceMonitor", "ConfigMap", "Ingress"}


def test_another_configuration_rolls_the_pods(tmp_path):
    def annotations(config: str) -> dict:
        return pod(helm({**REQUIRED, "config": config}, tmp_path))["metadata"]["annotations"]

    first, second = annotations("[limits]\nmax_headers = 50\n"), annotations("[limits]\nmax_headers = 60\n")
    assert first != second and first == annotations("[limits]\nmax_headers = 50\n")


def test_a_secret_that_is_not_wanted_is_left_out(tmp_path):
    rendered = helm({**REQUIRED, "secretFiles": {"AUTH_SECRET_FILE": None}}, tmp_path)
    names = environment(rendered, gateway(rendered))
    assert "BEHEST_KEY_FILE" in names and "AUTH_SECRET_FILE" not in names


def test_without_an_app_there_is_no_way_to_it(tmp_path):
    rendered = helm({**REQUIRED, "networkPolicy": {"enabled": True}}, tmp_path)
    assert "GATEWAY_APP_URL" not in environment(rendered, gateway(rendered))
    (policy,) = of_kind(rendered, "NetworkPolicy")
    assert 3000 not in [port["port"] for rule in policy["spec"]["egress"] for port in rule["ports"]]


@pytest.mark.parametrize("release", ["gateway", "behest-gateway", "x" * 53])
def test_names_fit_any_release(release, tmp_path):
    for document in helm(EVERYTHING, tmp_path, release=release):
        assert len(document["metadata"]["name"]) <= 63


##### Where budgets are kept


KEPT = {"store": {"persistence": {"size": "2Gi"}}}
TWO_AT_A_FOLDER = {
    "replicas": ({**KEPT, "replicaCount": 2}, "replicaCount: 1"),
    "an autoscaler": ({**KEPT, "replicaCount": 1, "autoscaling": {"enabled": True}}, "autoscaling.enabled: false"),
    "a claim of yours": ({"replicaCount": 3, "store": {"persistence": {"existingClaim": "mine"}}}, "store.kind: redis"),
    "an app's pods": ({**KEPT, "replicaCount": 1, "mode": "sidecar"}, "mode deployment"),
}


@pytest.mark.parametrize("several", TWO_AT_A_FOLDER)
def test_a_folder_of_one_gateway_is_not_given_to_several(several, tmp_path):
    values, said = TWO_AT_A_FOLDER[several]
    done = helm_template({**REQUIRED, **values}, tmp_path)
    assert done.returncode != 0 and said in done.stderr, done.stderr


def test_a_claim_that_is_there_is_taken(tmp_path):
    rendered = helm({**SINGLE, "store": {"persistence": {"existingClaim": "mine"}}}, tmp_path)
    assert not of_kind(rendered, "PersistentVolumeClaim")
    (state,) = [volume for volume in pod(rendered)["spec"]["volumes"] if volume["name"] == STATE]
    assert state["persistentVolumeClaim"] == {"claimName": "mine"}


def test_what_was_counted_stays_when_the_release_goes(tmp_path):
    (claim,) = of_kind(helm(SINGLE, tmp_path), "PersistentVolumeClaim")
    assert claim["metadata"]["annotations"] == {"helm.sh/resource-policy": "keep"}
    assert claim["spec"]["storageClassName"] == "fast" and claim["spec"]["resources"]["requests"] == {"storage": "2Gi"}


def test_another_folder_is_mounted_and_named(tmp_path):
    rendered = helm({**REQUIRED, "store": {"path": "/srv/state"}}, tmp_path)
    assert environment(rendered, gateway(rendered))["GATEWAY_STORE__PATH"] == "/srv/state"
    (mount,) = [mount for mount in gateway(rendered)["volumeMounts"] if mount["name"] == STATE]
    assert mount["mountPath"] == "/srv/state"


LIMITED = [
    {"config": "[budgets.default]\ntokens_per_day = 5\n"},
    {"config": "[limits]\nmax_headers = 50\n\n  [budgets.tiers.free]\nusd_per_day = 1\n"},
    {"config": "budgets.default.tokens_per_day = 5\n"},
    {"extraEnv": [{"name": "GATEWAY_BUDGETS__DEFAULT__TOKENS_PER_DAY", "value": "5"}]},
]


@pytest.mark.parametrize("limited", LIMITED)
def test_it_warns_of_gateways_that_count_apart(limited, tmp_path):
    apart = {**REQUIRED, **limited}
    for values in (apart, {**apart, "mode": "sidecar", "replicaCount": 1}, {**apart, "autoscaling": {"enabled": True}}):
        assert "each counts budgets by itself" in notes(values, tmp_path)
    for values in ({**apart, "store": {"kind": "redis"}}, {**apart, "replicaCount": 1}, {**apart, **KEPT, "replicaCount": 1}):
        assert "WARNING" not in notes(values, tmp_path)


def test_it_does_not_warn_where_nothing_is_limited(tmp_path):
    for config in ("", "# [budgets]\n", '[usage]\nusers = "none"\n'):
        assert "WARNING" not in notes({**REQUIRED, "config": config}, tmp_path)


def test_the_notes_name_the_key_with_the_url_of_redis(tmp_path):
    assert "redis-url" in notes({**REQUIRED, "store": {"kind": "redis"}}, tmp_path)
    assert "redis-url" not in notes(REQUIRED, tmp_path)


##### What it says


def notes(values: dict, folder) -> str:
    file = folder / "values.yaml"
    file.write_text(yaml.safe_dump(values))
    done = run("helm", "install", "gateway", CHART, "--values", file, "--dry-run=client", "--namespace", "chat")
    assert done.returncode == 0, done.stderr
    return done.stdout.split("NOTES:")[1]


@pytest.mark.parametrize("values", [REQUIRED, EVERYTHING, {**REQUIRED, "mode": "sidecar"}], ids=["least", "all", "sidecar"])
def test_the_notes_name_what_is_left_to_do(values, tmp_path):
    said = notes(values, tmp_path)
    assert "AUTH_URL=https://app.example" in said and "behest-key" in said and "namespace chat" in said
    assert max(map(len, said.splitlines())) <= 110
