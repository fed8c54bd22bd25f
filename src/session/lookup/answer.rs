//! What the app's answer means.
//!
//! Guarantees: signed in only by 200, a JSON object, and a user in it: Auth.js answers 200 to
//! everyone, and with a page to whom it does not know.

use std::time::Duration;

use bytes::Bytes;
use http::Response;
use http::header::CONTENT_ENCODING;
use serde::de::IgnoredAny;
use serde_json::value::RawValue;

use super::failure::AppFailure;
use crate::clock::Now;
use crate::retry_after::retry_after;
use crate::session::error::{InvalidReason, Refusal};
use crate::session::{json, moment};

/// A session that the app knows.
#[derive(Clone, Debug)]
pub(super) struct Known {
    /// The answer: a JSON object with a user in it.
    pub(super) payload: Bytes,
    /// When the session ends, in Unix seconds, where it says so.
    pub(super) ends: Option<f64>,
}

/// What everyone who waits for an answer learns.
pub(super) type Outcome = Result<Known, Refusal>;

/// Why there is no user.
#[derive(Debug)]
pub(super) enum Miss {
    /// The app said so.
    Session(Refusal),
    /// The app did not say, and may have asked for a wait.
    App(AppFailure, Option<Duration>),
}

impl From<InvalidReason> for Miss {
    fn from(reason: InvalidReason) -> Self {
        Self::Session(reason.into())
    }
}

impl From<AppFailure> for Miss {
    fn from(failure: AppFailure) -> Self {
        Self::App(failure, None)
    }
}

/// Where an answer says what.
pub(super) struct Paths {
    pub(super) user: Vec<String>,
    /// Empty: nowhere.
    pub(super) expires: Vec<String>,
    /// Must be true; empty: nothing must.
    pub(super) active: Vec<String>,
}

impl Paths {
    /// What `response`, which came at `now`, means.
    pub(super) fn judge(&self, response: &Response<Bytes>, now: Now) -> Result<Known, Miss> {
        let status = response.status();
        match status.as_u16() {
            200 if response.headers().contains_key(CONTENT_ENCODING) => {
                Err(InvalidReason::AppNotJson.into())
            }
            200 => self.read(response.body(), now),
            401 | 403 => Err(InvalidReason::AppRefuses.into()),
            201..=299 => Err(InvalidReason::AppNotJson.into()),
            300..=399 => Err(InvalidReason::AppRedirects.into()),
            _ => {
                let wait = retry_after(response.headers(), now);
                Err(Miss::App(AppFailure::Status(status), wait))
            }
        }
    }

    fn read(&self, body: &[u8], now: Now) -> Result<Known, Miss> {
        let text = std::str::from_utf8(body).map_err(|_| InvalidReason::AppNotJson)?;
        if json::members(text, []).is_none() {
            // `null`, of Auth.js and of Better Auth.
            let is_json = serde_json::from_str::<IgnoredAny>(text).is_ok();
            return Err(if is_json {
                InvalidReason::AppKnowsNot.into()
            } else {
                InvalidReason::AppNotJson.into()
            });
        }
        let is_true = |raw: &RawValue| raw.get() == "true";
        if !self.active.is_empty() && !json::at_path(text, &self.active).is_some_and(is_true) {
            return Err(InvalidReason::AppKnowsNot.into());
        }
        let is_null = |raw: &RawValue| raw.get() == "null";
        if json::at_path(text, &self.user).is_none_or(is_null) {
            // `{}`, of NextAuth v4.
            let is_empty = text.bytes().filter(|b| !b.is_ascii_whitespace()).count() == 2;
            return Err(if is_empty {
                InvalidReason::AppKnowsNot.into()
            } else {
                InvalidReason::AppNamesNoUser.into()
            });
        }
        let ends = json::at_path(text, &self.expires).and_then(moment::seconds);
        if ends.is_some_and(|ends| ends <= now.unix.as_secs_f64()) {
            return Err(Miss::Session(Refusal::Expired));
        }
        Ok(Known {
            // A copy: what was read may be part of a larger buffer, which would stay.
            payload: Bytes::copy_from_slice(body),
            ends,
        })
    }
}

/// How long an outcome is kept.
#[derive(Clone, Copy)]
pub(super) struct Keeping {
    /// One with a user.
    pub(super) known: Duration,
    /// One without.
    pub(super) refused: Duration,
}

/// A failure is kept for so long, so that those who come next do not all ask again.
const FAILED: Duration = Duration::from_millis(500);

impl Keeping {
    /// Until when `outcome` holds, asked for at `asked` and there at `landed` (both monotonic).
    pub(super) fn until(self, outcome: &Outcome, asked: Duration, landed: Duration) -> Duration {
        match outcome {
            // What the app said was true when it was asked.
            Ok(_) => asked + self.known,
            Err(Refusal::Unavailable(..)) => landed + FAILED,
            Err(_) => landed + self.refused,
        }
    }
}
