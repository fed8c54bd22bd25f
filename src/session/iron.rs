//! Opens the seals of iron-session.

use super::error::{InvalidReason, Refusal};
use super::provider::Opened;
use crate::clock::Now;
use crate::secret::Secret;

/// The passwords that open one cookie.
pub(super) struct IronPasswords;

impl IronPasswords {
    pub(super) fn new(_passwords: &[(String, Secret)]) -> Self {
        Self
    }

    pub(super) fn open(&self, _value: &[u8], _now: Now) -> Result<Opened, Refusal> {
        Err(InvalidReason::Malformed.into())
    }
}
