//! One revocation: whose sessions, which of them, and until when.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;

use crate::clock::Now;
use crate::identity::{UserId, UserIdError};

/// The longest name of a session, in bytes.
const MAX_NAME: usize = 1024;

/// Whose sessions are ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Subject {
    /// Every session of a user.
    User(UserId),
    /// The sessions of this name, be it their own stable claim or the derived `X-Session-Id`.
    Session(SessionName),
}

/// A text that a session may be named by: 1 to 1024 bytes without control characters.
#[derive(Clone, PartialEq, Eq)]
pub struct SessionName(Arc<str>);

/// Why a text names nobody.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SubjectError {
    /// No user id.
    #[error(transparent)]
    User(#[from] UserIdError),
    /// No name of a session.
    #[error("a session id has 1 to 1024 bytes and no control characters")]
    Session,
}

impl Subject {
    /// The user whose id is `text`.
    ///
    /// # Errors
    /// It can be nobody's.
    pub fn user(text: &str) -> Result<Self, SubjectError> {
        Ok(Self::User(UserId::parse(text)?))
    }

    /// The session whose stable claim or `X-Session-Id` is `text`.
    ///
    /// # Errors
    /// It can be nobody's.
    pub fn session(text: &str) -> Result<Self, SubjectError> {
        let fits = (1..=MAX_NAME).contains(&text.len()) && !text.chars().any(char::is_control);
        let name = fits.then(|| SessionName(text.into()));
        name.map(Self::Session).ok_or(SubjectError::Session)
    }
}

impl SessionName {
    /// The name as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    pub(super) fn as_arc(&self) -> &Arc<str> {
        &self.0
    }
}

impl fmt::Debug for SessionName {
    /// Names of sessions are their users' own: only the length is shown.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SessionName({} bytes)", self.0.len())
    }
}

/// What an operator asks for.
#[derive(Clone, Debug)]
pub struct Order {
    /// Whose sessions.
    pub subject: Subject,
    /// Only those issued before this time since the Unix epoch, and those that do not say when they
    /// were issued; `None`: all, later ones too.
    pub before: Option<Duration>,
    /// For the list and the log.
    pub reason: Option<Box<str>>,
}

/// A revocation as it is held.
#[derive(Debug)]
pub struct Revocation {
    /// Its name.
    pub id: RevocationId,
    /// Whose sessions.
    pub subject: Subject,
    /// As in [`Order`].
    pub before: Option<Duration>,
    /// As in [`Order`].
    pub reason: Option<Box<str>>,
    /// When it was made, since the Unix epoch.
    pub revoked_at: Duration,
    ends: Now,
}

impl Revocation {
    pub(super) fn new(id: RevocationId, order: Order, lasting: Duration, now: Now) -> Self {
        let Order {
            subject,
            before,
            reason,
        } = order;
        Self {
            id,
            subject,
            before,
            reason,
            revoked_at: now.unix,
            ends: Now {
                unix: now.unix.saturating_add(lasting),
                elapsed: now.elapsed.saturating_add(lasting),
            },
        }
    }

    /// As another replica has it, which has clocks of its own.
    pub(super) fn of_another(
        id: RevocationId,
        order: Order,
        revoked_at: Duration,
        ends_at: Duration,
        now: Now,
    ) -> Self {
        let left = ends_at.saturating_sub(now.unix);
        let mut revocation = Self::new(id, order, left, now);
        revocation.revoked_at = revoked_at;
        revocation.ends.unix = ends_at;
        revocation
    }

    /// Whether it is the same as another replica has it, which tells times in microseconds.
    pub(super) fn is_same(&self, other: &Self) -> bool {
        let micros = |it: &Self| {
            (
                it.before.map(|at| at.as_micros()),
                it.revoked_at.as_micros(),
            )
        };
        self.subject == other.subject && micros(self) == micros(other)
    }

    /// When it ends, since the Unix epoch.
    #[must_use]
    pub fn ends_at(&self) -> Duration {
        self.ends.unix
    }

    /// Only when both clocks say so: one of them may leap, and the other stands while a machine sleeps.
    pub(super) fn has_ended(&self, now: Now) -> bool {
        now.unix >= self.ends.unix && now.elapsed >= self.ends.elapsed
    }

    /// Whether it ends a session that says it was issued then, in Unix seconds.
    pub(super) fn covers(&self, issued_at: Option<f64>) -> bool {
        let Some(before) = self.before else {
            return true;
        };
        issued_at.is_none_or(|issued_at| issued_at < before.as_secs_f64())
    }

    /// One that is greater covers whatever a lesser one does.
    pub(super) fn strictness(&self) -> Duration {
        self.before.unwrap_or(Duration::MAX)
    }
}

/// Names a revocation: a time in microseconds, so that no restart gives a name a second time.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct RevocationId(u64);

impl RevocationId {
    pub(super) const MAX: Self = Self(u64::MAX);

    /// The one to give at `now`, after `self`.
    pub(super) fn next(self, now: Now) -> Self {
        let micros = u64::try_from(now.unix.as_micros()).unwrap_or_default();
        Self(micros.max(self.0.saturating_add(1)))
    }
}

impl fmt::Display for RevocationId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "rv_{:x}", self.0)
    }
}

impl FromStr for RevocationId {
    type Err = ();

    /// Only as it is written: `rv_` and hexadecimal digits in lower case.
    fn from_str(text: &str) -> Result<Self, ()> {
        let digits = text.strip_prefix("rv_").ok_or(())?;
        let id = u64::from_str_radix(digits, 16).map(Self).map_err(drop)?;
        if id.to_string() == text {
            return Ok(id);
        }
        Err(())
    }
}

/// The session was ended by an operator. The text is for the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the session was ended by revocation {0}")]
pub struct Revoked(pub RevocationId);
