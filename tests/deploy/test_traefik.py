"""deploy/behind/traefik.yaml, as far as it can be judged without Traefik: there is none to install."""

import re

import yaml

from conftest import ROOT

TEXT = (ROOT / "deploy/behind/traefik.yaml").read_text()
DYNAMIC = yaml.safe_load(TEXT)["http"]
STATIC = yaml.safe_load("\n".join(re.findall(r"^# {5}(.*)$", TEXT, re.M)))

# Keys that Traefik's reference of its file provider and of its entry points has; `*` is a name of ours.
KNOWN = {
    "routers.*": {"entryPoints", "middlewares", "service", "rule", "ruleSyntax", "priority", "tls", "observability"},
    "services.*": {"loadBalancer", "weighted", "mirroring", "failover"},
    "services.*.loadBalancer": {
        "servers", "serversTransport", "passHostHeader", "responseForwarding", "healthCheck", "passiveHealthCheck",
        "sticky", "strategy",
    },
    "services.*.loadBalancer.responseForwarding": {"flushInterval"},
    "services.*.loadBalancer.servers.*": {"url", "weight", "preservePath"},
    "serversTransports.*": {
        "serverName", "insecureSkipVerify", "rootCAs", "certificates", "maxIdleConnsPerHost", "forwardingTimeouts",
        "disableHTTP2", "peerCertURI", "spiffe",
    },
    "serversTransports.*.forwardingTimeouts": {
        "dialTimeout", "responseHeaderTimeout", "idleConnTimeout", "readIdleTimeout", "pingTimeout",
    },
    "": {"routers", "services", "serversTransports", "middlewares"},
}  # fmt: skip
KNOWN_STATIC = {
    "": {"entryPoints", "providers"},
    "entryPoints.*": {"address", "transport", "forwardedHeaders", "http", "http2", "http3"},
    "entryPoints.*.transport": {"respondingTimeouts", "lifeCycle", "keepAliveMaxRequests", "keepAliveMaxTime"},
    "entryPoints.*.transport.respondingTimeouts": {"readTimeout", "writeTimeout", "idleTimeout"},
    "providers": {"file"},
    "providers.file": {"filename", "directory", "watch"},
}


def unknown(value, known, path=""):
    """The keys of `value` that `known` does not list, by their paths."""
    if isinstance(value, list):
        return [key for item in value for key in unknown(item, known, f"{path}.*")]
    if not isinstance(value, dict):
        return []
    allowed = known.get(path)
    named = f"{path}.*".lstrip(".") in known and allowed is None
    found = []
    for key, member in value.items():
        below = f"{path}.*" if named else f"{path}.{key}"
        if not named and allowed is not None and key not in allowed:
            found.append(f"{path}.{key}")
        found += unknown(member, known, below.lstrip("."))
    return found


def seconds(text: str) -> float:
    number, unit = re.fullmatch(r"(\d+)(ms|s|m|h)", text).groups()
    return int(number) * {"ms": 0.001, "s": 1, "m": 60, "h": 3600}[unit]


def test_every_key_is_one_of_traefiks():
    assert unknown(DYNAMIC, KNOWN) == []
    assert unknown(STATIC, KNOWN_STATIC) == []


def test_a_misspelt_key_would_be_noticed():
    misspelt = yaml.safe_load(TEXT.replace("idleConnTimeout", "idleConnTimeOut").replace("passHostHeader", "hostHeader"))
    assert len(unknown(misspelt["http"], KNOWN)) == 3


def test_everything_that_is_referred_to_is_there():
    for router in DYNAMIC["routers"].values():
        assert router["service"] in DYNAMIC["services"]
        assert set(router["entryPoints"]) <= set(STATIC["entryPoints"])
    for service in DYNAMIC["services"].values():
        transport = service["loadBalancer"].get("serversTransport")
        assert transport is None or transport in DYNAMIC["serversTransports"]


def test_nothing_on_the_gateways_routers_holds_frames_back():
    assert "middlewares" not in DYNAMIC
    assert all("middlewares" not in router for router in DYNAMIC["routers"].values())


def test_times_leave_the_gateway_its_own():
    times = DYNAMIC["serversTransports"]["gateway"]["forwardingTimeouts"]
    defaults = (ROOT / "config/reference.toml").read_text()
    first_byte = seconds(re.search(r'^first_byte_timeout = "(\w+)"', defaults, re.M)[1])
    idle = seconds(re.search(r'^idle_timeout = "(\w+)"', defaults, re.M)[1])  # [server] is the first
    assert seconds(times["responseHeaderTimeout"]) > first_byte
    assert seconds(times["idleConnTimeout"]) < idle
    assert STATIC["entryPoints"]["websecure"]["transport"]["respondingTimeouts"]["writeTimeout"] == "0s"
