//! Local signing: the tenant's own RSA key makes the token, without a call.
//!
//! Guarantees: the claims are those of a minted token with the role `user`; `iat` and `nbf` lie 30 s
//! back, since a clock 2 s ahead would otherwise make every token "not yet valid"; the signature is
//! made off the worker threads, which it would hold up for a third of a millisecond.

use std::sync::Arc;
use std::time::Duration;

use base64::Engine;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use http::HeaderValue;
use jsonwebtoken::{Algorithm, Header};
use serde::Serialize;

use crate::clock::Now;
use crate::identity::Identity;

use super::tiers::Tiers;
use super::{KeyError, KeyMode, MintConfig, Minted, RsaKey, TokenError};

/// An identifier, not an address to call.
const ISSUER: &str = "https://api.behest.app";

/// How far back a token begins.
const BACKDATED_SECONDS: u64 = 30;

/// Signs tokens. Cheap to clone.
#[derive(Clone)]
pub struct Signer(Arc<Inner>);

struct Inner {
    key: RsaKey,
    /// The token's first part, base64url, the same for every token.
    header: String,
    tenant: String,
    project: String,
    ttl: Duration,
    tiers: Tiers,
}

/// The claims of the contract, in its order.
#[derive(Serialize)]
struct Claims<'a> {
    iss: &'static str,
    tid: &'a str,
    pid: &'a str,
    uid: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    tier: Option<serde_json::Value>,
    sid: &'a str,
    role: &'static str,
    iat: u64,
    nbf: u64,
    exp: u64,
}

impl Signer {
    /// Signs with the key in `config.pem`, else in `config.key`.
    ///
    /// # Errors
    /// The first of the problems that `validate` lists.
    pub fn new(config: &MintConfig) -> Result<Self, KeyError> {
        let key = key(config)?;
        let kid = required(config.kid.as_deref(), "BEHEST_KID")?;
        Ok(Self(Arc::new(Inner {
            key,
            header: header(kid),
            tenant: required(config.tenant_id.as_deref(), "BEHEST_TENANT_ID")?.to_owned(),
            project: required(config.project_id.as_deref(), "BEHEST_PROJECT_ID")?.to_owned(),
            ttl: config.ttl,
            tiers: Tiers::new(config),
        })))
    }

    /// The size of the RSA key, in bits.
    #[must_use]
    pub fn key_bits(&self) -> usize {
        self.0.key.bits()
    }

    /// Every problem of `config` in this mode.
    pub(super) fn validate(config: &MintConfig) -> Vec<KeyError> {
        let problems = [
            key(config).err(),
            required(config.kid.as_deref(), "BEHEST_KID").err(),
            required(config.tenant_id.as_deref(), "BEHEST_TENANT_ID").err(),
            required(config.project_id.as_deref(), "BEHEST_PROJECT_ID").err(),
        ];
        problems.into_iter().flatten().collect()
    }

    /// A token for `identity`, made here and now: holds the thread up.
    ///
    /// # Errors
    /// [`TokenError::Internal`], if the cryptography fails, which it has no reason to.
    pub fn sign(&self, identity: &Identity, now: Now) -> Result<Minted, TokenError> {
        let inner = &*self.0;
        let sid = match &identity.session_id {
            Some(id) => id.as_str().to_owned(),
            None => random_session_id()?,
        };
        let seconds = now.unix_seconds();
        let begins = seconds.saturating_sub(BACKDATED_SECONDS);
        let exp = seconds.saturating_add(inner.ttl.as_secs());
        let claims = Claims {
            iss: ISSUER,
            tid: &inner.tenant,
            pid: &inner.project,
            uid: identity.user.as_str(),
            tier: inner.tiers.resolve(identity.tier.as_ref()),
            sid: &sid,
            role: "user",
            iat: begins,
            nbf: begins,
            exp,
        };
        let claims = serde_json::to_vec(&claims).map_err(|_| TokenError::Internal)?;
        let mut token = format!("{}.", inner.header);
        BASE64_URL_SAFE_NO_PAD.encode_string(&claims, &mut token);
        let signature = inner.key.sign(token.as_bytes());
        let signature = signature.map_err(|_| TokenError::Internal)?;
        token.push('.');
        BASE64_URL_SAFE_NO_PAD.encode_string(&signature, &mut token);
        let ends = Duration::from_secs(exp);
        Ok(Minted {
            authorization: Minted::authorization(&token).ok_or(TokenError::Internal)?,
            session_id: HeaderValue::try_from(sid).ok(),
            life: ends.saturating_sub(now.unix),
            ends,
        })
    }

    /// The same, on a thread for blocking work.
    pub(super) async fn mint(&self, identity: &Identity, now: Now) -> Result<Minted, TokenError> {
        let (signer, identity) = (self.clone(), identity.clone());
        tokio::task::spawn_blocking(move || signer.sign(&identity, now))
            .await
            .unwrap_or(Err(TokenError::Internal))
    }
}

fn key(config: &MintConfig) -> Result<RsaKey, KeyError> {
    if let Some(pem) = &config.pem {
        return RsaKey::parse(pem.expose());
    }
    let key = config.key.expose();
    let packed = key.strip_prefix(KeyMode::Sign.prefix().as_bytes());
    RsaKey::parse(packed.ok_or(KeyError::Prefix)?)
}

fn required<'a>(value: Option<&'a str>, variable: &'static str) -> Result<&'a str, KeyError> {
    value
        .map(str::trim)
        .filter(|value| !value.is_empty())
        .ok_or(KeyError::Missing { variable })
}

fn header(kid: &str) -> String {
    let mut header = Header::new(Algorithm::RS256);
    header.kid = Some(kid.to_owned());
    // Two names and a text: writing them as JSON cannot fail.
    BASE64_URL_SAFE_NO_PAD.encode(serde_json::to_vec(&header).unwrap_or_default())
}

/// 128 random bits in base64url: what Behest's own mint chooses where none is given.
fn random_session_id() -> Result<String, TokenError> {
    let mut bytes = [0; 16];
    aws_lc_rs::rand::fill(&mut bytes).map_err(|_| TokenError::Internal)?;
    Ok(BASE64_URL_SAFE_NO_PAD.encode(bytes))
}

#[cfg(test)]
mod tests;
