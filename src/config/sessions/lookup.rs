//! Reads how the app is asked.

use crate::config::fields::{Fields, Key};
use crate::session::{FormatConfig, LookupConfig, ProviderKind};

/// The format of a `kind` of this family; `None` if there is a problem with it.
pub(super) fn format(_fields: &mut Fields, _kind: ProviderKind) -> Option<FormatConfig> {
    Some(FormatConfig::Lookup(LookupConfig::default()))
}

/// Every key of a provider that this file reads.
pub(super) const KEYS: &[&Key] = &[];
