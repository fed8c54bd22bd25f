//! What is asked of `GET /usage`.

use std::ops::Range;
use std::time::{Duration, UNIX_EPOCH};

use crate::clock::Now;
use crate::usage::ledger::{DAY, MINUTES_KEPT};

/// Rows: without `limit`, and at most.
const USUAL: usize = 1_000;
const MOST: usize = 50_000;

/// The longest value of a parameter, in bytes, decoded.
const MAX_VALUE: usize = 1_024;

/// Without `from`.
const USUAL_SPAN: u64 = DAY;

/// The longest span.
const MAX_SPAN: u64 = 400 * DAY;

/// A question that can be answered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Query {
    /// In Unix seconds, widened to whole steps of the ledger.
    pub(super) span: Range<u64>,
    /// The sums that are added up.
    pub(super) resolution: Step,
    /// Rows by time.
    pub(super) time: Option<Step>,
    /// Rows by name.
    pub(super) split: Option<Split>,
    pub(super) tier: Option<String>,
    pub(super) model: Option<String>,
    pub(super) user: Option<String>,
    pub(super) limit: usize,
}

/// A step of time, in UTC.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// 60 s; kept for two hours.
    Minute,
    /// 60 min.
    Hour,
    /// 24 h.
    Day,
}

/// What rows are told apart by, beside time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Split {
    /// By tier.
    Tier,
    /// By model.
    Model,
    /// By user; only by day.
    User,
    /// By session; only by day.
    Session,
}

/// A parameter that cannot be used, and how it can.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{parameter} {fix}")]
pub struct QueryError {
    /// Which.
    pub parameter: &'static str,
    /// What it must be.
    pub fix: String,
}

impl Step {
    pub(super) fn seconds(self) -> u64 {
        match self {
            Self::Minute => 60,
            Self::Hour => 3_600,
            Self::Day => DAY,
        }
    }

    pub(super) fn label(self) -> &'static str {
        match self {
            Self::Minute => "minute",
            Self::Hour => "hour",
            Self::Day => "day",
        }
    }
}

impl Split {
    fn label(self) -> &'static str {
        match self {
            Self::Tier => "tier",
            Self::Model => "model",
            Self::User => "user",
            Self::Session => "session",
        }
    }

    fn is_by_day(self) -> bool {
        matches!(self, Self::User | Self::Session)
    }
}

/// The parameters, as they come.
#[derive(Default)]
struct Asked {
    from: Option<u64>,
    to: Option<u64>,
    time: Option<Step>,
    split: Option<Split>,
    tier: Option<String>,
    model: Option<String>,
    user: Option<String>,
    limit: Option<usize>,
}

impl Query {
    /// Reads a request's query; without any: the totals of the last 24 hours.
    ///
    /// # Errors
    /// Names the parameter and the fix.
    pub fn parse(text: &str, now: Now) -> Result<Self, QueryError> {
        let mut asked = Asked::default();
        for pair in text.split('&').filter(|pair| !pair.is_empty()) {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            asked.read(name, decoded(value), now)?;
        }
        asked.check(now)
    }

    pub(super) fn labels(&self) -> Vec<&'static str> {
        let time = self.time.map(Step::label);
        let split = self.split.map(Split::label);
        time.into_iter().chain(split).collect()
    }
}

impl Asked {
    fn read(&mut self, name: &str, value: Option<String>, now: Now) -> Result<(), QueryError> {
        let Some(value) = value else {
            let fix = "must be UTF-8, percent-encoded, and 1024 bytes at most";
            return Err(error("a value", fix));
        };
        match name {
            "from" => self.from = Some(moment("from", &value, now)?),
            "to" => self.to = Some(moment("to", &value, now)?),
            "by" => {
                for word in value.split(',') {
                    self.by(word)?;
                }
            }
            "tier" => self.tier = Some(value),
            "model" => self.model = Some(value),
            "user" => self.user = Some(value),
            "limit" => {
                let limit = value.parse().ok();
                let limit = limit.filter(|limit| (1..=MOST).contains(limit));
                let fix = "must be a number from 1 to 50000";
                self.limit = Some(limit.ok_or_else(|| error("limit", fix))?);
            }
            _ => {
                let fix = "has a parameter that is not known: there are from, to, by, tier, model, user and limit";
                return Err(error("the query", fix));
            }
        }
        Ok(())
    }

