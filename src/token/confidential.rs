//! What must never be read in an answer: the key that tokens are made with, and a user's tokens.
//!
//! Guarantees: a text that tells one of them is recognised also where it is written in JSON's
//! escapes (once or twice over) or broken by white space; neither `Debug` nor an error shows any.

use std::sync::Arc;

use memchr::memmem;

use crate::secret::Secret;

use super::{AccessToken, MintConfig, key_mode};

/// A part shorter than this is in many an innocent text.
const SHORTEST: usize = 16;

/// A token's signature at least this long stands for the token: without it no token is good.
const SHORTEST_SIGNATURE: usize = 32;

/// The key, as it would be recognised.
pub struct Confidential {
    keys: Vec<Secret>,
    /// No shorter text tells anything, bytes: a whole token is longer than the shortest signature.
    shortest: usize,
}

/// The tokens that one request was sent with.
pub struct Bearers {
    /// The one that was answered.
    pub answered: Arc<AccessToken>,
    /// The one before it, which was refused.
    pub refused: Option<Arc<AccessToken>>,
}

impl Confidential {
    /// The key of `config`, in `BEHEST_KEY` and in a PEM file.
    #[must_use]
    pub fn new(config: &MintConfig) -> Self {
        let whole = config.key.expose();
        let prefix = key_mode(&config.key).map_or(0, |mode| mode.prefix().len());
        let part = whole.get(prefix..).unwrap_or_default();
        let key = if part.len() < SHORTEST { whole } else { part };
        let pem = config.pem.as_ref().map(Secret::expose);
        let keys = [Some(key), pem].into_iter().flatten();
        let keys = keys.map(bare).filter(|key| key.len() >= SHORTEST);
        let keys: Vec<Secret> = keys.collect();
        let lengths = keys.iter().map(Secret::len).chain([SHORTEST_SIGNATURE]);
        Self {
            shortest: lengths.min().unwrap_or(SHORTEST),
            keys,
        }
    }

    /// Whether `text`, a body, tells the key or one of `bearers`.
    #[must_use]
    pub fn is_told_by(&self, text: &[u8], bearers: &Bearers) -> bool {
        let once = plain(text);
        let twice = plain(&once);
        [text, &once, &twice]
            .into_iter()
            .any(|text| self.is_in(text, bearers))
    }

    /// Whether `value`, a header's, holds the key or one of `bearers` as they are.
    #[must_use]
    pub fn is_in(&self, value: &[u8], bearers: &Bearers) -> bool {
        if value.len() < self.shortest {
            return false;
        }
        let keys = self.keys.iter().map(Secret::expose);
        let mut needles = keys.chain(bearers.needles());
        // Most values are shorter than any, and making a search costs more than the search.
        needles.any(|needle| needle.len() <= value.len() && memmem::find(value, needle).is_some())
    }
}

impl Bearers {
    fn needles(&self) -> impl Iterator<Item = &[u8]> {
        let tokens = [Some(&self.answered), self.refused.as_ref()];
        tokens.into_iter().flatten().map(|token| needle(token))
    }
}

/// What a text that tells `token` holds.
fn needle(token: &AccessToken) -> &[u8] {
    let value = token.authorization.as_bytes();
    let token = value.strip_prefix(b"Bearer ").unwrap_or(value);
    let dot = memchr::memrchr(b'.', token);
    let signature = dot.and_then(|dot| token.get(dot + 1..));
    signature
        .filter(|signature| signature.len() >= SHORTEST_SIGNATURE)
        .unwrap_or(token)
}

/// `text` without JSON's escapes and without white space.
fn plain(text: &[u8]) -> Vec<u8> {
    let mut plain = Vec::with_capacity(text.len());
    let mut rest = text;
    while let Some((&byte, after)) = rest.split_first() {
        rest = after;
        if byte == b'\\' {
            let (unescaped, after) = unescape(rest);
            rest = after;
            plain.extend(unescaped);
        } else if byte.is_ascii_graphic() || !byte.is_ascii() {
            plain.push(byte);
        }
    }
    plain
}

/// What an escape stands for, `escape` being what follows its backslash, and the rest; `None` for
/// white space.
fn unescape(escape: &[u8]) -> (Option<u8>, &[u8]) {
    if let Some(rest) = escape.strip_prefix(b"u")
        && let Some((digits, rest)) = rest.split_at_checked(4)
        && let Ok(digits) = std::str::from_utf8(digits)
        && let Ok(code) = u32::from_str_radix(digits, 16)
    {
        let byte = u8::try_from(code).unwrap_or(b'?');
        return (Some(byte).filter(u8::is_ascii_graphic), rest);
    }
    match escape.split_first() {
        Some((b'n' | b'r' | b't' | b'b' | b'f', rest)) => (None, rest),
        Some((byte, rest)) => (Some(*byte).filter(u8::is_ascii_graphic), rest),
        None => (None, escape),
    }
}

