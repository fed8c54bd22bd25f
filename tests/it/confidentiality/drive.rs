//! The program under way: its secrets, its callers, and all that came out of it.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::PathBuf;

use aws_lc_rs::digest::{SHA256, digest};
use base64::Engine as _;
use base64::prelude::{BASE64_STANDARD, BASE64_URL_SAFE_NO_PAD};
use behest_gateway::emulator::{
    Action, Emulator, EmulatorConfig, FIXTURE_PROJECT, FIXTURE_TENANT, Fault, On, SigningKey,
};
use bytes::Bytes;
use http::{Request, Response};
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use serde_json::Value;

use super::behind;
use crate::support::app::App;
use crate::support::caller::{Caller, Protocol, ask, chat_of, get};
use crate::support::cookie_with;
use crate::support::marks::Marks;
use crate::support::program::{Program, environment};
use crate::support::waiting::until;
use crate::support::wire::Wire;

/// Which kind of Behest key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KeyKind {
    Api,
    Private,
}

/// Everything that must stay inside.
pub struct Secrets {
    pub key: String,
    pub auth: String,
    retired: String,
    session_id_key: String,
    user_hash_key: String,
    /// Part of each user's id.
    pub user: String,
    pub prompt: String,
    sid: String,
}

impl Secrets {
    pub fn new(kind: KeyKind) -> Self {
        // No two have a part in common.
        let marked = |name: &str| {
            let hash = digest(&SHA256, name.as_bytes());
            format!("{name}-{}", BASE64_URL_SAFE_NO_PAD.encode(hash))
        };
        Self {
            key: match kind {
                KeyKind::Api => format!("behest_sk_live_{}", marked("key")),
                KeyKind::Private => SigningKey::of_this_process()
                    .unwrap()
                    .to_behest_key()
                    .unwrap(),
            },
            auth: marked("auth-secret-with-thirty-two-bytes"),
            retired: marked("retired-secret-with-thirty-two-bytes"),
            session_id_key: marked("session-id-key"),
            user_hash_key: marked("user-hash-key"),
            user: marked("user"),
            prompt: marked("prompt"),
            sid: marked("sid"),
        }
    }

    /// What neither callers nor logs may see.
    pub fn marks(&self) -> Marks {
        let mut marks = Marks::default();
        match self.key.strip_prefix("behest_pk_") {
            None => marks.add("the API key", &self.key),
            Some(packed) => {
                marks.add("the RSA key", BASE64_STANDARD.decode(packed).unwrap());
                marks.add("the RSA key's text", packed);
            }
        }
        marks.add("AUTH_SECRET", &self.auth);
        marks.add("the retired secret", &self.retired);
        marks.add("the session id's key", &self.session_id_key);
        marks.add("the user hash's key", &self.user_hash_key);
        marks
    }