    fn by(&mut self, word: &str) -> Result<(), QueryError> {
        let (time, split) = match word {
            "minute" => (Some(Step::Minute), None),
            "hour" => (Some(Step::Hour), None),
            "day" => (Some(Step::Day), None),
            "tier" => (None, Some(Split::Tier)),
            "model" => (None, Some(Split::Model)),
            "user" => (None, Some(Split::User)),
            "session" => (None, Some(Split::Session)),
            _ => {
                let fix = "must be minute, hour or day, or tier, model, user or session, or one of each with a comma between them";
                return Err(error("by", fix));
            }
        };
        if time.is_some() && self.time.is_some() || split.is_some() && self.split.is_some() {
            let fix =
                "can have one of minute, hour and day, and one of tier, model, user and session";
            return Err(error("by", fix));
        }
        self.time = self.time.or(time);
        self.split = self.split.or(split);
        Ok(())
    }

    fn check(self, now: Now) -> Result<Query, QueryError> {
        let now = now.unix_seconds();
        let to = self.to.unwrap_or(now);
        let from = self.from.unwrap_or_else(|| to.saturating_sub(USUAL_SPAN));
        if from >= to {
            return Err(error("from", "must be before to, which is now by default"));
        }
        if to - from > MAX_SPAN {
            return Err(error("from", "must be 400 days before to at most"));
        }
        let resolution = self.resolution(from, now)?;
        let step = resolution.seconds();
        Ok(Query {
            // A whole step at each end: sums cannot be cut.
            span: from - from % step..to.div_ceil(step).saturating_mul(step),
            resolution,
            time: self.time,
            split: self.split,
            tier: self.tier,
            model: self.model,
            user: self.user,
            limit: self.limit.unwrap_or(USUAL),
        })
    }

    /// The finest sums that are held for what is asked.
    fn resolution(&self, from: u64, now: u64) -> Result<Step, QueryError> {
        let by_day = self.split.is_some_and(Split::is_by_day) || self.user.is_some();
        if by_day {
            if self.tier.is_some() || self.model.is_some() {
                let fix = "and model are not kept for users and sessions: leave them out, or by=user, by=session and user";
                return Err(error("tier", fix));
            }
            let is_finer = matches!(self.time, Some(Step::Minute | Step::Hour));
            if is_finer {
                let fix = "must have day: users and sessions are kept by day only";
                return Err(error("by", fix));
            }
            let is_named = matches!(
                self.split,
                Some(Split::Tier | Split::Model | Split::Session)
            );
            if self.user.is_some() && is_named {
                let fix = "goes only with by=user or by=day: a user's tiers, models and sessions are not kept";
                return Err(error("user", fix));
            }
            return Ok(Step::Day);
        }
        let has_minutes = from.saturating_add(MINUTES_KEPT.as_secs()) >= now;
        match self.time {
            Some(Step::Minute) if !has_minutes => {
                let fix = "must be at most two hours ago for by=minute: minutes are kept no longer; or ask by=hour";
                Err(error("from", fix))
            }
            Some(step) => Ok(step),
            None if has_minutes => Ok(Step::Minute),
            None => Ok(Step::Hour),
        }
    }
}

/// RFC 3339, Unix seconds, or so long ago: `-24h`.
fn moment(parameter: &'static str, text: &str, now: Now) -> Result<u64, QueryError> {
    let fix =
        "must be a time such as 2026-11-24T00:00:00Z, Unix seconds, or so long ago, such as -24h";
    let found = if let Some(ago) = text.strip_prefix('-') {
        let ago: Option<Duration> = humantime::parse_duration(ago).ok();
        ago.map(|ago| now.unix_seconds().saturating_sub(ago.as_secs()))
    } else if let Ok(seconds) = text.parse::<u64>() {
        Some(seconds)
    } else {
        let time = humantime::parse_rfc3339_weak(text).ok();
        time.and_then(|time| time.duration_since(UNIX_EPOCH).ok())
            .map(|since| since.as_secs())
    };
    let is_sane = |seconds: &u64| *seconds < 1 << 36;
    found.filter(is_sane).ok_or_else(|| error(parameter, fix))
}

/// A value without its percent-encoding.
fn decoded(text: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let [first, after @ ..] = rest {
        rest = after;
        match first {
            b'+' => bytes.push(b' '),
            b'%' => {
                let (digits, after) = after.split_at_checked(2)?;
                let digits = std::str::from_utf8(digits).ok()?;
                let is_hex = digits.bytes().all(|digit| digit.is_ascii_hexdigit());
                bytes.push(u8::from_str_radix(digits, 16).ok().filter(|_| is_hex)?);
                rest = after;
            }
            other => bytes.push(*other),
        }
    }
    let text = String::from_utf8(bytes).ok();
    text.filter(|text| text.len() <= MAX_VALUE)
}

fn error(parameter: &'static str, fix: &str) -> QueryError {
    QueryError {
        parameter,
        fix: fix.to_owned(),
    }
}
