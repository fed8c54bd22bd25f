//! Rotation without restart: keys, secrets and certificates change under load, and nobody notices.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use behest_gateway::clock::Clock;
use behest_gateway::config::Sources;
use behest_gateway::emulator::{Emulator, EmulatorConfig, FIXTURE_KEY, Seen};
use http_body_util::BodyExt;
use hyper_util::rt::TokioIo;
use tempfile::TempDir;
use tokio::task::JoinSet;

use crate::support::caller::{Protocol, ask, chat, get};
use crate::support::cookies::{claims, v5};
use crate::support::program::Program;
use crate::support::secure::{self, Certificate};
use crate::support::waiting::until;
use crate::support::{COOKIE, SECRET, Shared, Stage, sources};

const NEW_SECRET: &str = "it-new-secret-7c2e90a4b6d81f35e7a9c0d2b4f68135";
const NEW_KEY: &str = "behest_sk_live_fedcba9876543210fedcba9876543210";

fn cookie(secret: &str, user: &str) -> String {
    format!("{COOKIE}={}", v5(secret, COOKIE, &claims(user)))
}

/// A folder with the Behest key, the app's secrets and a certificate.
struct Folder {
    folder: TempDir,
}

impl Folder {
    fn new(certificate: &Certificate) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let files = Self { folder };
        files.write("behest_key", FIXTURE_KEY);
        files.write("auth_secret", SECRET);
        certificate.write(files.folder.path());
        files
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn write(&self, name: &str, content: &str) {
        fs::write(self.path(name), content).unwrap();
    }

    /// A gateway's environment with everything in this folder's files.
    fn sources(&self, base_url: &str, tls: bool) -> Sources {
        let mut sources = sources(base_url, &[]);
        sources.env.remove("BEHEST_KEY");
        sources.env.remove("AUTH_SECRET");
        let mut files = vec![
            ("BEHEST_KEY_FILE", "behest_key"),
            ("AUTH_SECRET_FILE", "auth_secret"),
        ];
        if tls {
            files.push(("GATEWAY_TLS_CERT_FILE", "tls.crt"));
            files.push(("GATEWAY_TLS_KEY_FILE", "tls.key"));
        }
        for (variable, name) in files {
            let path = self.path(name).to_str().unwrap().to_owned();
            sources.env.insert(variable.to_owned(), path);
        }
        sources
    }
}

async fn stage(folder: &Folder, tls: bool) -> Stage {
    let emulator = Emulator::start(EmulatorConfig {
        api_keys: vec![FIXTURE_KEY.to_owned(), NEW_KEY.to_owned()],
        frame_delay: Duration::from_millis(2),
        ..EmulatorConfig::default()
    });
    let emulator = emulator.await.unwrap();
    let sources = folder.sources(&emulator.base_url(), tls);
    Stage::of(emulator, sources, Clock::system())
}

fn reloads(stage: &Stage, outcome: &str) -> f64 {
    stage.metric(&format!(
        "behest_gateway_config_reloads_total{{outcome=\"{outcome}\"}}"
    ))
}

/// Asks for a reload, and waits for its outcome.
async fn reload(stage: &Stage, outcome: &str) {
    let before = reloads(stage, outcome);
    stage.server.reload();
    until("a reload", async || reloads(stage, outcome) > before).await;
}

/// Callers who never stop, each request on a TLS connection of its own.
struct Load {
    tasks: JoinSet<()>,
    stop: Arc<AtomicBool>,
    done: Arc<AtomicUsize>,
    failures: Arc<Mutex<Vec<String>>>,
    /// The cookie that they send.
    cookie: Arc<Mutex<String>>,
}

impl Load {
    fn begin(stage: &Shared, client: &Arc<rustls::ClientConfig>) -> Self {
        let mut load = Self {
            tasks: JoinSet::new(),
            stop: Arc::default(),
            done: Arc::default(),
            failures: Arc::default(),
            cookie: Arc::new(Mutex::new(cookie(SECRET, "ada"))),
        };
        for _ in 0..20 {
            let (stop, done) = (Arc::clone(&load.stop), Arc::clone(&load.done));
            let (failures, cookie) = (Arc::clone(&load.failures), Arc::clone(&load.cookie));
            let (stage, client) = (Arc::clone(stage), Arc::clone(client));
            load.tasks.spawn(async move {
                let address = stage.server.address();
                while !stop.load(Ordering::Relaxed) {
                    let request = get(address, "/v1/models", &cookie.lock().unwrap());
                    match secure::ask(address, &client, request).await {
                        Ok(answer) if answer.status == 200 => {
                            done.fetch_add(1, Ordering::Relaxed);
                        }
                        other => failures.lock().unwrap().push(format!("{other:?}")),
                    }
                }
            });
        }
        load
    }

