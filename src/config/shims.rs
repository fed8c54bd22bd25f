//! SHIMS: what `session` and `token` will export, until their branches are merged. To be replaced by
//! the functions that each comment names.

use crate::secret::Secret;
use crate::session::{ClaimPaths, CookieName, ProviderKind};
use crate::token::MintConfig;

/// `CookieName::parse`
pub(super) fn cookie_name(_text: &str) -> Option<CookieName> {
    None
}

/// `CookieName::as_str`
pub(super) fn cookie_text(_name: &CookieName) -> &str {
    ""
}

/// `ProviderKind::parse`
pub(super) fn provider_kind(text: &str) -> Option<ProviderKind> {
    match text {
        "authjs-v5" => Some(ProviderKind::AuthjsV5),
        "nextauth-v4" => Some(ProviderKind::NextauthV4),
        _ => None,
    }
}

/// `ProviderKind::label`
pub(super) fn provider_label(kind: ProviderKind) -> &'static str {
    match kind {
        ProviderKind::AuthjsV5 => "authjs-v5",
        ProviderKind::NextauthV4 => "nextauth-v4",
    }
}

/// `ClaimPaths::default`
pub(super) fn default_claims() -> ClaimPaths {
    let path = |name: &str| vec![name.to_owned()];
    ClaimPaths {
        user: path("sub"),
        tier: path("tier"),
        session: path("sid"),
    }
}

/// `session::SecretWeakness`
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum SecretWeakness {
    #[error("the secret is a sample value that everybody knows")]
    Sample,
    #[error("the secret has only {bytes} bytes, and 32 are the least")]
    Short { bytes: usize },
}

/// `session::secret_weakness`
pub(super) fn secret_weakness(secret: &[u8]) -> Option<SecretWeakness> {
    let bytes = secret.len();
    match secret {
        b"secret" | b"changeme" => Some(SecretWeakness::Sample),
        _ => (bytes < 32).then_some(SecretWeakness::Short { bytes }),
    }
}

/// Whether `token::key_mode` is `KeyMode::Sign`.
pub(super) fn signs_locally(key: &Secret) -> bool {
    key.expose().starts_with(b"behest_pk_")
}

/// `token::validate`, without `KeyError::Missing`, which is reported by key.
pub(super) fn key_problems(config: &MintConfig) -> Vec<String> {
    let known = signs_locally(&config.key) || config.key.expose().starts_with(b"behest_sk_");
    if known {
        Vec::new()
    } else {
        vec!["BEHEST_KEY must begin with behest_sk_ or behest_pk_".to_owned()]
    }
}
