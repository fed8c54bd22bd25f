"""Every file under deploy/ and config/ is checked by something: here stands by what."""

from fnmatch import fnmatchcase

import pytest

from conftest import ROOT, shipped_files

# A glob (`*` also crosses slashes) and the test that covers what it matches; the first that matches counts.
CLAIMS = [
    ("config/*.toml", "tests/deploy/test_config.py"),
    ("deploy/*.md", "tests/deploy/test_documents.py"),
    ("deploy/kubernetes/*.yaml", "tests/deploy/test_kubernetes.py"),
    ("deploy/kubernetes/*.env", "tests/deploy/test_started.py"),
    ("deploy/helm/*", "tests/deploy/test_helm.py"),
    ("deploy/Dockerfile*", "tests/deploy/test_dockerfile.py"),
    ("deploy/build-static", "tests/deploy/test_image.py"),
    ("deploy/compose/app/*", "tests/e2e/node/example.browser.test.mjs"),
    ("deploy/compose/oidc/*", "tests/e2e/node/example.browser.test.mjs"),
    ("deploy/compose/redis.yaml", "tests/deploy/test_compose_redis.py"),
    ("deploy/compose/*", "tests/deploy/test_compose.py"),
    ("deploy/systemd/*", "tests/deploy/test_systemd.py"),
    ("deploy/behind/traefik.yaml", "tests/deploy/test_traefik.py"),
    ("deploy/behind/*", "tests/e2e/node/behind.test.mjs"),
    ("deploy/grafana/*", "tests/deploy/test_grafana.py"),
    ("deploy/serverless/*", "tests/deploy/test_serverless.py"),
]
FILES = shipped_files("deploy", "config")


@pytest.mark.parametrize("name", FILES)
def test_some_check_claims_the_file(name: str):
    claim = next((test for glob, test in CLAIMS if fnmatchcase(name, glob)), None)
    assert claim, f"nothing checks {name}: add a test, and a line to CLAIMS"
    assert (ROOT / claim).is_file(), f"{name} is claimed by {claim}, which does not exist"