/// The key itself, without the lines that PEM puts around it.
fn bare(key: &[u8]) -> Secret {
    let plain = Secret::new(plain(key));
    let text = std::str::from_utf8(plain.expose()).unwrap_or_default();
    let longest = text.split("-----").max_by_key(|part| part.len());
    Secret::new(longest.unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use http::HeaderValue;

    use super::super::testing::mint_config;
    use super::*;

    const KEY: &str = "behest_sk_live_0123456789abcdef0123456789abcdef";
    const SIGNATURE: &str = "c2lnbmF0dXJlLXNpZ25hdHVyZS1zaWduYXR1cmUtc2lnbmF0dXJl_-";

    fn token(text: &str) -> Arc<AccessToken> {
        Arc::new(AccessToken {
            authorization: HeaderValue::from_str(&format!("Bearer {text}")).unwrap(),
            session_id: None,
            refresh_at: Duration::ZERO,
            expires_at: Duration::ZERO,
        })
    }

    fn bearers() -> Bearers {
        Bearers {
            answered: token(&format!("eyJhIjoxfQ.eyJiIjoyfQ.{SIGNATURE}")),
            refused: Some(token("eyJhIjoxfQ.eyJiIjozLCJjIjo0fQ.short")),
        }
    }

    fn confidential(key: &str) -> Confidential {
        let mut config = mint_config();
        config.key = Secret::new(key);
        Confidential::new(&config)
    }

    fn escaped(text: &str) -> String {
        let escape = |c: char| format!("\\u{:04X}", u32::from(c));
        text.chars().map(escape).collect()
    }

    #[test]
    fn a_token_or_key_is_found_however_json_writes_it() {
        let (confidential, bearers) = (confidential(KEY), bearers());
        let short = "eyJhIjoxfQ.eyJiIjozLCJjIjo0fQ.short";
        let whole = format!("eyJhIjoxfQ.eyJiIjoyfQ.{SIGNATURE}");
        let bare = KEY.strip_prefix("behest_sk_").unwrap();
        for secret in [KEY, bare, &whole, SIGNATURE, short] {
            let once = escaped(secret);
            let (half, other) = secret.split_at(secret.len() / 2);
            for text in [
                secret.to_owned(),
                format!("{{\"error\":\"bad token {secret}!\"}}"),
                once.clone(),
                serde_json::to_string(&format!("x{once}")).unwrap(),
                format!("{half}\r\n  {other}"),
                format!("{half}\\n{other}"),
                format!("\\\"{secret}\\\""),
                secret.replace('_', "\\u005f"),
            ] {
                assert!(confidential.is_told_by(text.as_bytes(), &bearers), "{text}");
            }
        }
    }

    #[test]
    fn an_innocent_text_tells_nothing() {
        let (confidential, bearers) = (confidential(KEY), bearers());
        for text in [
            "",
            "\\",
            "\\u",
            "\\u00",
            "\\u00zz",
            "behest_sk_live_0123456789",
            r#"{"error":{"code":"invalid","message":"Incorrect API key provided: behest_sk_****cdef"}}"#,
            "eyJhIjoxfQ.eyJiIjoyfQ.",
        ] {
            assert!(
                !confidential.is_told_by(text.as_bytes(), &bearers),
                "{text}"
            );
        }
    }

    #[test]
    fn a_short_key_is_looked_for_with_its_prefix() {
        let short = confidential("behest_sk_test-0");
        assert!(!short.is_told_by(b"this is test-0 of behest", &bearers()));
        assert!(short.is_told_by(b"key behest_sk_test-0.", &bearers()));
        // Fourteen characters are no secret: they are left alone rather than looked for in vain.
        assert!(confidential("behest_sk_test").keys.is_empty());
    }

    #[test]
    fn an_rsa_key_is_found_without_the_lines_around_it() {
        let base64 = "MIIEvQIBADANBgkqhkiG9w0BAQEFAASCBKcwggSjAgEAAoIBAQ";
        let (half, other) = base64.split_at(30);
        for newline in ["\n", "\\n"] {
            let pem = format!(
                "-----BEGIN PRIVATE KEY-----{newline}{half}{newline}{other}{newline}-----END PRIVATE KEY-----"
            );
            let confidential = confidential(&format!("behest_pk_{pem}"));
            assert!(confidential.is_told_by(base64.as_bytes(), &bearers()));
            assert!(confidential.is_told_by(pem.as_bytes(), &bearers()));
            assert!(!confidential.is_told_by(half.as_bytes(), &bearers()));
        }
    }
}
