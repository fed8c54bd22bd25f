"""Every file under config/ is a configuration that the gateway takes without a warning, but for the table
of prices, which is built in and which a test of the crate reads.
"""

import re
import subprocess

import pytest

from conftest import BIN_DIR, ROOT, shipped_files

PRICES = "config/prices.toml"
FILES = [name for name in shipped_files("config") if name.endswith(".toml") and name != PRICES]
# What the files refer to: never in them.
SECRET = "deploy-tests-only-" + "0123456789abcdef" * 3
REQUIRED = {
    "BEHEST_KEY": "behest_sk_live_0123456789abcdef0123456789abcdef",
    "BEHEST_BASE_URL": "https://your-slug.behest.app",
    "GATEWAY_PUBLIC_ORIGIN": "https://app.example",
}


@pytest.mark.parametrize("name", FILES)
def test_the_gateway_takes_the_file_without_a_warning(name: str):
    text = (ROOT / name).read_text()
    referred = re.findall(r'^[^#\n]*\{ env = "([A-Z_0-9]+)" \}', text, re.M)
    env = {**dict.fromkeys(referred, SECRET), **REQUIRED}
    if name == "config/reference.toml":
        env["AUTH_SECRET"] = SECRET
    checked = subprocess.run(
        [BIN_DIR / "behest-gateway", "check", "--deny-warnings", "--config", ROOT / name],
        env=env,
        capture_output=True,
        text=True,
        timeout=30,
    )
    assert checked.returncode == 0, checked.stdout + checked.stderr


def test_there_are_files_to_check():
    assert "config/gateway.toml" in FILES and len(FILES) > 10
