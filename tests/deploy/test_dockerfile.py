"""The Dockerfile as it is written: what a build may see, what the images say of themselves, who they are
run by. test_image.py builds and runs what it says.
"""

import tomllib

from dockerfile import EMULATOR, GATEWAY, IGNORE, ROOT, STAGES, STATE, context

MANIFEST = tomllib.loads((ROOT / "Cargo.toml").read_text())


def test_a_build_sees_the_sources_and_nothing_that_could_be_secret(tmp_path):
    seen = context(ROOT, IGNORE, tmp_path)
    assert "Cargo.lock" in seen and "src/main.rs" in seen
    tops = {name.split("/")[0] for name in seen}
    assert tops == {"Cargo.toml", "Cargo.lock", "src", "benches", "config", "tests", "deploy"}
    assert [name for name in seen if name.startswith(("config/", "tests/", "deploy/"))] == [
        "config/prices.toml",
        "tests/it/main.rs",
        "deploy/build-static",
    ]
    assert not [name for name in seen if "node_modules" in name or ".env" in name or name.endswith((".pem", ".key"))]


def test_both_images_are_as_restricted_as_the_gateways():
    """The emulator's is built by the same script, so its pieces are held here and its build is not repeated."""
    for stage, name in ((GATEWAY, "gateway"), (EMULATOR, "emulator")):
        program = f"behest-{name}"
        assert stage.base == "scratch" and stage.one("USER") == "65532:65532"
        assert stage.all("COPY")[0] == f"--from=build-{name} /out/{program} /{program}"
        assert stage.command("ENTRYPOINT")[0] == f"/{program}"
        assert STAGES[f"build-{name}"].base == "source"
        assert STAGES[f"build-{name}"].run() == f"deploy/build-static {name} /out"
        labels = stage.labels()
        assert labels["org.opencontainers.image.title"] == program
        assert labels["org.opencontainers.image.version"] == MANIFEST["package"]["version"]
        assert labels["org.opencontainers.image.licenses"] == MANIFEST["package"]["license"]
    names = [binary["name"] for binary in MANIFEST["bin"]]
    assert {"behest-gateway", "behest-emulator"} <= set(names)
    assert STAGES["source"].all("COPY") == [". ."] and STAGES["source"].one("WORKDIR") == "/src"
    assert list(STAGES)[-1] == "gateway", "what is built when nobody says which"


def test_the_ports_and_the_compiler_are_the_projects_own():
    assert GATEWAY.one("EXPOSE") == "8080"
    assert EMULATOR.one("EXPOSE") in EMULATOR.command("ENTRYPOINT")[-1]
    assert STAGES["source"].base == f"rust:{MANIFEST['package']['rust-version']}-bookworm"


def test_the_gateways_user_owns_one_empty_folder():
    """Of which a new named volume takes the owner; the emulator writes nothing."""
    owner = GATEWAY.one("USER")
    assert GATEWAY.all("COPY")[1:] == [f"--from=state --chown={owner} /state {STATE}"]
    user, group = owner.split(":")
    assert STAGES["state"].run() == f"install -d -m 0700 -o {user} -g {group} /state"
    assert len(EMULATOR.all("COPY")) == 1
