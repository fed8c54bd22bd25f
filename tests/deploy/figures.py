"""Figures that tests measure: `report` prints one, although tests that pass are silent."""

import pytest


@pytest.fixture(scope="session")
def report(pytestconfig):
    """Prints a line that is seen although tests pass."""
    capture = pytestconfig.pluginmanager.getplugin("capturemanager")

    def line(text: str) -> None:
        with capture.global_and_fixture_disabled():
            print(f"\n{text}", end="", flush=True)

    return line
