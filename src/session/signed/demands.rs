//! What a JWT must say beside its times: whose it is, for whom, and what its issuer's own library
//! demands.
//!
//! Nothing here makes a token a good one: it only refuses, so that it may be asked before the
//! signature is checked.

use serde_json::value::RawValue;

use super::super::error::InvalidReason;
use super::super::json;
use super::{Dialect, SignedConfig};

/// The longest user id of Firebase's, in UTF-16 units, as its library counts.
const FIREBASE_MAX_SUBJECT: usize = 128;

/// What is demanded of every token.
pub(super) struct Demands {
    issuer: Option<String>,
    audiences: Vec<String>,
    authorized_parties: Vec<String>,
    dialect: Dialect,
}

impl Demands {
    pub(super) fn new(config: &SignedConfig) -> Self {
        Self {
            issuer: config.issuer.clone(),
            audiences: config.audiences.clone(),
            authorized_parties: config.authorized_parties.clone(),
            dialect: config.dialect,
        }
    }

    /// Refuses a payload that does not say what it must.
    pub(super) fn judge(&self, payload: &[u8]) -> Result<(), InvalidReason> {
        let text = std::str::from_utf8(payload).map_err(|_| InvalidReason::Claims)?;
        let [iss, aud, azp, sub, sts] = json::members(text, ["iss", "aud", "azp", "sub", "sts"])
            .ok_or(InvalidReason::Claims)?;
        if let Some(issuer) = &self.issuer
            && !is_text(iss, issuer)
        {
            return Err(InvalidReason::Issuer);
        }
        if !self.audiences.is_empty() && !self.is_audience(aud) {
            return Err(InvalidReason::Audience);
        }
        if !self.authorized_parties.is_empty() && !self.is_authorized(azp) {
            return Err(InvalidReason::AuthorizedParty);
        }
        match self.dialect {
            Dialect::Plain => Ok(()),
            Dialect::Clerk if is_text(sts, "pending") => Err(InvalidReason::Pending),
            Dialect::Clerk | Dialect::Supabase => subject(sub, usize::MAX),
            Dialect::Firebase => subject(sub, FIREBASE_MAX_SUBJECT),
        }
    }

    /// Refuses a type of token that is no session (a JWT's `typ`).
    pub(super) fn judge_type(&self, token_type: Option<&str>) -> Result<(), InvalidReason> {
        match (self.dialect, token_type) {
            (Dialect::Clerk, Some(other)) if other != "JWT" => Err(InvalidReason::TokenType),
            _ => Ok(()),
        }
    }

    /// `aud` is a text or a list of texts (RFC 7519 section 4.1.3).
    fn is_audience(&self, aud: Option<&RawValue>) -> bool {
        let ours = |text: &str| self.audiences.iter().any(|ours| ours == text);
        let Some(aud) = aud else {
            return false;
        };
        if let Some(text) = json::text(aud) {
            return ours(&text);
        }
        let list: Result<Vec<String>, _> = serde_json::from_str(aud.get());
        list.is_ok_and(|list| list.iter().any(|text| ours(text)))
    }

    /// A token without `azp` passes, as it does with Clerk's own library: browsers that send no
    /// `Origin` get such tokens.
    fn is_authorized(&self, azp: Option<&RawValue>) -> bool {
        azp.is_none_or(|azp| {
            json::text(azp)
                .is_some_and(|azp| self.authorized_parties.iter().any(|party| *party == azp))
        })
    }
}

fn is_text(value: Option<&RawValue>, expected: &str) -> bool {
    value
        .and_then(json::text)
        .is_some_and(|text| text == expected)
}

/// A subject that is text, not empty, and not longer than `most`.
fn subject(sub: Option<&RawValue>, most: usize) -> Result<(), InvalidReason> {
    let sub = sub.and_then(json::text).ok_or(InvalidReason::Subject)?;
    if sub.is_empty() || sub.encode_utf16().count() > most {
        return Err(InvalidReason::Subject);
    }
    Ok(())
}

#[cfg(test)]
mod tests;
