"""The pages beside the files: their links lead somewhere, and Kubernetes takes what they show."""

import re
from pathlib import Path

import kubernetes_validate
import pytest

from conftest import ROOT, shipped_files
from manifests import CHART, documents, fenced

PAGES = [name for name in [*shipped_files("deploy", "config"), "README.md", "SECURITY.md"] if name.endswith(".md")]


def prose(page: Path) -> str:
    return re.sub(r"^ *```.*?^ *```", "", page.read_text(), flags=re.M | re.S)


def anchors(page: Path) -> set[str]:
    """As GitHub makes them of headings."""
    headings = re.findall(r"^#+ (.*)$", prose(page), re.M)
    return {re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("name", PAGES)
def test_every_link_leads_somewhere(name):
    page = ROOT / name
    for target in re.findall(r"\]\(([^)\s]+)\)", prose(page)):
        if re.match(r"https?://", target):
            continue
        path, _, anchor = target.partition("#")
        found = (page.parent / path).resolve() if path else page
        assert found.exists(), f"{name} links to {target}, which does not exist"
        assert found.is_relative_to(ROOT)
        assert not anchor or anchor in anchors(found), f"{name} links to {target}: no such heading"


@pytest.mark.parametrize("name", PAGES)
def test_kubernetes_takes_the_objects_that_are_shown(name):
    for block in fenced(ROOT / name, "yaml"):
        if "apiVersion:" not in block or "{{" in block:
            continue
        for document in documents(block):
            if "kind" in document:
                kubernetes_validate.validate(document, "1.37", strict=True)


@pytest.mark.parametrize("name", PAGES)
def test_commands_name_files_that_exist(name):
    for block in fenced(ROOT / name, "(?:sh|console)"):
        for path in re.findall(r"(?<![\w./-])((?:deploy|config|tests)/[\w./-]+)", block):
            assert (ROOT / path).exists() or path.startswith("deploy/app"), f"{name} names {path}"


def test_the_overlays_and_the_chart_are_in_the_table_of_contents():
    text = (ROOT / "deploy/README.md").read_text()
    folders = {name.split("/")[1] for name in shipped_files("deploy") if name.count("/") > 1}
    assert all(f"({folder}/" in text for folder in folders)
    assert CHART.relative_to(ROOT / "deploy").as_posix() in text
