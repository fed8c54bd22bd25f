//! How much one request, and one user, may ask.
//!
//! The head's limits are checked here so that an excess gets a proper answer; hyper's own, at twice
//! these, only protect the parser.

use std::sync::Arc;
use std::time::Duration;

use dashmap::DashMap;
use http::request;
use http_body::Body;

use crate::identity::UserId;

/// Limits of one request and one user (`[limits]`).
#[derive(Clone, Copy, Debug)]
pub struct LimitsConfig {
    /// All header names and values together, bytes; default 32 KiB.
    pub max_head: usize,
    /// Header lines; default 100.
    pub max_headers: usize,
    /// Path and query, bytes; default 8 KiB.
    pub max_uri: usize,
    /// A request's body, bytes; default 32 MiB.
    pub max_body: u64,
    /// Bytes a second that a body must come with; default 1 KiB, 0 for any.
    pub min_body_rate: u64,
    /// How long it may fall behind that; default 10 s.
    pub body_grace: Duration,
    /// One user's requests in flight; default 200.
    pub requests_per_user: usize,
}

impl Default for LimitsConfig {
    fn default() -> Self {
        Self {
            max_head: 32 * 1024,
            max_headers: 100,
            max_uri: 8 * 1024,
            max_body: 32 * 1024 * 1024,
            min_body_rate: 1024,
            body_grace: Duration::from_secs(10),
            requests_per_user: 200,
        }
    }
}

/// Which limit a request is over.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum LimitError {
    /// Over `limits.max_head`.
    #[error(
        "headers of {bytes} bytes, over limits.max_head ({max} bytes): is a cookie very large?"
    )]
    Head {
        /// Of all names and values.
        bytes: usize,
        /// The limit.
        max: usize,
    },
    /// Over `limits.max_headers`.
    #[error("{lines} header lines, over limits.max_headers ({max})")]
    Lines {
        /// How many there are.
        lines: usize,
        /// The limit.
        max: usize,
    },
    /// Over `limits.max_uri`.
    #[error("path and query of {bytes} bytes, over limits.max_uri ({max} bytes)")]
    Uri {
        /// Of both.
        bytes: usize,
        /// The limit.
        max: usize,
    },
    /// Over `limits.max_body`, by its own `Content-Length`.
    #[error("body of {bytes} bytes, over limits.max_body ({max} bytes)")]
    Body {
        /// As declared.
        bytes: u64,
        /// The limit.
        max: u64,
    },
    /// Over `limits.requests_per_user`.
    #[error("this user has {0} requests in flight, as many as limits.requests_per_user allows")]
    User(usize),
}

/// Counts and compares.
pub struct Limits {
    config: LimitsConfig,
    in_flight: Arc<InFlight>,
}

/// Requests in flight by user; bounded by the requests in flight themselves.
#[derive(Default)]
pub struct InFlight(DashMap<UserId, usize>);

/// A user's place among the requests in flight; given back when dropped.
pub struct Slot {
    in_flight: Arc<InFlight>,
    user: UserId,
}

impl Limits {
    /// Limits by `config`; `in_flight` is shared with the gateway that this one replaces.
    #[must_use]
    pub fn new(config: LimitsConfig, in_flight: Arc<InFlight>) -> Self {
        Self { config, in_flight }
    }

    /// The largest body, in bytes.
    #[must_use]
    pub fn max_body(&self) -> u64 {
        self.config.max_body
    }

    /// Takes a place for `user`, to be held until the answer's body has ended.
    ///
    /// # Errors
    /// All places of this user are taken.
    pub fn enter(&self, user: &UserId) -> Result<Slot, LimitError> {
        let most = self.config.requests_per_user;
        let mut taken = self.in_flight.0.entry(user.clone()).or_insert(0);
        if *taken >= most {
            return Err(LimitError::User(most));
        }
        *taken += 1;
        drop(taken);
        Ok(Slot {
            in_flight: Arc::clone(&self.in_flight),
            user: user.clone(),
        })
    }

    pub(super) fn check_head(&self, parts: &request::Parts) -> Result<(), LimitError> {
        let target = parts.uri.path_and_query().map_or(0, |p| p.as_str().len());
        if target > self.config.max_uri {
            return Err(LimitError::Uri {
                bytes: target,
                max: self.config.max_uri,
            });
        }
        let size: usize = parts
            .headers
            .iter()
            .map(|(name, value)| name.as_str().len() + value.len() + 4)
            .sum();
        if size > self.config.max_head {
            return Err(LimitError::Head {
                bytes: size,
                max: self.config.max_head,
            });
        }
        if parts.headers.len() > self.config.max_headers {
            return Err(LimitError::Lines {
                lines: parts.headers.len(),
                max: self.config.max_headers,
            });
        }
        Ok(())
    }

    pub(super) fn check_declared_body(&self, body: &impl Body) -> Result<(), LimitError> {
        let (bytes, max) = (body.size_hint().lower(), self.config.max_body);
        if bytes > max {
            return Err(LimitError::Body { bytes, max });
        }
        Ok(())
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        if let Some(mut taken) = self.in_flight.0.get_mut(&self.user) {
            *taken = taken.saturating_sub(1);
        }
        self.in_flight
            .0
            .remove_if(&self.user, |_, taken| *taken == 0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_users_places_come_back_when_they_are_dropped() {
        let config = LimitsConfig {
            requests_per_user: 2,
            ..LimitsConfig::default()
        };
        let in_flight = Arc::new(InFlight::default());
        let limits = Limits::new(config, Arc::clone(&in_flight));
        let ada = UserId::parse("ada").unwrap();
        let first = limits.enter(&ada).unwrap();
        let second = limits.enter(&ada).unwrap();
        assert_eq!(limits.enter(&ada).err(), Some(LimitError::User(2)));
        assert!(limits.enter(&UserId::parse("grace").unwrap()).is_ok());
        drop(first);
        let third = limits.enter(&ada).unwrap();
        drop((second, third));
        assert!(in_flight.0.is_empty(), "nothing is kept for users at rest");
    }
}
