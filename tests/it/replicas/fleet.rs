//! Three gateways, nginx before them and Redis between them, each a process of its own.

use std::collections::BTreeMap;
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use behest_gateway::emulator::{Emulator, EmulatorConfig};
use http::StatusCode;
use serde_json::Value;
use tempfile::TempDir;

use crate::support::caller::{Protocol, ask, get};
use crate::support::cookie;
use crate::support::program::{Program, environment};
use crate::support::redis::{Redis, free_port};
use crate::support::waiting::until;

/// What an operator proves to be one with.
pub const OPERATOR: &str = "operator-5c81f0d2a96be374";
/// How many gateways there are.
pub const REPLICAS: usize = 3;

/// All of it; ended when dropped.
pub struct Fleet {
    pub gateways: Vec<Program>,
    pub redis: Redis,
    nginx: Nginx,
    environments: Vec<BTreeMap<String, String>>,
    _emulator: Emulator,
    _folder: TempDir,
}

impl Fleet {
    /// With `more` in each gateway's environment; returns when all have the store.
    pub async fn start(more: &[(&str, &str)]) -> Self {
        let redis = Redis::with(&["--appendonly", "yes", "--appendfsync", "always"]);
        let emulator = Emulator::start(EmulatorConfig {
            frame_delay: Duration::from_millis(3),
            ..EmulatorConfig::default()
        });
        let emulator = emulator.await.unwrap();
        let folder = tempfile::tempdir().unwrap();
        let url = redis.url();
        let environment = |port: u16| {
            let listen = format!("127.0.0.1:{port}");
            let records = folder.path().join(format!("{port}.jsonl"));
            let own = [
                ("GATEWAY_LISTEN", listen.as_str()),
                ("GATEWAY_ADMIN_TOKEN", OPERATOR),
                ("GATEWAY_STORE__KIND", "redis"),
                ("GATEWAY_STORE__URL", url.as_str()),
                // This machine may be busy.
                ("GATEWAY_STORE__TIMEOUT", "2s"),
                ("GATEWAY_USAGE__FILE__PATH", records.to_str().unwrap()),
                ("GATEWAY_USAGE__USERS", "plain"),
                ("GATEWAY_BUDGETS__USAGE_ME", "true"),
            ];
            environment(&emulator.base_url(), &[&own, more].concat())
        };
        let ports = [free_port(), free_port(), free_port()];
        let environments: Vec<_> = ports.into_iter().map(environment).collect();
        let mut gateways = Vec::new();
        for environment in &environments {
            gateways.push(Program::serve(environment).await);
        }
        let nginx = Nginx::start(&ports);
        let fleet = Self {
            gateways,
            redis,
            nginx,
            environments,
            _emulator: emulator,
            _folder: folder,
        };
        fleet.connected().await;
        fleet
    }

    /// Where callers come in.
    pub fn address(&self) -> SocketAddr {
        self.nginx.address
    }

    /// Waits until all gateways have the store.
    pub async fn connected(&self) {
        until("all have the store", async || {
            for gateway in &self.gateways {
                if gateway.metric("behest_gateway_store_up").await < 0.5 {
                    return false;
                }
            }
            true
        })
        .await;
    }

    /// Starts the gateway at `index` again, on its port.
    pub async fn again(&mut self, index: usize) {
        self.gateways[index] = Program::serve(&self.environments[index]).await;
    }

    /// What `user` has used of the limit named `limit`, once nothing of it is reserved: what ended is
    /// settled then.
    pub async fn settled(&self, user: &str, limit: &str) -> u64 {
        let mut settled = 0;
        until("all is settled", async || {
            let own = self.standing(user, limit).await;
            settled = own["used"].as_u64().unwrap();
            own["reserved"] == 0
        })
        .await;
        settled
    }

    /// How `user` stands with the limit named `limit`.
    pub async fn standing(&self, user: &str, limit: &str) -> Value {
        let request = get(self.address(), "/v1/usage/me", &cookie(user, "\"free\""));
        let answer = ask(self.address(), Protocol::Http1, request).await;
        assert_eq!(answer.status, StatusCode::OK, "{}", answer.text());
        let all = answer.json();
        let mut limits = all["limits"].as_array().unwrap().iter();
        let own = limits.find(|it| it["kind"] == limit);
        own.unwrap_or_else(|| panic!("no {limit}: {all}")).clone()
    }

    /// How often each request is recorded, by its id, for each gateway.
    pub fn records(&self) -> Vec<BTreeMap<String, usize>> {
        let of = |environment: &BTreeMap<String, String>| {
            let path = &environment["GATEWAY_USAGE__FILE__PATH"];
            let mut counts = BTreeMap::new();
            for line in std::fs::read_to_string(path).unwrap_or_default().lines() {
                let record: Value = serde_json::from_str(line).unwrap();
                let id = record["request_id"].as_str().unwrap().to_owned();
                *counts.entry(id).or_default() += 1;
            }
            counts
        };
        self.environments.iter().map(of).collect()
    }
}

/// Debian's nginx with a configuration of the test's own.
struct Nginx {
    child: Child,
    address: SocketAddr,
    _folder: TempDir,
}

impl Nginx {
    /// Before gateways on `ports`. As `deploy/behind` has it for several: a gateway that ends takes no
    /// more connections, and nginx goes to the next; with a connection for each request, a request and
    /// the connection's end never cross (RFC 9112 section 9.5). One that refused is asked again at once
    /// (`max_fails=0`): else three that restart one after the other are all held to be gone.
    fn start(ports: &[u16]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let place = folder.path().display();
        let port = free_port();
        let servers = ports.iter();
        let servers: Vec<_> = servers
            .map(|port| format!("server 127.0.0.1:{port} max_fails=0;"))
            .collect();
        let servers = servers.join("\n");
        let kinds = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"];
        let temporary = kinds.map(|kind| format!("{kind}_temp_path {place}/{kind};"));
        let temporary = temporary.join("\n");
        let text = format!(
            "daemon off; worker_processes 1; pid {place}/pid; error_log {place}/error.log;
             events {{ worker_connections 1024; }}
             http {{
               access_log off; {temporary}
               upstream gateways {{ {servers} }}
               server {{
                 listen 127.0.0.1:{port};
                 location / {{
                   proxy_pass http://gateways; proxy_http_version 1.1; proxy_buffering off;
                   proxy_set_header Host $http_host; proxy_set_header Connection close;
                 }}
               }}
             }}"
        );
        let file = folder.path().join("nginx.conf");
        std::fs::write(&file, text).unwrap();
        let child = Command::new("nginx")
            .env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin")
            .arg("-c")
            .arg(&file)
            .arg("-e")
            .arg(folder.path().join("error.log"))
            .stdin(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap_or_else(|error| panic!("nginx: {error}; `make deps` installs it"));
        let address = (Ipv4Addr::LOCALHOST, port).into();
        let give_up = crate::support::waiting::after(crate::support::PATIENCE);
        while TcpStream::connect(address).is_err() {
            let log = || std::fs::read_to_string(folder.path().join("error.log"));
            let is_late = crate::support::waiting::is_past(give_up);
            assert!(!is_late, "nginx does not serve: {:?}", log());
            std::thread::sleep(Duration::from_millis(10));
        }
        Self {
            child,
            address,
            _folder: folder,
        }
    }
}

impl Drop for Nginx {
    fn drop(&mut self) {
        // Its worker goes with it where it is asked; killed, it would leave the worker behind.
        let pid = self.child.id().to_string();
        let _ = Command::new("kill").args(["-TERM", &pid]).status();
        let _ = self.child.wait();
    }
}