    /// A Cookie header of the user whose id ends with `name`.
    pub fn cookie(&self, name: &str, tier: &str) -> String {
        let claims = format!(r#""tier":{tier},"sid":"{}""#, self.sid);
        cookie_with(&self.auth, &format!("{}-{name}", self.user), &claims)
    }
}

/// A program, what is behind it, and what came out of it.
pub struct Drive {
    pub secrets: Secrets,
    pub kind: KeyKind,
    pub emulator: Emulator,
    pub app: App,
    pub program: Program,
    pub protocol: Protocol,
    /// Every byte that a caller received, and the pages of the admin listener.
    received: String,
    pages: String,
    cookies: Vec<String>,
    users: usize,
    config: PathBuf,
    log_format: String,
    folder: tempfile::TempDir,
}

/// The origin of a page that may call.
pub const PAGE: &str = "https://page.example";

/// What an operator proves to be one with.
const OPERATOR: &str = "mark-operator-5c81f0d2a96be374c0d8";

/// Small limits and short times: each is reached by some case.
const LIMITS: [(&str, &str); 13] = [
    ("GATEWAY_APP__FIRST_BYTE_TIMEOUT", "1s"),
    ("GATEWAY_APP__IDLE_TIMEOUT", "500ms"),
    ("GATEWAY_ADMIN_TOKEN", OPERATOR),
    ("GATEWAY_ALLOWED_ORIGINS", PAGE),
    ("GATEWAY_UPSTREAM__HOLD_BODY", "1 KiB"),
    ("GATEWAY_UPSTREAM__FIRST_BYTE_TIMEOUT", "2s"),
    ("GATEWAY_UPSTREAM__IDLE_TIMEOUT", "1s"),
    ("GATEWAY_MINT__TIMEOUT", "1s"),
    ("GATEWAY_MINT__CONCURRENCY", "1"),
    ("GATEWAY_LIMITS__MAX_BODY", "8 KiB"),
    ("GATEWAY_LIMITS__REQUESTS_PER_USER", "2"),
    ("GATEWAY_SERVER__DRAIN_LIMIT", "300ms"),
    ("GATEWAY_LIMITS__BODY_GRACE", "500ms"),
];

impl Drive {
    pub async fn start(kind: KeyKind, log_format: &str) -> Self {
        let secrets = Secrets::new(kind);
        let emulator = Emulator::start(EmulatorConfig {
            api_keys: vec![secrets.key.clone()],
            ..EmulatorConfig::default()
        });
        let (emulator, app) = (emulator.await.unwrap(), behind::start().await);
        let app_url = format!("http://{}", app.address);
        let folder = tempfile::tempdir().unwrap();
        let config = folder.path().join("gateway.toml");
        let write = |name: &str, text: &str| {
            let path = folder.path().join(name);
            std::fs::write(&path, text).unwrap();
            path.to_str().unwrap().to_owned()
        };
        let auth_file = write("auth", &format!("{}\n{}\n", secrets.auth, secrets.retired));
        write("session_id", &secrets.session_id_key);
        write("user_hash", &secrets.user_hash_key);
        let mut env: BTreeMap<_, _> = environment(&emulator.base_url(), &LIMITS);
        env.remove("AUTH_SECRET");
        for (name, value) in [
            ("BEHEST_KEY", secrets.key.as_str()),
            ("BEHEST_KID", emulator.signing_key().kid()),
            ("BEHEST_TENANT_ID", FIXTURE_TENANT),
            ("BEHEST_PROJECT_ID", FIXTURE_PROJECT),
            ("AUTH_SECRET_FILE", &auth_file),
            ("GATEWAY_CONFIG", config.to_str().unwrap()),
            ("GATEWAY_APP_URL", &app_url),
            ("RUST_LOG", "trace"),
        ] {
            env.insert(name.to_owned(), value.to_owned());
        }
        write_config(&config, folder.path(), log_format, "");
        let program = Program::serve(&env).await;
        Self {
            secrets,
            kind,
            emulator,
            app,
            program,
            protocol: Protocol::Http1,
            received: String::new(),
            pages: String::new(),
            cookies: Vec::new(),
            users: 0,
            config,
            log_format: log_format.to_owned(),
            folder,
        }
    }

    /// The cookie of a user that was never here.
    pub fn cookie(&mut self) -> String {
        self.cookie_of("pro")
    }

    /// The same, of `tier`.
    pub fn cookie_of(&mut self, tier: &str) -> String {
        self.users += 1;
        let tier = format!("\"{tier}\"");
        let cookie = self.secrets.cookie(&self.users.to_string(), &tier);
        self.cookies.push(cookie.clone());
        cookie
    }

    /// The marked prompt, by a user that was never here.
    pub fn chat(&mut self, stream: bool) -> Request<Full<Bytes>> {
        let cookie = self.cookie();
        self.chat_as(&cookie, stream, 0)
    }

