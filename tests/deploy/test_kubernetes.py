"""The overlays and the chart, rendered: Kubernetes takes every object, and they fit each other."""

from urllib.parse import urlsplit

import jsonschema
import kubernetes_validate
import pytest

from manifests import (
    KUBERNETES,
    RENDERED,
    STATE,
    VERSION,
    commented_out,
    composed,
    containers,
    documents,
    environment,
    gateway,
    inside,
    kinds_of,
    of_kind,
    others,
    pod,
    render,
    seconds,
    written_to,
)

# The first with native sidecars, the first with `preStop.sleep` by default, and the newest.
VERSIONS = ["1.29", "1.30", "1.37"]
EXAMPLES = ["secret.example.yaml", "external-secret.example.yaml"]


def fields(required: list[str], **properties) -> dict:
    return {"type": "object", "additionalProperties": False, "required": required, "properties": properties}


TEXT = {"type": "string", "minLength": 1}
TEXTS = {"type": "object", "additionalProperties": {"type": "string"}}
# What is used of resources that are not Kubernetes' own.
CUSTOM = {
    ("monitoring.coreos.com/v1", "ServiceMonitor"): fields(
        ["selector", "endpoints"],
        selector=fields(["matchLabels"], matchLabels=TEXTS),
        endpoints={
            "type": "array",
            "minItems": 1,
            "items": fields(["port"], port=TEXT, path=TEXT, interval={"type": "string", "pattern": r"^\d+s$"}),
        },
    ),
    ("external-secrets.io/v1", "ExternalSecret"): fields(
        ["secretStoreRef", "target", "data"],
        refreshInterval=TEXT,
        secretStoreRef=fields(["kind", "name"], kind={"enum": ["SecretStore", "ClusterSecretStore"]}, name=TEXT),
        target=fields(["name"], name=TEXT, creationPolicy={"enum": ["Owner", "Merge", "Orphan", "None"]}),
        data={
            "type": "array",
            "items": fields(
                ["secretKey", "remoteRef"],
                secretKey=TEXT,
                remoteRef=fields(["key"], key=TEXT, property=TEXT),
            ),
        },
    ),
}


@pytest.fixture(scope="module", params=RENDERED)
def rendered(request, tmp_path_factory) -> list[dict]:
    return render(request.param, tmp_path_factory.mktemp("rendered"))


def validate(document: dict, version: str) -> None:
    custom = CUSTOM.get((document["apiVersion"], document["kind"]))
    if custom is None:
        kubernetes_validate.validate(document, version, strict=True)
    else:
        assert set(document) == {"apiVersion", "kind", "metadata", "spec"}
        jsonschema.validate(document["spec"], custom)


##### By the schemas


@pytest.mark.parametrize("version", VERSIONS)
def test_kubernetes_takes_every_object(rendered, version):
    for document in rendered:
        validate(document, version)


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("name", EXAMPLES)
def test_kubernetes_takes_the_examples(name, version):
    for document in documents((KUBERNETES / name).read_text()):
        validate(document, version)


def test_no_two_objects_have_the_same_name(rendered):
    names = [(document["kind"], document["metadata"]["name"]) for document in rendered]
    assert len(names) == len(set(names))


##### The pod


def test_the_image_is_of_this_version(rendered):
    image = gateway(rendered)["image"].removeprefix("registry.example/")
    assert image == f"behest-gateway:{VERSION}"


def test_a_pod_has_the_time_that_its_gateway_needs_to_drain(rendered):
    env = environment(rendered, gateway(rendered))
    delay, limit = (seconds(env[f"GATEWAY_SERVER__DRAIN_{name}"]) for name in ("DELAY", "LIMIT"))
    grace = pod(rendered)["spec"]["terminationGracePeriodSeconds"]
    assert grace == delay + limit + 10
    for app in others(rendered):
        pause = app["lifecycle"]["preStop"]["sleep"]["seconds"]
        if gateway(rendered).get("restartPolicy") == "Always":
            # The gateway is told to stop after the app.
            assert pause >= 5 and pause + delay + limit < grace
        else:
            # Both are told to stop at once.
            assert delay < pause < grace


