//! What every test stands on: a gateway and an emulator on free ports, session cookies, and callers.

pub mod app;
pub mod caller;
pub mod cookies;
pub mod crowd;
pub mod fields;
pub mod frames;
pub mod honest;
#[path = "../../../src/session/signed/testing.rs"]
#[expect(dead_code, reason = "shared with the unit tests, which use all of it")]
pub mod issuer;
pub mod key_server;
pub mod marks;
pub mod mutation;
pub mod program;
pub mod redis;
#[path = "../../../src/session/sealer.rs"]
#[expect(dead_code, reason = "shared with the unit tests, which use all of it")]
mod sealer;
pub mod secure;
pub mod upload;
pub mod upstream;
pub mod waiting;
pub mod wire;

use std::collections::BTreeMap;
use std::time::Duration;

use behest_gateway::clock::{Clock, unix_time};
use behest_gateway::config::{Config, Sources};
use behest_gateway::emulator::{Emulator, EmulatorConfig, FIXTURE_KEY};
use behest_gateway::generation::Process;
use behest_gateway::server::Server;

/// The app's secret in every test.
pub const SECRET: &str = "it-secret-8b1f0c2d4e6a79135ac0e2f4d6b8a9c1";

/// The cookie that Auth.js v5 sets over http.
pub const COOKIE: &str = "authjs.session-token";

/// How long a test waits for what must happen before it fails.
pub const PATIENCE: Duration = Duration::from_secs(10);

/// A gateway in front of an emulator.
pub struct Stage {
    pub emulator: Emulator,
    pub server: Server,
    pub process: Process,
}

impl Stage {
    /// With nothing but what every gateway needs.
    pub async fn new() -> Self {
        Self::with(&[]).await
    }

    /// With more environment variables.
    pub async fn with(env: &[(&str, &str)]) -> Self {
        let emulator = Emulator::start(EmulatorConfig {
            frame_delay: Duration::from_millis(5),
            ..EmulatorConfig::default()
        });
        Self::over(emulator.await.unwrap(), env)
    }

    /// Over an emulator of one's own.
    pub fn over(emulator: Emulator, env: &[(&str, &str)]) -> Self {
        let sources = sources(&emulator.base_url(), env);
        Self::of(emulator, sources, Clock::system())
    }

    /// The same with a clock of the test's own.
    pub async fn at(clock: Clock, env: &[(&str, &str)]) -> Self {
        let emulator = Emulator::start(EmulatorConfig::default()).await.unwrap();
        let sources = sources(&emulator.base_url(), env);
        Self::of(emulator, sources, clock)
    }

    /// Over an emulator, an environment and a clock of one's own.
    pub fn of(emulator: Emulator, sources: Sources, clock: Clock) -> Self {
        let (server, process) = start(sources, clock);
        Self {
            emulator,
            server,
            process,
        }
    }

    /// Whose emulator pauses `pace` between two events.
    pub async fn paced(pace: Duration, env: &[(&str, &str)]) -> Self {
        let emulator = Emulator::start(EmulatorConfig {
            frame_delay: pace,
            ..EmulatorConfig::default()
        });
        Self::over(emulator.await.unwrap(), env)
    }

    /// The metrics page.
    pub fn metrics(&self) -> String {
        String::from_utf8(self.process.metrics.page().unwrap()).unwrap()
    }

    /// The value of the one series that is written `series`; zero where there is none.
    pub fn metric(&self, series: &str) -> f64 {
        let page = self.metrics();
        let line = page
            .lines()
            .find_map(|line| line.strip_prefix(series)?.strip_prefix(' '));
        line.map_or(0.0, |value| value.parse().unwrap())
    }
}

/// A gateway in front of whatever is at `base_url`.
pub fn serve(base_url: &str, env: &[(&str, &str)]) -> (Server, Process) {
    start(sources(base_url, env), Clock::system())
}

/// A gateway alone.
pub fn start(sources: Sources, clock: Clock) -> (Server, Process) {
    let loaded = Config::load(sources.clone()).unwrap_or_else(|problems| panic!("{problems}"));
    let process = Process::new(clock).unwrap();
    let reload = Box::new(move || Config::load(sources.clone()));
    let server = Server::start(loaded, process.clone(), reload).unwrap();
    (server, process)
}

/// The environment of a gateway on free ports; `env` is added and wins.
pub fn sources(base_url: &str, env: &[(&str, &str)]) -> Sources {
    let mut all: BTreeMap<String, String> = [
        ("BEHEST_KEY", FIXTURE_KEY),
        ("BEHEST_BASE_URL", base_url),
        ("AUTH_SECRET", SECRET),
        ("GATEWAY_LISTEN", "127.0.0.1:0"),
        ("GATEWAY_ADMIN_LISTEN", "127.0.0.1:0"),
        ("GATEWAY_WORKERS", "2"),
    ]
    .map(|(name, value)| (name.to_owned(), value.to_owned()))
    .into();
    for (name, value) in env {
        all.insert((*name).to_owned(), (*value).to_owned());
    }
    Sources {
        env: all,
        ..Sources::default()
    }
}

/// A Cookie header with a session of `user`, whose tier is the JSON `tier`.
pub fn cookie(user: &str, tier: &str) -> String {
    cookie_with(
        SECRET,
        user,
        &format!(r#""tier":{tier},"sid":"browser-{user}""#),
    )
}

/// The same under another secret and with other claims.
pub fn cookie_with(secret: &str, user: &str, claims: &str) -> String {
    let exp = unix_time().as_secs() + 3600;
    let payload = format!(r#"{{"sub":"{user}",{claims},"exp":{exp}}}"#);
    let token = sealer::Sealer::v5(secret, COOKIE).seal(&payload);
    format!("{COOKIE}={token}")
}

/// A stage that several tasks use.
pub type Shared = std::sync::Arc<Stage>;
