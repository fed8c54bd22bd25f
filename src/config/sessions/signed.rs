//! Reads how JWTs are checked.

use crate::config::fields::{Fields, Key};
use crate::session::{CookieName, FormatConfig, ProviderKind, SignedConfig};

/// The format of a `kind` of this family; `None` if there is a problem with it.
pub(super) fn format(
    _fields: &mut Fields,
    _kind: ProviderKind,
    _cookie_names: &mut Vec<CookieName>,
) -> Option<FormatConfig> {
    Some(FormatConfig::Signed(SignedConfig::default()))
}

/// Every key of a provider that this file reads.
pub(super) const KEYS: &[&Key] = &[];
