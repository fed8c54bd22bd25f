"""The files for platforms that scale to zero: each parses, the gateway would start from what it sets, and
what it says of ports, times and images agrees with the gateway and the Dockerfile.
"""

import http.server
import json
import re
import subprocess
import threading
import tomllib
from pathlib import PurePosixPath

import pytest
import yaml

import dockerfile
from check import ROOT, SECRETS, checked, secret_file, seconds

FOLDER = ROOT / "deploy/serverless"
README = (FOLDER / "README.md").read_text()
VERSION = tomllib.loads((ROOT / "Cargo.toml").read_text())["package"]["version"]
SESSION = {"AUTH_SECRET": SECRETS["auth_secret"]}
KEY = {"BEHEST_KEY": SECRETS["behest_key"]}


def stop_time(settings: dict) -> int:
    return sum(seconds(settings[f"server.{key}"][0]) for key in ("drain_delay", "drain_limit"))


def test_cloud_run_starts_it(tmp_path):
    service = yaml.safe_load((FOLDER / "cloud-run.yaml").read_text())
    assert (service["apiVersion"], service["kind"]) == ("serving.knative.dev/v1", "Service")
    template = service["spec"]["template"]
    annotations = template["metadata"]["annotations"]
    assert annotations["run.googleapis.com/cpu-throttling"] == "false"
    assert all(isinstance(value, str) for value in annotations.values()), "annotations are text"
    assert 300 < template["spec"]["timeoutSeconds"] <= 3600
    (container,) = template["spec"]["containers"]
    assert container["image"].endswith(f"/behest-gateway:{VERSION}")
    env = {variable["name"]: variable["value"] for variable in container["env"]}
    volumes = {volume["name"]: volume["secret"] for volume in template["spec"]["volumes"]}
    for mount in container["volumeMounts"]:
        (item,) = volumes.pop(mount["name"])["items"]
        path = str(PurePosixPath(mount["mountPath"]) / item["path"])
        (variable,) = [name for name, value in env.items() if value == path]
        secret = {"BEHEST_KEY_FILE": "behest_key", "AUTH_SECRET_FILE": "auth_secret"}[variable]
        assert mount["name"] == secret.replace("_", "-")
        env[variable] = str(secret_file(tmp_path, secret))
    assert not volumes, "every secret is mounted"
    found = checked(env)
    (port,) = container["ports"]
    assert found["server.listen"][0] == f'"0.0.0.0:{port["containerPort"]}"'
    assert container["startupProbe"]["tcpSocket"]["port"] == port["containerPort"]
    assert stop_time(found) < 10, "Cloud Run's own patience"
    assert container.keys() <= {
        "image", "ports", "env", "volumeMounts", "resources", "startupProbe", "livenessProbe", "command", "args", "name",
    }


def test_fly_starts_it_and_waits_for_streams():
    fly = tomllib.loads((FOLDER / "fly.toml").read_text())
    commented = re.findall(r'^# ([A-Z][A-Z0-9_]+ = ".*")$', (FOLDER / "fly.toml").read_text(), re.M)
    assert len(commented) == 1
    for env in (fly["env"], {**fly["env"], **tomllib.loads(commented[0])}):
        # Only Fly's own network reaches the admin port.
        found = checked({**KEY, **SESSION, **env}, warnings=("admin.listen is 0.0.0.0:9090",))
    assert fly["kill_signal"] == "SIGTERM" and fly["kill_timeout"] == stop_time(found) + 10 <= 300
    service, check = fly["http_service"], fly["checks"]["ready"]
    assert found["server.listen"][0].strip('"').endswith(f":{service['internal_port']}")
    admin = int(found["admin.listen"][0].strip('"').rsplit(":")[-1])
    assert (check["port"], check["path"]) == (admin, "/readyz")
    assert (fly["metrics"]["port"], fly["metrics"]["path"]) == (admin, "/metrics")
    assert service["force_https"] and service["auto_stop_machines"] == "stop" and service["auto_start_machines"]
    assert service["concurrency"]["type"] == "requests"
    build = fly["build"]
    assert (FOLDER / build["dockerfile"]).resolve() == ROOT / "deploy/Dockerfile"
    assert build["build-target"] == "gateway" in dockerfile.STAGES
    assert fly.keys() <= {
        "app", "primary_region", "kill_signal", "kill_timeout", "build", "env", "http_service", "checks", "metrics", "vm",
    }


