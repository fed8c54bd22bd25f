//! Asks the app whose session a cookie is.

use super::Visit;
use super::error::{Carrier, InvalidReason, Refusal};
use super::provider::Opened;
use crate::client::Outbound;

/// How the app is asked.
#[derive(Clone, Debug, Default)]
pub struct LookupConfig {}

/// How the browser reaches the app: what the app is told, since its cookies' names and its own
/// addresses depend on it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Front<'r> {
    /// Whether by https.
    pub is_https: bool,
    /// Host, and port where it is not the scheme's own.
    pub host: &'r str,
}

/// Why it cannot be.
#[derive(Debug, thiserror::Error)]
pub(super) enum LookupBuildError {}

/// A provider that asks.
pub(super) struct Lookup;

impl Lookup {
    pub(super) fn new(
        _config: &LookupConfig,
        _outbound: &Outbound,
    ) -> Result<Self, LookupBuildError> {
        Ok(Self)
    }

    pub(super) async fn open(
        &self,
        _value: &[u8],
        _carrier: &Carrier,
        _visit: &Visit<'_>,
    ) -> Result<Opened, Refusal> {
        Err(InvalidReason::Malformed.into())
    }
}
