//! How JWTs are checked, as the rest of this folder wants it.

use std::sync::Arc;
use std::time::Duration;

use http::Uri;

use super::{Algorithm, KeySet};
use crate::secret::Secret;

/// How JWTs are checked.
#[derive(Clone, Debug)]
pub struct SignedConfig {
    /// What is particular about the issuer; default nothing.
    pub dialect: Dialect,
    /// The algorithms that may be; no token chooses another.
    pub algorithms: Vec<Algorithm>,
    /// Where public keys come from; `None`: only secrets are known.
    pub keys: Option<KeySource>,
    /// Secrets for [`Algorithm::Hs256`], and for nothing else.
    pub secrets: Vec<Secret>,
    /// What `iss` must be; `None`: anything.
    pub issuer: Option<String>,
    /// One of these must be in `aud`; empty: anything may.
    pub audiences: Vec<String>,
    /// `azp` must be one of these, where there is one; empty: anything may.
    pub authorized_parties: Vec<String>,
    /// How far the issuer's clock may be off; default 0.
    pub clock_tolerance: Duration,
}

impl Default for SignedConfig {
    fn default() -> Self {
        Self {
            dialect: Dialect::Plain,
            algorithms: vec![Algorithm::Rs256, Algorithm::Es256, Algorithm::EdDsa],
            keys: None,
            secrets: Vec::new(),
            issuer: None,
            audiences: Vec::new(),
            authorized_parties: Vec::new(),
            clock_tolerance: Duration::ZERO,
        }
    }
}

/// What is particular about an issuer's tokens.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Dialect {
    /// Nothing.
    #[default]
    Plain,
    /// `typ` is JWT, `iat` is past, and `sts` must not be pending.
    Clerk,
    /// `kid` must be there, and `sub` has at most 128 characters.
    Firebase,
    /// The token stands in JSON, and has a subject: Supabase's public anon key has none.
    Supabase,
}

/// Where public keys come from.
#[derive(Clone, Debug)]
pub enum KeySource {
    /// They are known.
    Held(Arc<KeySet>),
    /// They are fetched, and fetched again.
    Url {
        /// Where from.
        url: Uri,
        /// How often; default 10 min.
        refresh: Duration,
    },
}
