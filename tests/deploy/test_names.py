"""Every variable, flag, subcommand and key that is named under deploy/ and config/ exists."""

import re
from pathlib import Path

import pytest

import gateway_names
from conftest import ROOT, shipped_files

# Programs of the example: only what they read from the environment counts there.
CODE = {".ts", ".tsx", ".js", ".mjs", ".cjs", ".py"}
NOT_READ = {".css", ".svg", ".ico", ".png", ".woff2"}
FILES = [
    name
    for name in [*shipped_files("deploy", "config"), "README.md"]
    if Path(name).suffix not in NOT_READ and Path(name).name != "package-lock.json"
]
# Names that are not the gateway's, by whose they are.
BY_OWNER = {
    "Auth.js and NextAuth": "AUTH_URL AUTH_TRUST_HOST NEXTAUTH_URL",
    "the app, by its framework": "ALLOWED_HOSTS SECURE_PROXY_SSL_HEADER",
    "the example app": "AUTH_OIDC_ID AUTH_OIDC_ISSUER AUTH_OIDC_SECRET NEXT_TELEMETRY_DISABLED NODE_ENV",
    "the example's identity provider": "OIDC_CLIENT_ID OIDC_CLIENT_SECRET OIDC_HOST OIDC_ISSUER OIDC_PORT OIDC_REDIRECT_URI",
    "compose.yaml": "COMPOSE_FILE COMPOSE_PROFILES HTTP_PORT PUBLIC_ORIGIN SECRETS_GID",
    "systemd": "AF_INET AF_INET6 AF_UNIX CAP_NET_BIND_SERVICE",
    "building": "CARGO_TARGET_DIR RUST_IMAGE",
    "the Makefile": "ISOLATION_REQUESTS",
    "Lambda's web adapter": "AWS_LWA_INVOKE_MODE AWS_LWA_PORT RESPONSE_STREAM",
    "the function for Cloudflare Pages": "GATEWAY_ORIGIN",
}
OTHERS = set(" ".join(BY_OWNER.values()).split())
# Flags of other programs, by program.
OTHER_FLAGS = {
    "apt-get": "--no-install-recommends",
    "cargo": "--all-features --bin --features --locked --release --target",
    "docker": "--build --build-arg --cap-drop --env-file --force-recreate --mount --platform --read-only --security-opt --target",
    "Dockerfile's own": "--chown --from --interval --link --mount --retries --start-period --timeout",
    "flyctl": "--copy-config --no-deploy",
    "gcloud": "--member --no-cpu-throttling --region --role",
    "helm": "--set",
    "kubectl": "--dry-run --from-file",
    "npm": "--force --no-audit --no-fund --omit",
    "redis-server": "--aclfile --appendonly --dir --maxmemory --maxmemory-policy --save",
    "systemctl": "--now",
}


def text_of(name: str) -> str:
    return (ROOT / name).read_text()


def variables_in(name: str) -> set[str]:
    text = text_of(name)
    if Path(name).suffix in CODE:
        text = " ".join(
            re.findall(r"process\.env\.\w+|\{[^{}]*\}\s*=\s*process\.env|\b(?:GATEWAY|BEHEST)_\w+", text)
        )
    # Whatever the operator likes to call it.
    chosen = set(re.findall(r'\{ env = "(\w+)" \}', text))
    return set(re.findall(rf"(?<![\w-]){gateway_names.VARIABLE}(?!\w)", text)) - chosen


@pytest.mark.parametrize("name", FILES)
def test_every_variable_is_one_of_the_gateways_or_known_not_to_be(name):
    unknown = variables_in(name) - gateway_names.variables() - OTHERS
    assert not unknown, f"{name} names {sorted(unknown)}: no variable of the gateway, nor in BY_OWNER"


@pytest.mark.parametrize("name", [name for name in FILES if Path(name).suffix not in CODE])
def test_every_flag_is_one_of_the_gateways_or_known_not_to_be(name):
    others = set(" ".join(OTHER_FLAGS.values()).split())
    unknown = set(re.findall(r"(?<![\w-])--[a-z][a-z0-9-]*", text_of(name))) - gateway_names.flags() - others
    assert not unknown, f"{name} names {sorted(unknown)}: no flag of the gateway, nor in OTHER_FLAGS"


@pytest.mark.parametrize("name", FILES)
def test_every_flag_that_the_gateway_is_given_is_its_own(name):
    """Where a line runs it: there no other program's flags will do."""
    for line in text_of(name).splitlines():
        call = re.search(r"behest-(?:gateway|emulator)[\"']?,? +[\"']?(?!\\)(?=[a-z]+\b.*--|--)(.*)", line)
        if not call or re.search(r"\b(helm|docker|cargo|gcloud|kubectl create)\b", line):
            continue
        given = set(re.findall(r"(?<![\w-])--[a-z][a-z-]*", call[1]))
        assert given <= gateway_names.flags(), line


@pytest.mark.parametrize("name", FILES)
def test_every_subcommand_exists(name):
    named = re.findall(r"(?:`|/|exec )behest-gateway(?: |\", *\")([a-z]+)(?=[`\" \n])", text_of(name))
    assert set(named) <= gateway_names.subcommands(), named


@pytest.mark.parametrize("name", [name for name in FILES if Path(name).suffix in (".md", ".yaml", ".env")])
def test_every_key_that_is_quoted_exists(name):
    sections = {key.split(".")[0] for key in gateway_names.keys()}
    quoted = re.findall(r"`([a-z_]+)((?:\.[a-z_]+)+)(?: = [^`]*)?`", text_of(name))
    named = {section + rest for section, rest in quoted if section in sections}
    # `app.example` is a host, and `app.yaml` a file.
    unknown = {key for key in named - gateway_names.keys() if key.rpartition(".")[2] not in ("example", "toml", "yaml")}
    assert not unknown, f"{name} names {sorted(unknown)}: not in config/reference.toml"


##### The truth that this is held against


def test_the_reference_gives_names_of_every_kind():
    names = gateway_names.variables()
    assert {
        "BEHEST_KEY",
        "BEHEST_KEY_FILE",
        "AUTH_SECRET_2",
        "AUTH_SECRET_FILE",
        "NEXTAUTH_SECRET_FILE",
        "GATEWAY_CONFIG",
        "GATEWAY_APP_URL",
        "GATEWAY_SERVER__DRAIN_DELAY",
        "GATEWAY_ADMIN_TOKEN_FILE",
        "https_proxy",
    } <= names
    assert not {"GATEWAY_LISTEN_FILE", "BEHEST_BASE_URL_FILE", "AUTH_URL"} & names
    assert {"--listen", "--deny-warnings", "--mint", "--key"} <= gateway_names.flags()
    assert {"check", "doctor", "serve"} <= gateway_names.subcommands()


def test_nothing_is_excused_that_nobody_names():
    named = set().union(*(variables_in(name) for name in FILES))
    assert not OTHERS & gateway_names.variables()
    assert OTHERS <= named, f"nothing names {sorted(OTHERS - named)}: take it out of BY_OWNER"