    /// The same by the user of `cookie`, with this much more.
    pub fn chat_as(&self, cookie: &str, stream: bool, more: usize) -> Request<Full<Bytes>> {
        let content = format!("{}{}", self.secrets.prompt, " ".repeat(more));
        let body = serde_json::json!({
            "model": "emulator",
            "stream": stream,
            "messages": [{ "role": "user", "content": content }],
        });
        chat_of(self.program.address, cookie, &body)
    }

    pub fn models(&mut self) -> Request<Full<Bytes>> {
        let cookie = self.cookie();
        get(self.program.address, "/v1/models", &cookie)
    }

    pub fn fault(&self, times: u32, on: On, action: Action) {
        self.emulator.faults().push(Fault::times(times, on, action));
    }

    /// One request to its end, however that comes; its code word.
    pub async fn send(&mut self, request: Request<Full<Bytes>>) -> Option<String> {
        let mut caller = Caller::connect(self.program.address, self.protocol).await;
        let response = caller.send(request).await.unwrap();
        self.read(response).await
    }

    /// Reads an answer to its end; its code word.
    pub async fn read(&mut self, response: Response<Incoming>) -> Option<String> {
        let code = response.headers().get("x-gateway-error").cloned();
        self.head(&response);
        let mut body = response.into_body();
        while let Some(Ok(frame)) = body.frame().await {
            match frame.into_data() {
                Ok(data) => self.received += &String::from_utf8_lossy(&data),
                Err(trailers) => write!(self.received, "{trailers:?}").unwrap(),
            }
        }
        code.map(|code| code.to_str().unwrap().to_owned())
    }

    /// Remembers an answer's head.
    pub fn head(&mut self, response: &Response<Incoming>) {
        writeln!(self.received, "\n{}", response.status()).unwrap();
        for (name, value) in response.headers() {
            let value = String::from_utf8_lossy(value.as_bytes());
            writeln!(self.received, "{name}: {value}").unwrap();
        }
    }

    /// Bytes as they stand, on a connection of their own.
    pub async fn raw(&mut self, text: &str) {
        let mut wire = Wire::connect(self.program.address).await;
        wire.write(text).await.unwrap();
        self.received += &wire.read_to_end().await.0;
    }

    /// Waits until tokens are minted again.
    pub async fn recover(&mut self) {
        for _ in 0..100 {
            let request = self.models();
            if self.send(request).await.is_none() {
                return;
            }
            tokio::time::sleep(std::time::Duration::from_millis(50)).await;
        }
        panic!("no recovery");
    }

    /// Ends the sessions of the user of the last [`Self::cookie`].
    pub async fn revoke(&mut self) {
        let user = format!("{}-{}", self.secrets.user, self.users);
        let admin = self.program.admin;
        let order = serde_json::json!({ "user_id": user }).to_string();
        let request = Request::post("/revocations")
            .header("host", admin.to_string())
            .header("authorization", format!("Bearer {OPERATOR}"))
            .header("content-type", "application/json")
            .body(Full::from(order));
        let answer = ask(admin, Protocol::Http1, request.unwrap()).await;
        assert_eq!(answer.status, 201, "{}", answer.text());
    }

    pub async fn admin_pages(&mut self) {
        let admin = self.program.admin;
        for path in ["/livez", "/readyz", "/metrics", "/nowhere"] {
            let answer = ask(admin, Protocol::Http1, get(admin, path, "")).await;
            write!(self.pages, "{answer:?}{}", answer.text()).unwrap();
        }
    }

    /// A reload that holds, and one that does not, with a secret where it must not stand.
    pub async fn reload(&mut self) {
        let folder = self.folder.path();
        for (more, message) in [
            ("", "configuration reloaded"),
            (
                &*format!("[mint]\nkey = \"{}\"\n", self.secrets.key),
                "does not hold",
            ),
            (&*format!("{} = 1", self.secrets.auth), "is no key"),
        ] {
            write_config(&self.config, folder, &self.log_format, more);
            self.program.signal("HUP");
            until(message, async || self.program.text().contains(message)).await;
        }
    }