def test_the_image_for_lambda_is_the_gateways_with_the_adapter():
    found = dockerfile.stages((FOLDER / "lambda.Dockerfile").read_text())
    final = list(found.values())[-1]
    assert found["gateway"].base.split(":")[0] == "behest-gateway" and "adapter" in found
    assert final.base == "scratch"
    for copy in final.all("COPY"):
        source, path, target = copy.split()
        assert source.removeprefix("--from=") in found
        if source == "--from=gateway":
            made = dockerfile.GATEWAY.all("COPY")[0]
            assert path == target == made.split()[-1] == final.command("ENTRYPOINT")[0]
        else:
            assert PurePosixPath(target).parent == PurePosixPath("/opt/extensions")
    variables = dict(pair.split("=") for pair in final.one("ENV").split())
    assert variables == {"AWS_LWA_PORT": dockerfile.GATEWAY.one("EXPOSE"), "AWS_LWA_INVOKE_MODE": "response_stream"}
    assert final.one("USER") == dockerfile.GATEWAY.one("USER")


def test_vercel_sends_the_api_alone_to_the_gateway_by_its_own_path():
    rewrites = json.loads((FOLDER / "vercel/vercel.json").read_text())["rewrites"]
    (rewrite,) = rewrites
    assert rewrite["source"] == "/v1/:path*"
    assert rewrite["destination"] == "https://gateway.app.example" + rewrite["source"]


class Seen(http.server.BaseHTTPRequestHandler):
    """Writes down what came, and streams two pieces."""

    requests: list = []

    def do_POST(self):
        body = b""
        while size := int(self.rfile.readline(), 16):  # a Request's body goes in chunks
            body += self.rfile.read(size)
            self.rfile.readline()
        self.rfile.readline()
        self.requests.append((self.path, dict(self.headers.items()), body))
        self.send_response(402)
        self.send_header("content-type", "text/event-stream")
        self.end_headers()
        self.wfile.write(b"data: 1\n\ndata: 2\n\n")

    def log_message(self, *_):
        pass


def test_the_pages_function_passes_everything_on(tmp_path):
    """The function in Node, which has the same Request and fetch; Pages knows modules by their name alone."""
    (file,) = FOLDER.glob("cloudflare-pages/functions/v1/*.js")
    assert file.name == "[[path]].js", "all of /v1"
    module = tmp_path / "function.mjs"
    module.write_text(file.read_text())
    server = http.server.HTTPServer(("127.0.0.1", 0), Seen)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        origin = f"http://127.0.0.1:{server.server_port}"
        script = f"""
            import {{ onRequest }} from {json.dumps(module.as_uri())};
            const headers = {{ cookie: "a=b", origin: "https://app.example", "content-type": "application/json" }};
            const request = new Request("https://app.example/v1/chat/completions?x=%2F", {{ method: "POST", headers, body: "{{}}" }});
            const answer = await onRequest({{ request, env: {{ GATEWAY_ORIGIN: {json.dumps(origin)} }} }});
            console.log(JSON.stringify([answer.status, answer.headers.get("content-type"), await answer.text()]));
        """
        done = subprocess.run(
            ["node", "--input-type=module", "-e", script], capture_output=True, text=True, timeout=30
        )
    finally:
        server.shutdown()
        server.server_close()
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout) == [402, "text/event-stream", "data: 1\n\ndata: 2\n\n"]
    ((path, headers, body),) = Seen.requests
    assert path == "/v1/chat/completions?x=%2F" and body == b"{}"
    lower = {name.lower(): value for name, value in headers.items()}
    assert lower["cookie"] == "a=b" and lower["origin"] == "https://app.example"


def blocks() -> list[dict[str, str]]:
    """The settings that README.md tells people to set."""
    found = re.findall(r"^ *```env\n(.*?)^ *```$", README, re.M | re.S)
    return [dict(line.strip().split("=", 1) for line in block.splitlines()) for block in found]


@pytest.mark.parametrize("settings", blocks(), ids=lambda settings: ",".join(settings))
def test_the_gateway_takes_what_the_readme_says(settings):
    checked({**KEY, **SESSION, "BEHEST_BASE_URL": "https://your-slug.behest.app", **settings})


def test_the_readme_covers_the_files_and_names_no_others():
    linked = {target for target in re.findall(r"\]\(([^)#:]+)\)", README)}
    assert all((FOLDER / target).exists() for target in linked), linked
    files = {str(path.relative_to(FOLDER)) for path in FOLDER.rglob("*") if path.is_file() and path.name != "README.md"}
    assert not [file for file in files if not any(file.startswith(target) for target in linked)]
    assert len(blocks()) == 2
