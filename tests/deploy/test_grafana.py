"""The dashboard and the alerts ask for metrics, labels and values that the gateway has."""

import json
import re
from functools import cache

import pytest
import yaml

from conftest import ROOT

DASHBOARD = json.loads((ROOT / "deploy/grafana/dashboard.json").read_text())
ALERTS = yaml.safe_load((ROOT / "deploy/grafana/alerts.yaml").read_text())
TELEMETRY = ROOT / "src/telemetry"
PREFIX = "behest_gateway_"
# Values that stand in no enum of code words.
KNOWN_VALUES = {("kind", "cached"), ("outcome", "failed"), ("usage", "unknown"), ("route", "app")}
# What Prometheus itself adds, and Grafana's variable.
ADDED = {"instance", "job"}


@cache
def registered() -> dict[str, tuple[str, set[str]]]:
    """Every metric of the source: its kind, and its labels."""
    source = (TELEMETRY / "metrics.rs").read_text()
    source += "".join(path.read_text() for path in sorted((TELEMETRY / "metrics").glob("*.rs")))
    text = r'"(?:[^"\\]|\\.)*"'
    found = {"build_info": ("gauge", {"version"})}
    made = re.compile(rf'\.(\w+)\(\s*"(\w+)",\s*{text},?\s*(\[[^\]]*\]|{text})?')
    for kind, name, labels in made.findall(source):
        found[name] = (kind, set(re.findall(r'"(\w+)"', labels)))
    return found


@cache
def code_words() -> frozenset[str]:
    """Every word of a closed set that labels take their values from."""
    found = set()
    for path in (ROOT / "src").rglob("*.rs"):
        if "labels! {" in (source := path.read_text()):
            found |= set(re.findall(r'^ +\w+ = "(\w+)",$', source, re.M))
    return frozenset(found)


def expressions() -> dict[str, str]:
    found = {}
    for panel in DASHBOARD["panels"]:
        for target in panel.get("targets", []):
            found[f"{panel['title']} {target['refId']}"] = target["expr"]
    for group in ALERTS["groups"]:
        found |= {rule["alert"]: rule["expr"] for rule in group["rules"]}
    return found


def metric(full: str) -> tuple[str, tuple[str, set[str]]]:
    """A metric by the name in an expression, and what is known of it."""
    known = registered()
    name = full.removeprefix(PREFIX)
    base = re.sub(r"_(bucket|sum|count)$", "", name)
    if name not in known and known.get(base, ("", set()))[0].startswith("histogram"):
        kind, labels = known[base]
        return base, (kind, labels | ({"le"} if name.endswith("_bucket") else set()))
    assert name in known, f"there is no metric {full}"
    assert not known[name][0].startswith("histogram"), f"{full} is a histogram: ask for its _bucket, _sum or _count"
    return name, known[name]


EXPRESSIONS = expressions()


@pytest.mark.parametrize("where", EXPRESSIONS)
def test_every_metric_and_label_exists(where):
    expression = EXPRESSIONS[where]
    selectors = re.findall(rf"({PREFIX}\w+)(?:\{{([^}}]*)\}})?", expression)
    assert selectors
    everything = set()
    for name, matchers in selectors:
        _, (_, labels) = metric(name)
        labels = labels | ADDED
        everything |= labels
        for label, value in re.findall(r'(\w+)\s*(?:=~|!~|!=|=)\s*"([^"]*)"', matchers):
            assert label in labels, f"{name} has no label {label}"
            for word in value.split("|") if label not in ADDED else []:
                assert word in code_words() or (label, word) in KNOWN_VALUES, f"{label} is never {word}"
    for group in re.findall(r"\b(?:by|without|on|ignoring)\s*\(([^)]*)\)", expression):
        for label in re.findall(r"\w+", group):
            assert label in everything, f"{label} is on none of these metrics"


@pytest.mark.parametrize("where", EXPRESSIONS)
def test_counters_are_rated_and_gauges_are_not(where):
    expression = EXPRESSIONS[where]
    for name in re.findall(rf"{PREFIX}\w+", expression):
        _, (kind, _) = metric(name)
        is_rated = re.search(rf"\b(?:rate|increase)\(\s*{name}\b", expression)
        assert bool(is_rated) == (not kind.startswith("gauge")), f"{name} is made by {kind}"


def test_legends_and_summaries_name_labels_that_are_left():
    for panel in DASHBOARD["panels"]:
        for target in panel.get("targets", []):
            left = set(re.findall(r"\w+", " ".join(re.findall(r"\bby \(([^)]*)\)", target["expr"]))))
            assert set(re.findall(r"\{\{(\w+)\}\}", target["legendFormat"])) <= left, panel["title"]
    for group in ALERTS["groups"]:
        for rule in group["rules"]:
            named = set(re.findall(r"\$labels\.(\w+)", json.dumps(rule["annotations"])))
            by = re.findall(r"\bby \(([^)]*)\)", rule["expr"])
            kept = set(re.findall(r"\w+", by[0])) if by else ADDED if "sum(" not in rule["expr"] else set()
            assert named <= kept, rule["alert"]


def test_panels_do_not_overlap_and_alerts_are_named_once():
    taken = set()
    for panel in DASHBOARD["panels"]:
        place = panel["gridPos"]
        cells = {(x, y) for x in range(place["x"], place["x"] + place["w"]) for y in range(place["y"], place["y"] + place["h"])}
        assert not cells & taken and place["x"] + place["w"] <= 24, panel["title"]
        taken |= cells
    ids = [panel["id"] for panel in DASHBOARD["panels"]]
    names = [rule["alert"] for group in ALERTS["groups"] for rule in group["rules"]]
    assert len(set(ids)) == len(ids) and len(set(names)) == len(names)
    for group in ALERTS["groups"]:
        for rule in group["rules"]:
            assert rule["labels"]["severity"] in ("info", "warning", "critical") and rule["annotations"]["summary"]


##### The truth that this is held against


def test_the_source_gives_metrics_of_every_kind():
    found = registered()
    assert found["requests_total"] == ("counters", {"route", "code"})
    assert found["mint_duration_seconds"] == ("histogram", set())
    assert found["first_byte_seconds"] == ("histograms", {"route"})
    assert found["jwks_keys"] == ("gauges", {"provider"})
    assert found["connections"] == ("gauge", set())
    assert len(found) > 20
    assert {"ok", "refresh", "upstream_cut", "overloaded"} <= code_words()
