//! One request's record, from its head until its answer's body ends: the only file that decides
//! what may be logged of a request.
//!
//! A [`Record`] travels inside the answer's body, so bytes, duration and outcome are true for
//! streams; one that is dropped unfinished is a caller who left. It holds no header, body, token or
//! cookie. The user is a keyed hash. Lines of requests without a known user, which anyone can cause,
//! have a budget for each code word; those of known users are always written.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::{Duration, Instant, UNIX_EPOCH};

use http::{HeaderValue, Method};
use serde::Serialize;

use super::labels::DisconnectPhase;
use super::line_budget::LineBudget;
use super::logging::LineQueue;
use super::metrics::Metrics;
use crate::clock;
use crate::error::Code;
use crate::identity::{UserHash, UserId};
use crate::secret::Secret;

/// What `RUST_LOG` calls the access log.
const TARGET: &str = "access";

/// What records need of the gateway that makes them.
pub struct AccessLog {
    metrics: Arc<Metrics>,
    user_hash: UserHash,
    lines: Option<LineQueue>,
    strangers: Arc<StrangerLines>,
    /// Between two lines of strangers, steadily.
    interval: Duration,
}

/// Where an access log writes, and how much of it strangers may fill.
pub struct Lines {
    /// The queue; `None`: nowhere.
    pub queue: Option<LineQueue>,
    /// What strangers have left to spend; kept across reloads.
    pub strangers: Arc<StrangerLines>,
    /// Their lines a second, for each code word; zero counts as one.
    pub per_second: u32,
}

/// What is left to spend on lines of requests whose user is not known, for each code word.
pub struct StrangerLines(Vec<(Code, LineBudget)>);

impl Default for StrangerLines {
    fn default() -> Self {
        let budget = |&code| (code, LineBudget::default());
        Self(Code::ALL.iter().map(budget).collect())
    }
}

impl StrangerLines {
    fn admit(&self, code: Code, interval: Duration, now: Instant) -> bool {
        let own = self.0.iter().find(|(of, _)| *of == code);
        own.is_none_or(|(_, budget)| budget.admit(interval, now))
    }

    /// Says how many lines were left out since this was last called, one line for each code word.
    pub fn tell(&self) {
        for (code, budget) in &self.0 {
            let suppressed = budget.take_left_out();
            if suppressed > 0 {
                tracing::warn!(
                    code = code.label(),
                    suppressed,
                    "lines of requests without a known user were left out of the access log: more \
                     came than telemetry.refusals_per_second; the metrics count them all"
                );
            }
        }
    }
}

impl AccessLog {
    /// Records counted in `metrics`, and logged to `lines` (as far as `RUST_LOG` lets the target
    /// `access` pass); `user_hash_key` keys the users' hashes.
    #[must_use]
    pub fn new(metrics: Arc<Metrics>, user_hash_key: &Secret, lines: Lines) -> Arc<Self> {
        let user_hash = UserHash::new(user_hash_key);
        Arc::new(Self {
            metrics,
            user_hash,
            lines: lines.queue,
            strangers: lines.strangers,
            interval: Duration::from_secs(1) / lines.per_second.max(1),
        })
    }

    /// Begins the record of a request that comes from `client`.
    #[must_use]
    pub fn begin(
        self: &Arc<Self>,
        method: Method,
        request_id: HeaderValue,
        client: IpAddr,
    ) -> Record {
        self.metrics.request_began();
        Record {
            log: Arc::clone(self),
            began: clock::monotonic(),
            client,
            method,
            request_id,
            route: UNMATCHED,
            provider: "none",
            user: None,
            status: 499,
            code: Code::ClientGone,
            reason: None,
            trace_id: None,
            added: None,
            first_byte: None,
            replayed: false,
            bytes: 0,
            ended: false,
        }
    }

    /// The metrics.
    #[must_use]
    pub fn metrics(&self) -> &Metrics {
        &self.metrics
    }

    /// What stands for `text`, a user id for example, in every line: eight bytes of a keyed hash, in
    /// hex.
    #[must_use]
    pub fn hash(&self, text: &str) -> String {
        self.user_hash.hash(text)
    }
}

/// The label of requests that matched no route.
pub const UNMATCHED: &str = "unmatched";

/// One request, as it will be logged and counted when it ends.
pub struct Record {
    log: Arc<AccessLog>,
    began: Instant,
    client: IpAddr,
    method: Method,
    request_id: HeaderValue,
    /// The route's pattern.
    pub route: &'static str,
    /// The session's provider.
    pub provider: &'static str,
    /// Whose request it is.
    pub user: Option<UserId>,
    /// The status that the caller was sent.
    pub status: u16,
    /// The outcome's code word.
    pub code: Code,
    /// For the operator: why the gateway answered itself.
    pub reason: Option<String>,
    /// Behest's trace id.
    pub trace_id: Option<HeaderValue>,
    added: Option<Duration>,
    first_byte: Option<Duration>,
    replayed: bool,
    bytes: u64,
    ended: bool,
}

