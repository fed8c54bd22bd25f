//! Usage and limits: what each user has used, and whether the tier allows more.
//!
//! Model tokens are billed as they go out, so an answer that a client leaves costs what it saw.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use http::StatusCode;
use serde_json::{Value, json};

use super::answer::Answer;
use super::config::TierLimits;
use super::refusal::Refusal;
use super::time::{monotonic, parse_day, today};
use super::token::Claims;

const WINDOW: Duration = Duration::from_mins(1);

/// The books of one project.
#[derive(Debug, Default)]
pub(super) struct Ledger {
    books: Mutex<Books>,
}

#[derive(Debug, Default)]
struct Books {
    /// By day since 1970 and user.
    entries: BTreeMap<(u64, String), Used>,
    totals: BTreeMap<String, u64>,
    windows: BTreeMap<String, (Instant, u64)>,
}

#[derive(Clone, Copy, Debug, Default)]
struct Used {
    requests: u64,
    prompt: u64,
    completion: u64,
}

impl Used {
    fn add(&mut self, other: Self) {
        self.requests += other.requests;
        self.prompt += other.prompt;
        self.completion += other.completion;
    }

    fn to_json(self) -> Value {
        json!({
            "requests": self.requests, "prompt_tokens": self.prompt,
            "completion_tokens": self.completion, "total_tokens": self.prompt + self.completion,
        })
    }
}

/// One request's line in the books, open until its answer is out.
#[derive(Debug)]
pub(super) struct Bill {
    ledger: Arc<Ledger>,
    user: String,
    day: u64,
}

impl Bill {
    /// Adds model tokens that went out.
    pub(super) fn add(&self, completion: u64) {
        if completion > 0 {
            let entry = Used {
                completion,
                ..Used::default()
            };
            self.ledger.enter(self.day, &self.user, entry);
        }
    }
}

impl Ledger {
    /// Opens a bill for a request with a prompt of so many tokens.
    pub(super) fn bill(self: &Arc<Self>, user: &str, prompt: u64) -> Bill {
        let day = today();
        let entry = Used {
            requests: 1,
            prompt,
            completion: 0,
        };
        self.enter(day, user, entry);
        Bill {
            ledger: Arc::clone(self),
            user: user.to_owned(),
            day,
        }
    }

    /// Lets a request in, or answers 429 or 402; `spends` is false for requests that use no
    /// model.
    pub(super) fn admit(
        &self,
        user: &str,
        limits: TierLimits,
        spends: bool,
    ) -> Result<(), Refusal> {
        let mut books = self.lock();
        if let Some(limit) = limits.requests_per_minute {
            let now = monotonic();
            let window = books.windows.entry(user.to_owned()).or_insert((now, 0));
            let passed = now.saturating_duration_since(window.0);
            if passed >= WINDOW {
                *window = (now, 0);
            }
            if window.1 >= limit {
                return Err(rate_limited(WINDOW.saturating_sub(passed), limit));
            }
            window.1 += 1;
        }
        let spent = books.totals.get(user).copied().unwrap_or_default();
        match limits.tokens {
            Some(limit) if spends && spent >= limit => Err(Refusal::new(
                StatusCode::PAYMENT_REQUIRED,
                "quota_exceeded",
                &format!("all {limit} tokens of this tier are used"),
            )),
            Some(_) | None => Ok(()),
        }
    }

    /// `GET /v1/billing/usage`: the project's totals and the caller's own.
    pub(super) fn report(
        &self,
        project: &str,
        claims: &Claims,
        query: &str,
    ) -> Result<Answer, Refusal> {
        let (Some(from), Some(to)) = (parameter(query, "from"), parameter(query, "to")) else {
            return Err(Refusal::invalid("from and to are required, YYYY-MM-DD"));
        };
        let (Some(first), Some(last)) = (parse_day(from), parse_day(to)) else {
            return Err(Refusal::invalid("from and to are days, YYYY-MM-DD"));
        };
        if first > last {
            return Err(Refusal::invalid("from is after to"));
        }
        let (mut all, mut own) = (Used::default(), Used::default());
        for ((day, user), used) in &self.lock().entries {
            if (first..=last).contains(day) {
                all.add(*used);
                if *user == claims.uid {
                    own.add(*used);
                }
            }
        }
        let mut user = own.to_json();
        if let Some(user) = user.as_object_mut() {
            user.insert("user_id".to_owned(), json!(claims.uid));
        }
        Ok(Answer::ok(&json!({
            "project_id": project, "from": from, "to": to, "project": all.to_json(), "user": user,
        })))
    }

    pub(super) fn clear(&self) {
        *self.lock() = Books::default();
    }

    fn enter(&self, day: u64, user: &str, entry: Used) {
        let mut books = self.lock();
        *books.totals.entry(user.to_owned()).or_default() += entry.prompt + entry.completion;
        books
            .entries
            .entry((day, user.to_owned()))
            .or_default()
            .add(entry);
    }

    fn lock(&self) -> MutexGuard<'_, Books> {
        self.books.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn rate_limited(wait: Duration, limit: u64) -> Refusal {
    let seconds = wait.as_millis().div_ceil(1000).max(1).to_string();
    Refusal::new(
        StatusCode::TOO_MANY_REQUESTS,
        "rate_limited",
        &format!("this tier may send {limit} requests a minute"),
    )
    .with_header("retry-after", seconds)
    .with_header("x-ratelimit-limit-requests", limit.to_string())
    .with_header("x-ratelimit-remaining-requests", "0".to_owned())
}

/// The first value of a query parameter, as it stands.
fn parameter<'a>(query: &'a str, name: &str) -> Option<&'a str> {
    query
        .split('&')
        .filter_map(|pair| pair.split_once('='))
        .find(|(key, _)| *key == name)
        .map(|(_, value)| value)
}
