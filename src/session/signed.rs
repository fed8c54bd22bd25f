//! Checks JWTs.

use super::error::{InvalidReason, Refusal};
use super::provider::Opened;
use crate::client::Outbound;
use crate::clock::Now;

/// How a JWT is checked.
#[derive(Clone, Debug, Default)]
pub struct SignedConfig {}

/// Why it cannot be.
#[derive(Debug, thiserror::Error)]
pub(super) enum SignedBuildError {}

/// A provider of JWTs.
pub(super) struct Signed;

impl Signed {
    pub(super) fn new(
        _config: &SignedConfig,
        _outbound: &Outbound,
    ) -> Result<Self, SignedBuildError> {
        Ok(Self)
    }

    pub(super) async fn open(&self, _value: &[u8], _now: Now) -> Result<Opened, Refusal> {
        Err(InvalidReason::Malformed.into())
    }
}