impl Record {
    /// The request's id.
    #[must_use]
    pub fn request_id(&self) -> &HeaderValue {
        &self.request_id
    }

    /// How long it has lasted.
    #[must_use]
    pub fn took(&self) -> Duration {
        self.began.elapsed()
    }

    /// Bytes of the answer that went to the caller.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    /// The request goes upstream.
    pub fn sent(&mut self) {
        if self.added.is_some() {
            self.replayed = true;
            self.log.metrics.replay();
            return;
        }
        let after = self.began.elapsed();
        self.added = Some(after);
        self.log.metrics.request_sent(after);
    }

    /// Behest's head is here.
    pub fn answered(&mut self) {
        let after = self.began.elapsed();
        self.first_byte = Some(after);
        self.log.metrics.first_byte(self.route, after);
    }

    /// Bytes of the body went to the caller: those of the answer, not of what fills its silence.
    pub fn passed(&mut self, bytes: usize) {
        self.bytes += bytes as u64;
    }

    /// The gateway answers itself with `code`: `reason` is the finer one, `text` what the operator
    /// reads.
    pub fn refused(&mut self, status: u16, code: Code, reason: &'static str, text: String) {
        self.status = status;
        self.code = code;
        self.reason = Some(text);
        self.log.metrics.refusal(code.label(), reason);
    }

    /// The answer's body has ended.
    pub fn end(&mut self) {
        if self.ended {
            return;
        }
        self.ended = true;
        let took = self.began.elapsed();
        self.log
            .metrics
            .request_ended(self.route, self.code.label(), took);
        if let Some(lines) = &self.log.lines
            && tracing::enabled!(target: TARGET, tracing::Level::INFO)
            && self.may_write(took)
        {
            lines.add_json(&self.line(took));
        }
    }

    /// Whether there is a line for it: always for a known user.
    fn may_write(&self, took: Duration) -> bool {
        let now = self.began + took;
        let may =
            self.user.is_some() || self.log.strangers.admit(self.code, self.log.interval, now);
        if !may {
            self.log.metrics.line_suppressed(self.code.label());
        }
        may
    }

    fn line(&self, took: Duration) -> Line<'_> {
        Line {
            timestamp: humantime::format_rfc3339_micros(UNIX_EPOCH + clock::unix_time())
                .to_string(),
            level: "INFO",
            target: TARGET,
            request_id: text(&self.request_id),
            client: self.client,
            method: bounded(&self.method),
            route: self.route,
            status: self.status,
            code: self.code.label(),
            provider: self.provider,
            user: self.user.as_ref().map(|user| self.log.hash(user.as_str())),
            bytes: self.bytes,
            duration_ms: milliseconds(took),
            first_byte_ms: self.first_byte.map(milliseconds),
            added_ms: self.added.map(milliseconds),
            replayed: self.replayed,
            trace_id: self.trace_id.as_ref().map(text),
            reason: self.reason.as_deref(),
        }
    }
}

/// One line of the log. Written as it is and not as an event of `tracing`, whose JSON costs several
/// times as much, and this is the one line that every request pays for.
#[derive(Serialize)]
struct Line<'a> {
    timestamp: String,
    level: &'static str,
    target: &'static str,
    request_id: &'a str,
    client: IpAddr,
    method: &'a str,
    route: &'static str,
    status: u16,
    code: &'static str,
    provider: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    user: Option<String>,
    bytes: u64,
    duration_ms: f64,
    #[serde(skip_serializing_if = "Option::is_none")]
    first_byte_ms: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    added_ms: Option<f64>,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    replayed: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    trace_id: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<&'a str>,
}

/// A method that HTTP does not know may be as long as a head.
fn bounded(method: &Method) -> &str {
    method.as_str().get(..16).unwrap_or(method.as_str())
}

fn text(value: &HeaderValue) -> &str {
    value.to_str().unwrap_or_default()
}

impl Drop for Record {
    fn drop(&mut self) {
        if self.ended {
            return;
        }
        let phase = match (self.first_byte, self.bytes) {
            (None, _) => DisconnectPhase::BeforeHead,
            (Some(_), 0) => DisconnectPhase::BeforeFirstByte,
            (Some(_), _) => DisconnectPhase::MidStream,
        };
        self.log.metrics.disconnect(phase);
        self.status = 499;
        self.code = Code::ClientGone;
        self.end();
    }
}

/// Milliseconds to the microsecond.
fn milliseconds(duration: Duration) -> f64 {
    #[expect(
        clippy::cast_precision_loss,
        reason = "a log's durations are far below 2^52 µs"
    )]
    let micros = duration.as_micros() as f64;
    micros / 1000.0
}