def test_probes_ask_the_admin_listener(rendered):
    container = gateway(rendered)
    env = environment(rendered, container)
    admin = int(env["GATEWAY_ADMIN_LISTEN"].removeprefix("0.0.0.0:"))
    api = int(env["GATEWAY_LISTEN"].removeprefix("0.0.0.0:"))
    assert {port["name"]: port["containerPort"] for port in container["ports"]} == {"http": api, "admin": admin}
    paths = {"startupProbe": "/readyz", "readinessProbe": "/readyz", "livenessProbe": "/livez"}
    for probe, path in paths.items():
        assert container[probe]["httpGet"] == {"path": path, "port": admin}


def test_other_probes_ask_ports_that_their_container_has(rendered):
    for container in others(rendered):
        ports = [port["containerPort"] for port in container["ports"]]
        for probe in ("startupProbe", "readinessProbe", "livenessProbe"):
            for ask in ("httpGet", "tcpSocket"):
                asked = container.get(probe, {}).get(ask)
                assert asked is None or asked["port"] in ports


def test_the_sidecar_starts_before_the_app_or_beside_it(rendered, request):
    spec = pod(rendered)["spec"]
    initial = [container["name"] for container in spec.get("initContainers", [])]
    native = "native-sidecar" in request.node.name
    assert initial == (["gateway"] if native else [])
    assert gateway(rendered).get("restartPolicy") == ("Always" if native else None)


