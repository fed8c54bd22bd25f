//! The Behest API as a double: for tests, for development without an account, for the demo.
//!
//! It answers as Behest's public pages say and shares no code with the gateway, so that a
//! mistake in one is not hidden by the same mistake in the other. It listens on HTTP/1.1 (or
//! HTTPS), mints RS256 tokens, verifies the token of every data-plane request, keeps threads
//! and usage for each user, and holds tiers to their limits. It records what it receives and
//! can be told to misbehave.
//!
//! ```no_run
//! # async fn example() -> std::io::Result<()> {
//! use behest_gateway::emulator::{Action, Emulator, EmulatorConfig, Fault, On};
//! use std::time::Duration;
//!
//! let behest = Emulator::start(EmulatorConfig::default()).await?;
//! println!("BEHEST_BASE_URL={}", behest.base_url());
//! behest.faults().push(Fault::once(On::Data, Action::RejectToken));
//! // … send requests …
//! let left = behest
//!     .log()
//!     .wait_for(Duration::from_secs(1), |seen| (seen.disconnects > 0).then_some(()))
//!     .await;
//! assert!(left.is_some(), "the client's leaving was not seen");
//! # Ok(()) }
//! ```
//!
//! # What it refuses beyond Behest
//! A cookie, an identity header (`X-Tenant-Id`, `X-Role`, …), a second `Authorization`, or an
//! `X-Session-Id` that is not the token's `sid` is answered with 400 `contract_violation`, and
//! so is a mint with a `role`; each is kept in [`Seen::violations`].
//!
//! # Control over HTTP
//! | request | does |
//! |---|---|
//! | `POST /__emulator/faults` | adds one fault, or a list of them |
//! | `GET /__emulator/faults` | shows those still to act |
//! | `DELETE /__emulator/faults` | forgets them |
//! | `GET /__emulator/requests` | shows the recorded requests, credentials left out |
//! | `GET /__emulator/stats` | shows counts and violations |
//! | `POST /__emulator/reset` | forgets faults, record, threads, usage and limits |
//!
//! A fault is `{"on": "any" | "mint" | "data" | "/a/path", "times": 1, "every": 1, "action": {…}}`,
//! where only `action` is required and `"times": null` means for ever. The actions:
//! ```json
//! [{"kind": "delay", "ms": 200},
//!  {"kind": "status", "code": 429, "headers": [["retry-after", "1"]], "body": ""},
//!  {"kind": "headers", "headers": [["set-cookie", "a=b"]]},
//!  {"kind": "garbage"}, {"kind": "truncated_json"}, {"kind": "no_length"},
//!  {"kind": "close"}, {"kind": "reset"}, {"kind": "stall_before_head"},
//!  {"kind": "cut_after", "frames": 3, "reset": false}, {"kind": "stall_after", "frames": 3},
//!  {"kind": "reject_token"}, {"kind": "wrong_user", "user_id": "mallory"},
//!  {"kind": "expired_token"}, {"kind": "slow_drip", "bytes": 1, "ms": 10},
//!  {"kind": "huge_answer", "bytes": 1000000}, {"kind": "redirect", "to": "http://localhost/"},
//!  {"kind": "raw", "text": "HTTP/1.1 2000 ?\r\n\r\n"}]
//! ```

mod answer;
mod behest;
mod body;
mod chat;
mod config;
mod connection;
mod control;
mod data_plane;
mod embeddings;
mod faults;
mod keys;
mod listener;
mod mint;
mod outcome;
mod record;
mod refusal;
mod request_record;
mod threads;
mod time;
mod token;
mod usage;

#[cfg(test)]
mod tests;

use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;

use http::{Request, Response};
use http_body::Body;
use tokio::task::JoinHandle;

use behest::Behest;
pub use body::EmulatorBody;
pub use config::{
    EmulatorConfig, FIXTURE_KEY, FIXTURE_PROJECT, FIXTURE_TENANT, MintShape, TierLimits, TlsPem,
    TtlRule,
};
pub use faults::{Action, Fault, Faults, On};
pub use keys::{SigningKey, TrustedKey};
use listener::Listener;
pub use record::{Log, Seen};
pub use request_record::{Ending, RequestRecord, Violation};

/// A running emulator; it stops when it is dropped.
pub struct Emulator {
    behest: Arc<Behest>,
    addr: SocketAddr,
    secure: bool,
    task: JoinHandle<()>,
}

impl Emulator {
    /// Binds the address and begins to answer, on the runtime that this is called in.
    ///
    /// # Errors
    /// If the address cannot be bound, or a key or certificate cannot be used.
    pub async fn start(config: EmulatorConfig) -> io::Result<Self> {
        let listener = Listener::bind(config.listen, config.tls.as_ref()).await?;
        let (addr, secure) = (listener.addr()?, config.tls.is_some());
        let behest = Arc::new(Behest::new(config)?);
        let task = tokio::spawn(listener.run(Arc::clone(&behest)));
        Ok(Self {
            behest,
            addr,
            secure,
            task,
        })
    }

    /// Where it listens.
    #[must_use]
    pub fn addr(&self) -> SocketAddr {
        self.addr
    }

    /// Its origin, as `BEHEST_BASE_URL`: without a path and a final slash.
    #[must_use]
    pub fn base_url(&self) -> String {
        let scheme = if self.secure { "https" } else { "http" };
        format!("{scheme}://{}", self.addr)
    }

    /// The faults that are to come.
    #[must_use]
    pub fn faults(&self) -> &Faults {
        &self.behest.faults
    }

    /// What came.
    #[must_use]
    pub fn log(&self) -> &Log {
        &self.behest.log
    }

    /// The key that signs its tokens, which it also believes as a local signer's.
    #[must_use]
    pub fn signing_key(&self) -> &SigningKey {
        &self.behest.signing_key
    }

    /// From now on these API keys may mint and no others.
    pub fn set_api_keys(&self, keys: Vec<String>) {
        self.behest.set_api_keys(keys);
    }

    /// Forgets faults, record, threads, usage and limits.
    pub fn reset(&self) {
        self.behest.reset();
    }

    /// Answers a request that did not come over its own listener. Faults that need the
    /// connection are answered with 502, or break the body.
    pub async fn handle<B>(&self, request: Request<B>) -> Response<EmulatorBody>
    where
        B: Body,
        B::Error: fmt::Display,
    {
        self.behest.answer(request, None).await
    }

    /// Stops listening and ends every connection at once; returns when that is done.
    pub async fn shutdown(mut self) {
        self.task.abort();
        // Aborted is what it is meant to be.
        let _ = (&mut self.task).await;
    }
}

impl Drop for Emulator {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl fmt::Debug for Emulator {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Emulator")
            .field("addr", &self.addr)
            .finish_non_exhaustive()
    }
}
