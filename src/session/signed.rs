//! Opens sessions that are JWTs: Clerk's, Firebase's, Supabase's, and those of any other issuer.
//!
//! Guarantees: the algorithm is one of the configured list, whatever the token says; an issuer's public
//! key is never taken for a secret, nor a secret for a key; a token is believed only after its
//! signature was checked with a key that is still held; a token that comes again costs no second check.

mod algorithm;
mod config;
mod demands;
mod envelope;
mod issuer;
mod jws;
mod key;
mod key_set;

use std::borrow::Cow;

use aws_lc_rs::error::Unspecified;
use bytes::Bytes;
use jsonwebtoken::DecodingKey;

use self::demands::Demands;
use self::issuer::Issuer;
use super::claims::{Expiry, Tolerance};
use super::error::{InvalidReason, Refusal};
use super::fingerprint::Fingerprints;
use super::provider::Opened;
use super::remembered::Remembered;
use crate::client::{OriginError, Outbound};
use crate::clock::Now;

pub(super) use self::jws::Jws;

pub use self::algorithm::Algorithm;
use self::config::Dialect;
pub use self::config::{Dialect as SignedDialect, KeySource, SignedConfig};
pub use self::issuer::IssuerStatus;
pub use self::key_set::{KeySet, KeySetError};

/// So many tokens are remembered, and no more than so many bytes of them.
const REMEMBERED: usize = 20_000;
const REMEMBERED_BYTES: usize = 32 << 20;

/// Why a checked provider of JWTs cannot be used.
#[derive(Debug, thiserror::Error)]
pub(super) enum SignedBuildError {
    #[error("jwks_url: {0}")]
    Url(#[from] OriginError),
    #[error("jwks_url is no address that can be called")]
    Address,
    #[error("the system has no random numbers")]
    Random(#[from] Unspecified),
}

/// A provider of JWTs.
pub(super) struct Signed {
    algorithms: Vec<Algorithm>,
    demands: Demands,
    dialect: Dialect,
    tolerance: Tolerance,
    secrets: Vec<DecodingKey>,
    keys: Option<Keys>,
    fingerprints: Fingerprints,
    remembered: Remembered<Genuine>,
}

/// Where public keys come from.
enum Keys {
    /// The configuration.
    Held(std::sync::Arc<KeySet>),
    /// The issuer.
    Issued(Issuer),
}

/// A token whose signature was checked.
#[derive(Clone)]
struct Genuine {
    payload: Bytes,
    /// The version of the issuer's keys that it was checked with; `None` for keys that do not change.
    version: Option<u64>,
}

impl Signed {
    /// A provider as `config` has it, which calls its issuer through `outbound`.
    pub(super) fn new(
        config: &SignedConfig,
        outbound: &Outbound,
    ) -> Result<Self, SignedBuildError> {
        let keys = match &config.keys {
            None => None,
            Some(KeySource::Held(keys)) => Some(Keys::Held(std::sync::Arc::clone(keys))),
            Some(KeySource::Url { url, refresh }) => {
                Some(Keys::Issued(Issuer::new(url, *refresh, outbound)?))
            }
        };
        let secrets = config.secrets.iter();
        Ok(Self {
            algorithms: config.algorithms.clone(),
            demands: Demands::new(config),
            dialect: config.dialect,
            tolerance: Tolerance {
                seconds: config.clock_tolerance.as_secs_f64(),
                refuses_future: config.dialect == Dialect::Clerk,
            },
            secrets: secrets
                .map(|secret| DecodingKey::from_secret(secret.expose()))
                .collect(),
            keys,
            fingerprints: Fingerprints::new()?,
            remembered: Remembered::new(REMEMBERED, REMEMBERED_BYTES),
        })
    }

    /// The payload of the token in `value`, whose signature is checked unless it was before.
    pub(super) async fn open(&self, value: &[u8], now: Now) -> Result<Opened, Refusal> {
        let name = self.fingerprints.of(&[value]);
        let known = self.remembered.get(&name);
        if let Some(genuine) = known.filter(|genuine| self.still_holds(genuine)) {
            self.demands.judge(&genuine.payload)?;
            return Ok(self.opened(genuine.payload));
        }
        let token = match self.dialect {
            Dialect::Supabase => Cow::Owned(envelope::access_token(value)?.into_bytes()),
            Dialect::Plain | Dialect::Clerk | Dialect::Firebase => Cow::Borrowed(value),
        };
        let jws = Jws::parse(&token)?;
        let algorithm = Algorithm::parse(&jws.algorithm)
            .filter(|algorithm| self.algorithms.contains(algorithm))
            .ok_or(InvalidReason::SignedAlgorithm)?;
        self.demands.judge_type(jws.token_type.as_deref())?;
        // Beforehand, so that another issuer's tokens do not send anyone for keys.
        self.demands.judge(&jws.payload)?;
        let version = self.verify(&jws, algorithm, now).await?;
        let payload = Bytes::from(jws.payload);
        let genuine = Genuine {
            payload: payload.clone(),
            version,
        };
        self.remembered.insert(name, genuine, payload.len());
        Ok(self.opened(payload))
    }

    /// Checks the signature; the version of the issuer's keys that it was checked with.
    async fn verify(
        &self,
        jws: &Jws<'_>,
        algorithm: Algorithm,
        now: Now,
    ) -> Result<Option<u64>, Refusal> {
        if algorithm.is_symmetric() {
            let signed = |key| key::verify(key, jws, algorithm);
            if self.secrets.iter().any(signed) {
                return Ok(None);
            }
            return Err(InvalidReason::Signature.into());
        }
        if self.dialect == Dialect::Firebase && jws.key_id.is_none() {
            return Err(InvalidReason::NoKeyId.into());
        }
        match &self.keys {
            None => Err(InvalidReason::NoKeyFits.into()),
            Some(Keys::Held(keys)) => Ok(keys.verify(jws, algorithm).map(|()| None)?),
            Some(Keys::Issued(issuer)) => {
                let (keys, version) = issuer.keys(jws.key_id.as_deref(), now).await?;
                keys.verify(jws, algorithm)?;
                Ok(Some(version))
            }
        }
    }

    /// Whether the keys are those that `genuine` was checked with.
    fn still_holds(&self, genuine: &Genuine) -> bool {
        match (&self.keys, genuine.version) {
            (Some(Keys::Issued(issuer)), Some(version)) => issuer.version() == Some(version),
            (_, None) => true,
            (_, Some(_)) => false,
        }
    }

    fn opened(&self, payload: Bytes) -> Opened {
        Opened {
            payload,
            expiry: Expiry::Claims(self.tolerance),
        }
    }

    /// Fetches the issuer's keys in the background, where it is time for that.
    pub(super) fn tend(&self, now: Now) {
        if let Some(Keys::Issued(issuer)) = &self.keys {
            issuer.tend(now);
        }
    }

    /// Takes over the keys of `previous`, if they are of the same issuer.
    pub(super) fn adopt(&self, previous: &Self) {
        if let (Some(Keys::Issued(issuer)), Some(Keys::Issued(previous))) =
            (&self.keys, &previous.keys)
        {
            issuer.adopt(previous);
        }
    }

    /// How it stands with the issuer's keys; `None` where none is asked.
    pub(super) fn status(&self) -> Option<IssuerStatus> {
        match &self.keys {
            Some(Keys::Issued(issuer)) => Some(issuer.status()),
            Some(Keys::Held(_)) | None => None,
        }
    }
}

#[cfg(test)]
pub(crate) mod testing;
#[cfg(test)]
mod tests;
#[cfg(test)]
mod vectors;