def test_every_container_is_confined(rendered):
    spec = pod(rendered)["spec"]
    assert spec["enableServiceLinks"] is False
    assert spec["securityContext"]["runAsNonRoot"] is True
    assert spec["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
    assert not {"hostNetwork", "hostPID", "hostIPC"} & set(spec)
    for container in containers(pod(rendered)):
        confined = container["securityContext"]
        assert confined["runAsUser"] > 0 and confined["readOnlyRootFilesystem"] is True
        assert confined["allowPrivilegeEscalation"] is False and confined["capabilities"] == {"drop": ["ALL"]}
        assert not {"privileged", "seccompProfile"} & set(confined)
        assert container["resources"]["limits"]["memory"] and container["resources"]["requests"]["cpu"]


def test_secrets_are_files_of_the_gateway_alone(rendered):
    container, spec = gateway(rendered), pod(rendered)["spec"]
    assert not [item for item in container.get("env", []) if "valueFrom" in item]
    volumes = {volume["name"]: volume for volume in spec["volumes"]}
    (secret,) = [volume["secret"] for volume in volumes.values() if "secret" in volume]
    assert secret == {"secretName": "behest-gateway", "defaultMode": 0o440}
    assert spec["securityContext"]["fsGroup"] == container["securityContext"]["runAsGroup"] == 65532
    for app in others(rendered):
        assert "gateway-secrets" not in [mount["name"] for mount in app.get("volumeMounts", [])]
    # Any key, password or token is named as a file; nothing of the kind stands in a value.
    for app in containers(pod(rendered)):
        for name, value in environment(rendered, app).items():
            assert name.endswith("_FILE") or not name.endswith(("_KEY", "_SECRET", "_TOKEN", "_PASSWORD")), name
            assert "behest_sk_" not in value and "behest_pk_" not in value


def test_what_is_mounted_is_there_and_what_is_there_is_mounted(rendered):
    volumes = [volume["name"] for volume in pod(rendered)["spec"]["volumes"]]
    mounts = [mount for container in containers(pod(rendered)) for mount in container.get("volumeMounts", [])]
    assert sorted(volumes) == sorted({mount["name"] for mount in mounts})
    # What is mounted by subPath never changes.
    assert not [mount for mount in mounts if "subPath" in mount or "subPathExpr" in mount]
    assert [mount["name"] for mount in gateway(rendered)["volumeMounts"] if not mount.get("readOnly")] == [STATE]


def test_configmaps_that_are_used_exist(rendered):
    names = {document["metadata"]["name"] for document in of_kind(rendered, "ConfigMap")}
    volumes = pod(rendered)["spec"]["volumes"]
    used = {volume["configMap"]["name"] for volume in volumes if "configMap" in volume} - {"private-ca"}
    used |= {source["configMapRef"]["name"] for source in gateway(rendered).get("envFrom", [])}
    assert used == names


def test_the_app_is_told_its_public_address(rendered):
    env = environment(rendered, gateway(rendered))
    for app in others(rendered):
        assert environment(rendered, app)["AUTH_URL"] == env["GATEWAY_PUBLIC_ORIGIN"]


def test_the_gateway_finds_the_app(rendered):
    url = environment(rendered, gateway(rendered)).get("GATEWAY_APP_URL")
    for app in others(rendered):
        ports = [port["containerPort"] for port in app["ports"]]
        assert url == f"http://127.0.0.1:{ports[0]}"
    for policy in of_kind(rendered, "NetworkPolicy"):
        port = urlsplit(url).port
        assert [{"port": port}] in [rule["ports"] for rule in policy["spec"]["egress"]]


##### What it writes


def volume_of(rendered: list[dict], name: str) -> dict:
    (found,) = [volume for volume in pod(rendered)["spec"]["volumes"] if volume["name"] == name]
    return found


def test_what_it_writes_is_in_a_volume_that_it_may_write_to(rendered):
    """In what is commented out too."""
    container = gateway(rendered)
    env = environment(rendered, container)
    places = written_to(env)
    if env.get("GATEWAY_STORE__KIND") != "redis":
        assert "GATEWAY_STORE__PATH" in places, "else a restart forgets what was counted"
    if "envFrom" in container:
        places |= written_to(commented_out())
        assert len(places) >= 2
    (mount,) = [mount for mount in container["volumeMounts"] if mount["name"] == STATE]
    assert not mount.get("readOnly") and all(inside(place, mount["mountPath"]) for place in places.values())
    # Kubelet gives a volume to this group; which volumes are writable at all.
    assert pod(rendered)["spec"]["securityContext"]["fsGroup"] == container["securityContext"]["runAsGroup"]
    (kind,) = volume_of(rendered, STATE).keys() - {"name"}
    assert kind in ("emptyDir", "persistentVolumeClaim")
    for app in others(rendered):
        assert STATE not in [mount["name"] for mount in app.get("volumeMounts", [])]


def test_a_volume_that_outlives_the_pod_is_of_one_pod(rendered, request):
    claims = {document["metadata"]["name"]: document["spec"] for document in of_kind(rendered, "PersistentVolumeClaim")}
    claim = volume_of(rendered, STATE).get("persistentVolumeClaim")
    assert list(claims) == ([claim["claimName"]] if claim else [])
    assert bool(claim) == request.node.callspec.params["rendered"].endswith(":single")
    for document in of_kind(rendered, "Deployment"):
        if claim:
            # The folder is locked by one process: two pods never overlap.
            assert document["spec"]["replicas"] == 1 and document["spec"]["strategy"] == {"type": "Recreate"}
            assert claims[claim["claimName"]]["accessModes"] == ["ReadWriteOnce"]
            assert not of_kind(rendered, "HorizontalPodAutoscaler")


def test_redis_is_let_out_to_and_told_by_a_file_of_the_secret(rendered):
    env = environment(rendered, gateway(rendered))
    is_shared = env.get("GATEWAY_STORE__KIND") == "redis"
    if is_shared:
        folder, _, key = env["GATEWAY_STORE__URL_FILE"].rpartition("/")
        assert (folder, key) == ("/run/secrets/behest-gateway", "redis-url")
        assert not env.get("GATEWAY_STORE__PATH"), "nothing is counted there"
    else:
        assert "GATEWAY_STORE__URL_FILE" not in env
    for policy in of_kind(rendered, "NetworkPolicy"):
        ways = [rule for rule in policy["spec"]["egress"] if rule["ports"] == [{"port": 6379}, {"port": 6380}]]
        labels = {"app.kubernetes.io/name": "redis"}
        assert [rule["to"] for rule in ways] == ([[{"podSelector": {"matchLabels": labels}}]] if is_shared else [])


@pytest.mark.parametrize("overlay", ["native-sidecar", "plain-sidecar"])
def test_sidecars_take_the_component_too(overlay, tmp_path):
    rendered = composed(tmp_path, KUBERNETES / "overlays" / overlay, KUBERNETES / "components/redis")
    assert environment(rendered, gateway(rendered))["GATEWAY_STORE__KIND"] == "redis"
    test_configmaps_that_are_used_exist(rendered)
    test_redis_is_let_out_to_and_told_by_a_file_of_the_secret(rendered)
    test_what_it_writes_is_in_a_volume_that_it_may_write_to(rendered)


##### What stands around the pods


def matches(selector: dict, labels: dict) -> bool:
    assert selector, "an empty selector takes everything"
    return selector.items() <= labels.items()


def test_every_selector_finds_the_pods(rendered):
    labels = pod(rendered)["metadata"]["labels"]
    for document in of_kind(rendered, "Deployment") + of_kind(rendered, "PodDisruptionBudget"):
        assert matches(document["spec"]["selector"]["matchLabels"], labels)
    for document in of_kind(rendered, "Service"):
        assert matches(document["spec"]["selector"], labels)
    for document in of_kind(rendered, "NetworkPolicy"):
        assert matches(document["spec"]["podSelector"]["matchLabels"], labels)
    spec = pod(rendered)["spec"]
    for constraint in spec.get("topologySpreadConstraints", []):
        assert matches(constraint["labelSelector"]["matchLabels"], labels)
    anti = spec.get("affinity", {}).get("podAntiAffinity", {})
    for term in anti.get("preferredDuringSchedulingIgnoredDuringExecution", []):
        assert matches(term["podAffinityTerm"]["labelSelector"]["matchLabels"], labels)


def test_services_lead_to_the_listener_that_they_are_for(rendered):
    ports = {port["name"]: port["containerPort"] for port in gateway(rendered)["ports"]}
    for document in of_kind(rendered, "Service"):
        (port,) = document["spec"]["ports"]
        is_metrics = document["metadata"]["name"].endswith("-metrics")
        assert port["targetPort"] == ports["admin" if is_metrics else "http"]


def test_an_ingress_leads_to_the_api(rendered):
    services = {document["metadata"]["name"]: document for document in of_kind(rendered, "Service")}
    for document in of_kind(rendered, "Ingress"):
        for rule in document["spec"]["rules"]:
            (path,) = rule["http"]["paths"]
            backend = path["backend"]["service"]
            assert not backend["name"].endswith("-metrics")
            assert backend["port"]["name"] in [p["name"] for p in services[backend["name"]]["spec"]["ports"]]
        assert document["spec"]["tls"][0]["hosts"] == [rule["host"] for rule in document["spec"]["rules"]]


def test_the_autoscaler_scales_what_has_no_number_of_its_own(rendered):
    deployments = {document["metadata"]["name"]: document for document in of_kind(rendered, "Deployment")}
    for document in of_kind(rendered, "HorizontalPodAutoscaler"):
        target = document["spec"]["scaleTargetRef"]
        assert (target["apiVersion"], target["kind"]) == ("apps/v1", "Deployment")
        assert "replicas" not in deployments[target["name"]]["spec"]
        assert 2 <= document["spec"]["minReplicas"] < document["spec"]["maxReplicas"]


def test_the_network_policy_is_about_the_gateways_ports(rendered):
    ports = sorted(port["containerPort"] for port in gateway(rendered)["ports"])
    for document in of_kind(rendered, "NetworkPolicy"):
        spec = document["spec"]
        assert sorted(spec["policyTypes"]) == ["Egress", "Ingress"]
        assert sorted(port["port"] for rule in spec["ingress"] for port in rule["ports"]) == ports
        assert all(rule["from"] for rule in spec["ingress"]) and all(rule["to"] for rule in spec["egress"])
        out = [(port["port"], port.get("protocol", "TCP")) for rule in spec["egress"] for port in rule["ports"]]
        assert {(53, "UDP"), (53, "TCP"), (443, "TCP")} <= set(out)


def test_prometheus_finds_the_metrics(rendered):
    services = of_kind(rendered, "Service")
    for document in of_kind(rendered, "ServiceMonitor"):
        wanted = document["spec"]["selector"]["matchLabels"]
        (service,) = [one for one in services if matches(wanted, one["metadata"]["labels"])]
        assert [end["port"] for end in document["spec"]["endpoints"]] == [p["name"] for p in service["spec"]["ports"]]


##### What each way has


def test_a_gateway_of_its_own_has_what_production_asks_for(rendered, request):
    whole = {"HorizontalPodAutoscaler", "PodDisruptionBudget", "NetworkPolicy", "ServiceMonitor"}
    one = {"PersistentVolumeClaim", "PodDisruptionBudget"}
    wanted = {
        "standalone": whole,
        "standalone-redis": whole,
        "everything": whole | {"Ingress"},
        "least": {"PodDisruptionBudget"},
    }
    tool, name = request.node.callspec.params["rendered"].split(":")
    wanted["single"] = one if tool == "helm" else whole - {"HorizontalPodAutoscaler"} | one
    base = {"Deployment", "Service"} | ({"ConfigMap"} if of_kind(rendered, "ConfigMap") else set())
    assert kinds_of(rendered) == base | wanted.get(name, set())
    if name in wanted:
        spec = pod(rendered)["spec"]
        assert spec["automountServiceAccountToken"] is False
        assert spec["topologySpreadConstraints"] and spec["affinity"]["podAntiAffinity"]


def test_every_file_is_part_of_an_overlay_or_an_example():
    used = {KUBERNETES / name for name in EXAMPLES} | {KUBERNETES / "README.md"}
    for file in KUBERNETES.rglob("kustomization.yaml"):
        (kustomization,) = documents(file.read_text())
        named = [*kustomization.get("resources", []), *(patch["path"] for patch in kustomization.get("patches", []))]
        named += [env for generator in kustomization.get("configMapGenerator", []) for env in generator.get("envs", [])]
        used |= {file, *((file.parent / name).resolve() for name in named)}
    assert {path for path in KUBERNETES.rglob("*") if path.is_file()} == {path for path in used if path.is_file()}


def test_the_overlays_start_the_same_gateway():
    """Kustomize has no way to share a container among lists: what differs is told here."""
    own = {"restartPolicy", "resources"}
    found = [gateway(render(what, KUBERNETES)) for what in RENDERED if what.startswith("kustomize:")]
    shared = [{key: value for key, value in one.items() if key not in own | {"envFrom"}} for one in found]
    assert len(shared) == 5 and all(one == shared[0] for one in shared)


def test_the_example_secret_has_the_keys_that_are_read():
    (secret,) = documents((KUBERNETES / "secret.example.yaml").read_text())
    (external,) = documents((KUBERNETES / "external-secret.example.yaml").read_text())
    keys = set(secret["stringData"])
    assert keys == {item["secretKey"] for item in external["spec"]["data"]}
    assert secret["metadata"]["name"] == external["spec"]["target"]["name"] == "behest-gateway"
    whole = render("kustomize:standalone-redis", KUBERNETES)
    env = environment(whole, gateway(whole))
    files = {value.rpartition("/") for name, value in env.items() if name.endswith("_FILE")}
    assert {(folder, key) for folder, _, key in files} == {("/run/secrets/behest-gateway", key) for key in keys}