    /// Waits until every caller has had an answer to a request that began after now.
    async fn goes_on(&self) {
        let before = self.done.load(Ordering::Relaxed);
        until("the load goes on", async || {
            let done = self.done.load(Ordering::Relaxed);
            done >= before + 60 || !self.failures.lock().unwrap().is_empty()
        })
        .await;
    }

    async fn end(self) {
        self.stop.store(true, Ordering::Relaxed);
        self.tasks.join_all().await;
        let failures = self.failures.lock().unwrap();
        assert!(
            failures.is_empty(),
            "{} failed: {}",
            failures.len(),
            failures[0]
        );
    }
}

/// A stream that is still open when everything has changed.
async fn open_stream(stage: &Stage, client: &Arc<rustls::ClientConfig>) -> hyper::body::Incoming {
    let address = stage.server.address();
    let mut request = chat(address, &cookie(SECRET, "grace"), true);
    let body = r#"{"model":"long","stream":true,"messages":[{"role":"user","content":"hi"}]}"#;
    *request.body_mut() = http_body_util::Full::new(body.into());
    let socket = secure::connect(address, client).await.unwrap();
    let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(socket))
        .await
        .unwrap();
    tokio::spawn(async move { drop(connection.await) });
    let response = sender.send_request(request).await.unwrap();
    assert_eq!(response.status(), 200);
    response.into_body()
}

