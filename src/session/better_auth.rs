//! Opens Better Auth's session cache.

use super::cookie::CookieName;
use super::error::{InvalidReason, Refusal};
use super::provider::Opened;
use super::{CacheStrategy, Visit};
use crate::secret::Secret;

/// What opens one cache cookie.
pub(super) struct BetterAuthCache;

impl BetterAuthCache {
    pub(super) fn new(
        _secrets: &[Secret],
        _strategy: CacheStrategy,
        _token_cookie: Option<CookieName>,
    ) -> Self {
        Self
    }

    pub(super) fn open(&self, _value: &[u8], _visit: &Visit<'_>) -> Result<Opened, Refusal> {
        Err(InvalidReason::Malformed.into())
    }
}