    /// The end, while a stream is under way.
    pub async fn end(&mut self) {
        self.admin_pages().await;
        self.fault(1, On::Data, Action::StallAfter { frames: 2 });
        let request = self.chat(true);
        let mut caller = Caller::connect(self.program.address, self.protocol).await;
        let response = caller.send(request).await.unwrap();
        self.program.signal("TERM");
        self.read(response).await;
        assert_eq!(self.program.exit_code().await, Some(0));
        until("the last line is read", async || {
            let lines = self.program.accesses();
            lines.iter().any(|line| line["code"] == "drained")
        })
        .await;
    }

    /// Looks for every secret in everything.
    pub fn search(&self) {
        let mut marks = self.secrets.marks();
        for cookie in &self.cookies {
            marks.add_cookie(cookie);
        }
        let tokens: Vec<String> = self.emulator.log().read(|seen| {
            let bearers = seen.requests.iter().filter_map(|request| request.bearer());
            let tokens = bearers.filter(|bearer| bearer.contains('.'));
            tokens.map(str::to_owned).collect()
        });
        assert!(tokens.len() > 20, "{}", tokens.len());
        for token in &tokens {
            marks.add_token(token);
        }
        assert!(self.received.len() > 10_000, "{}", self.received);
        marks.assert_absent("an answer", &self.received);
        marks.assert_absent("a request to the app", behind::seen(self));
        marks.add("a user's id", &self.secrets.user);
        marks.add("the operators' token", OPERATOR);
        marks.add("a prompt", &self.secrets.prompt);
        marks.add("a browser session's name", &self.secrets.sid);
        let log = self.program.text();
        assert!(log.len() > 10_000, "{log}");
        marks.assert_absent("the log", log);
        self.libraries_are_quiet();
        let records = std::fs::read_to_string(self.folder.path().join("usage.jsonl")).unwrap();
        assert!(records.lines().count() > 20, "{records}");
        marks.assert_absent("the usage records", records);
        assert!(self.pages.contains("behest_gateway_requests_total"));
        marks.assert_absent("the admin pages", &self.pages);
    }

    /// Nobody vouches for what libraries tell at `debug` and `trace`, so it is not told.
    fn libraries_are_quiet(&self) {
        let lines = self.program.lines();
        assert!(lines.len() > 20);
        for line in lines {
            let fine = ["DEBUG", "TRACE"].map(Value::from).contains(&line["level"]);
            let target = line["target"].as_str().unwrap_or_default();
            assert!(!fine || target.starts_with("behest_gateway"), "{line}");
        }
    }
}

/// The cookie of a provider that demands what no session here has.
pub const STAFF_COOKIE: &str = "staff";

/// The cookie of a provider whose app does not answer.
pub const ASKED_COOKIE: &str = "asked";

/// How sessions are recognised.
const PROVIDERS: &str = r#"
[[session.providers]]
kind = "authjs-v5"

[[session.providers]]
kind = "nextauth-v4"
cookie_names = ["staff"]
required = [{ claim = ["email"], one_of = ["mark@staff.example"] }]

[[session.providers]]
kind = "lookup"
cookie_names = ["asked"]
url = "http://127.0.0.1:1/session"
"#;

/// The file, which refers to two more secrets; `more` is added.
fn write_config(to: &std::path::Path, folder: &std::path::Path, log_format: &str, more: &str) {
    let folder = folder.display();
    let text = format!(
        "[telemetry]\nlog_format = \"{log_format}\"\nuser_hash_key = {{ file = \"{folder}/user_hash\" }}\n\
         [session_id]\nkey = {{ file = \"{folder}/session_id\" }}\n{PROVIDERS}{more}\n\
         [usage.file]\npath = \"{folder}/usage.jsonl\"\n\
         [budgets.tiers.broke]\ntokens_per_day = 0\n\
         [budgets.tiers.slow]\nrequests_per_minute = 0\n"
    );
    std::fs::write(to, text).unwrap();
}