/// The certificate that a new connection is shown.
async fn shown(stage: &Stage, client: &Arc<rustls::ClientConfig>) -> Vec<u8> {
    let socket = secure::connect(stage.server.address(), client)
        .await
        .unwrap();
    socket.get_ref().1.peer_certificates().unwrap()[0].to_vec()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn key_secrets_and_certificate_change_under_load_and_no_request_fails() {
    let (old, new) = (Certificate::new(), Certificate::new());
    let folder = Folder::new(&old);
    let stage: Shared = Arc::new(stage(&folder, true).await);
    let client = secure::client(&[&old, &new], &["http/1.1"]);
    let mut stream = open_stream(&stage, &client).await;
    let load = Load::begin(&stage, &client);
    load.goes_on().await;

    folder.write("behest_key", &format!("{NEW_KEY}\n"));
    reload(&stage, "swapped").await;
    stage.emulator.set_api_keys(vec![NEW_KEY.to_owned()]);
    load.goes_on().await;
    stage.emulator.log().read(|seen| {
        let last = seen.to_path("/v1/auth/mint").last().unwrap();
        assert_eq!(last.bearer(), Some(NEW_KEY), "the new key mints anew");
    });

    folder.write("auth_secret", &format!("{NEW_SECRET}\n{SECRET}\n"));
    reload(&stage, "swapped").await;
    load.goes_on().await;
    *load.cookie.lock().unwrap() = cookie(NEW_SECRET, "ada");
    load.goes_on().await;
    folder.write("auth_secret", NEW_SECRET);
    reload(&stage, "swapped").await;
    load.goes_on().await;

    let before = shown(&stage, &client).await;
    new.write(folder.folder.path());
    reload(&stage, "swapped").await;
    assert_ne!(shown(&stage, &client).await, before);
    load.goes_on().await;
    load.end().await;

    let request = get(stage.server.address(), "/v1/models", &cookie(SECRET, "ada"));
    let refused = secure::ask(stage.server.address(), &client, request).await;
    assert_eq!(refused.unwrap().code(), Some("session_invalid"));
    let frame = stream.frame().await.unwrap().unwrap();
    let mut text = frame.into_data().unwrap().to_vec();
    text.extend(stream.collect().await.unwrap().to_bytes());
    let text = String::from_utf8(text).unwrap();
    assert!(text.ends_with("data: [DONE]\n\n"), "the stream was cut");
    assert_eq!(stage.metric("behest_gateway_panics_total"), 0.0);
}

/// A folder as Kubernetes mounts a secret: `name` leads through `..data` to a folder that is replaced.
fn mount(at: &Path, version: &str, secret: &str) {
    let folder = at.join(version);
    fs::create_dir(&folder).unwrap();
    fs::write(folder.join("auth_secret"), secret).unwrap();
    symlink(version, at.join("..data_tmp")).unwrap();
    fs::rename(at.join("..data_tmp"), at.join("..data")).unwrap();
}

#[tokio::test]
async fn a_watched_file_behind_kubernetes_links_is_taken_up_by_itself() {
    let folder = Folder::new(&Certificate::new());
    mount(folder.folder.path(), "..v1", SECRET);
    fs::remove_file(folder.path("auth_secret")).unwrap();
    symlink("..data/auth_secret", folder.path("auth_secret")).unwrap();
    let stage = stage(&folder, false).await;
    let address = stage.server.address();
    let ask = async |secret| {
        let request = get(address, "/v1/models", &cookie(secret, "ada"));
        ask(address, Protocol::Http1, request).await.status
    };
    assert_eq!(ask(SECRET).await, 200);
    assert_eq!(ask(NEW_SECRET).await, 401);
    mount(
        folder.folder.path(),
        "..v2",
        &format!("{NEW_SECRET}\n{SECRET}"),
    );
    fs::remove_dir_all(folder.path("..v1")).unwrap();
    until("the new secret is in force", async || {
        ask(NEW_SECRET).await == 200
    })
    .await;
    assert_eq!(ask(SECRET).await, 200);
    let minted = stage.emulator.log().read(Seen::minted);
    assert_eq!(minted, 1, "the key did not change: the token is kept");
    assert_eq!(reloads(&stage, "swapped"), 1.0);
}

#[tokio::test]
async fn what_does_not_hold_is_refused_and_the_old_stays() {
    let (old, new) = (Certificate::new(), Certificate::new());
    let folder = Folder::new(&old);
    let stage = stage(&folder, true).await;
    let client = secure::client(&[&old, &new], &["h2"]);
    let address = stage.server.address();
    let works = async || {
        let request = get(address, "/v1/models", &cookie(SECRET, "ada"));
        let answer = secure::ask(address, &client, request).await.unwrap();
        assert_eq!(answer.status, 200);
    };
    works().await;
    for (name, bad) in [
        ("behest_key", "not-a-key"),
        ("behest_key", ""),
        ("auth_secret", ""),
        ("tls.key", new.key.as_str()),
        ("tls.crt", "no certificate"),
    ] {
        let good = fs::read_to_string(folder.path(name)).unwrap();
        folder.write(name, bad);
        reload(&stage, "refused").await;
        assert_eq!(stage.metric("behest_gateway_config_reload_success"), 0.0);
        works().await;
        folder.write(name, &good);
        reload(&stage, "swapped").await;
        assert_eq!(stage.metric("behest_gateway_config_reload_success"), 1.0);
        works().await;
    }
    fs::remove_file(folder.path("tls.crt")).unwrap();
    reload(&stage, "refused").await;
    works().await;
}

#[tokio::test]
async fn hang_up_makes_the_program_reload_and_name_what_only_a_restart_changes() {
    let emulator = Emulator::start(EmulatorConfig::default()).await.unwrap();
    let folder = Folder::new(&Certificate::new());
    let file = |workers: u8| format!("[server]\nlisten = \"127.0.0.1:0\"\nworkers = {workers}\n");
    folder.write("gateway.toml", &file(1));
    let mut sources = folder.sources(&emulator.base_url(), false);
    sources.env.remove("GATEWAY_WORKERS");
    let path = folder.path("gateway.toml").to_str().unwrap().to_owned();
    sources.env.insert("GATEWAY_CONFIG".to_owned(), path);
    let program = Program::serve(&sources.env).await;
    folder.write("gateway.toml", &file(2));
    folder.write("auth_secret", NEW_SECRET);
    program.signal("HUP");
    until("the reload is told", async || {
        program
            .lines()
            .iter()
            .any(|line| line["message"] == "configuration reloaded")
    })
    .await;
    let lines = program.lines();
    assert!(lines.iter().any(|line| line["key"] == "server.workers"));
    let request = get(program.address, "/v1/models", &cookie(NEW_SECRET, "ada"));
    let answer = ask(program.address, Protocol::Http1, request).await;
    assert_eq!(answer.status, 200);
    assert!(!program.text().contains(NEW_SECRET));
}
