//! Opens the encrypted session tokens of Auth.js v5, NextAuth v4, Auth0's Next.js SDK and Better Auth:
//! compact JWEs (RFC 7516) with direct encryption.
//!
//! Guarantees: algorithms are those that the library writes and no other; nothing is decrypted
//! before its authentication tag was compared; base64url is strict, so a token has one spelling; every
//! key was derived when the keyring was made.
//!
//! Sources: `@auth/core` 0.41.3 `src/jwt.ts`, `next-auth` 4.24.15 `src/jwt/index.ts`,
//! `@auth0/nextjs-auth0` 4.30.0 `src/server/cookies.ts`, `better-auth` 1.7.25 `src/crypto/jwt.ts`.

use aws_lc_rs::digest::SHA256;
use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE_NO_PAD as BASE64URL;
use serde_json::value::RawValue;

use super::cookie::CookieName;
use super::error::InvalidReason;
use super::json;
use super::keys::{CbcKey, Decrypt, Derivation, GcmKey, Key, Sealed, derive_all};
use crate::secret::Secret;

/// The keys that open one cookie, in the order of the secrets.
pub(super) struct Keyring {
    /// Empty where the library does not write `A256CBC-HS512`.
    cbc: Vec<Key<CbcKey>>,
    /// Empty where the library does not write `A256GCM`.
    gcm: Vec<Key<GcmKey>>,
    /// Whether a token's `kid` chooses the key.
    by_id: bool,
    /// The headers that the library writes, as they stand in a token, read beforehand: nearly every
    /// token has one of them.
    written: Vec<(String, Header)>,
}

impl Keyring {
    /// Auth.js v5: keys salted with the cookie's base name and chosen by the token's `kid`.
    pub(super) fn authjs_v5(secrets: &[Secret], cookie: &CookieName) -> Self {
        let info = format!("Auth.js Generated Encryption Key ({cookie})");
        let by = Derivation {
            salt: cookie.as_str().as_bytes(),
            info: info.as_bytes(),
            hash: None,
        };
        let cbc = derive_all(secrets, &by);
        Self {
            written: headers_with_key_ids(&cbc),
            cbc,
            gcm: derive_all(secrets, &by),
            by_id: true,
        }
    }

    /// Better Auth: as Auth.js v5, with one salt for all and SHA-256 thumbprints.
    pub(super) fn better_auth(secrets: &[Secret]) -> Self {
        let by = Derivation {
            salt: b"better-auth-session",
            info: b"BetterAuth.js Generated Encryption Key",
            hash: Some(&SHA256),
        };
        let cbc = derive_all(secrets, &by);
        Self {
            written: headers_with_key_ids(&cbc),
            cbc,
            gcm: Vec::new(),
            by_id: true,
        }
    }

    /// NextAuth v4: no salt, so that a token opens under any cookie name, and no `kid`.
    pub(super) fn nextauth_v4(secrets: &[Secret]) -> Self {
        let info = b"NextAuth.js Generated Encryption Key";
        Self::without_salt(secrets, info, r#"{"alg":"dir","enc":"A256GCM"}"#)
    }

    /// `@auth0/nextjs-auth0` v4: as NextAuth v4 but for the key's name.
    pub(super) fn auth0_v4(secrets: &[Secret]) -> Self {
        Self::without_salt(secrets, b"JWE CEK", r#"{"enc":"A256GCM","alg":"dir"}"#)
    }

    /// `A256GCM` alone, every key tried; `header` is what the library writes.
    fn without_salt(secrets: &[Secret], info: &[u8], header: &str) -> Self {
        let by = Derivation {
            salt: b"",
            info,
            hash: None,
        };
        Self {
            cbc: Vec::new(),
            gcm: derive_all(secrets, &by),
            by_id: false,
            written: read_beforehand([header.to_owned()]),
        }
    }

    /// The plaintext of `token`.
    pub(super) fn open(&self, token: &[u8]) -> Result<Vec<u8>, InvalidReason> {
        let parts = Parts::split(token)?;
        let written = self
            .written
            .iter()
            .find(|(encoded, _)| encoded.as_bytes() == parts.header);
        let header = match written {
            Some((_, header)) => header,
            None => &Header::read(parts.header)?,
        };
        match header.encryption {
            Encryption::A256CbcHs512 if self.cbc.is_empty() => Err(InvalidReason::Algorithm),
            Encryption::A256CbcHs512 => self.open_with(&self.cbc, &parts, header),
            Encryption::A256Gcm if self.gcm.is_empty() => Err(InvalidReason::Algorithm),
            Encryption::A256Gcm => self.open_with(&self.gcm, &parts, header),
        }
    }

    /// Opens with the key that the token names, as the library does; with each in turn where it
    /// names none.
    fn open_with<K: Decrypt>(
        &self,
        keys: &[Key<K>],
        parts: &Parts<'_>,
        header: &Header,
    ) -> Result<Vec<u8>, InvalidReason> {
        let sealed = Sealed::decode::<K>(parts.header, parts.iv, parts.ciphertext, parts.tag)?;
        if self.by_id && header.has_key_id {
            let key = keys
                .iter()
                .find(|key| header.key_id.as_deref() == Some(&key.id))
                .ok_or(InvalidReason::NoMatchingSecret)?;
            return key.key.open(&sealed).ok_or(InvalidReason::Tampered);
        }
        keys.iter()
            .find_map(|key| key.key.open(&sealed))
            .ok_or(InvalidReason::NoSecretOpens)
    }
}

/// The five parts of a compact JWE, the second of which is empty.
struct Parts<'t> {
    header: &'t [u8],
    iv: &'t [u8],
    ciphertext: &'t [u8],
    tag: &'t [u8],
}

impl<'t> Parts<'t> {
    fn split(token: &'t [u8]) -> Result<Self, InvalidReason> {
        let mut rest = Some(token);
        let mut part = || -> Option<&'t [u8]> {
            let current = rest?;
            let end = memchr::memchr(b'.', current);
            rest = end.and_then(|end| current.get(end + 1..));
            current.get(..end.unwrap_or(current.len()))
        };
        match (part(), part(), part(), part(), part(), part()) {
            (Some(header), Some(key), Some(iv), Some(ciphertext), Some(tag), None) => {
                if !key.is_empty() {
                    return Err(InvalidReason::EncryptedKey);
                }
                Ok(Self {
                    header,
                    iv,
                    ciphertext,
                    tag,
                })
            }
            _ => Err(InvalidReason::Malformed),
        }
    }
}

/// The two content encryptions that are opened.
enum Encryption {
    A256CbcHs512,
    A256Gcm,
}

/// What the protected header says.
struct Header {
    encryption: Encryption,
    /// Whether there is a `kid`, whatever it is.
    has_key_id: bool,
    /// The `kid` where it is text.
    key_id: Option<String>,
}

impl Header {
    fn read(encoded: &[u8]) -> Result<Self, InvalidReason> {
        let decoded = BASE64URL
            .decode(encoded)
            .map_err(|_| InvalidReason::Malformed)?;
        let text = std::str::from_utf8(&decoded).map_err(|_| InvalidReason::Header)?;
        let [alg, enc, kid, zip, crit] = json::members(text, ["alg", "enc", "kid", "zip", "crit"])
            .ok_or(InvalidReason::Header)?;
        if crit.is_some() {
            return Err(InvalidReason::Critical);
        }
        if zip.is_some() {
            return Err(InvalidReason::Compressed);
        }
        let is = |value: Option<&RawValue>, name: &str| {
            value.and_then(json::text).is_some_and(|text| text == name)
        };
        let encryption = if !is(alg, "dir") {
            return Err(InvalidReason::Algorithm);
        } else if is(enc, "A256CBC-HS512") {
            Encryption::A256CbcHs512
        } else if is(enc, "A256GCM") {
            Encryption::A256Gcm
        } else {
            return Err(InvalidReason::Algorithm);
        };
        Ok(Self {
            encryption,
            has_key_id: kid.is_some(),
            key_id: kid.and_then(json::text).map(std::borrow::Cow::into_owned),
        })
    }
}

/// The headers that name one of `keys`, as the libraries write them.
fn headers_with_key_ids(keys: &[Key<CbcKey>]) -> Vec<(String, Header)> {
    read_beforehand(keys.iter().map(|key| {
        format!(
            r#"{{"alg":"dir","enc":"A256CBC-HS512","kid":"{}"}}"#,
            key.id
        )
    }))
}

/// The headers that stand for `headers` in a token, and what [`Header::read`] makes of them.
fn read_beforehand(headers: impl IntoIterator<Item = String>) -> Vec<(String, Header)> {
    let encoded = headers.into_iter().map(|header| BASE64URL.encode(header));
    encoded
        .filter_map(|encoded| {
            Header::read(encoded.as_bytes())
                .ok()
                .map(|header| (encoded, header))
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::super::sealer::Sealer;
    use super::*;

    #[test]
    fn headers_as_the_libraries_write_them_are_read_beforehand() {
        let secrets = ["one", "two"].map(Secret::new);
        let v5 = Keyring::authjs_v5(&secrets, &CookieName::from_static("s"));
        let v4 = Keyring::nextauth_v4(&secrets);
        for (keys, sealer) in [
            (&v5, Sealer::v5("one", "s")),
            (&v5, Sealer::v5("two", "s")),
            (&v4, Sealer::v4("one")),
        ] {
            let token = sealer.seal("{}");
            let (header, _) = token.split_once('.').unwrap();
            let read = |(encoded, _): &(String, Header)| encoded == header;
            assert!(keys.written.iter().any(read), "{}", sealer.header);
            assert_eq!(keys.open(token.as_bytes()), Ok(b"{}".to_vec()));
        }
    }

    #[test]
    fn the_same_header_in_other_words_is_read_too() {
        let secrets = [Secret::new("one")];
        let keys = Keyring::authjs_v5(&secrets, &CookieName::from_static("s"));
        let sealer = Sealer::v5("one", "s");
        for header in [
            sealer.header.replace(':', " : "),
            sealer.header.replace("alg", "\\u0061lg"),
            sealer.header.replacen('{', r#"{"kid":0,"typ":"JWT","#, 1),
        ] {
            let token = sealer.clone().header(header).seal("{}");
            assert_eq!(keys.open(token.as_bytes()), Ok(b"{}".to_vec()));
        }
    }

    #[test]
    fn ivs_and_tags_of_another_length_are_malformed() {
        let secrets = [Secret::new("one")];
        let keys = Keyring::nextauth_v4(&secrets);
        let token = Sealer::v4("one").seal("{}");
        let parts: Vec<&str> = token.split('.').collect();
        for (at, length) in [
            (2, 15),
            (2, 14),
            (2, 18),
            (2, 0),
            (4, 20),
            (4, 24),
            (4, 64),
            (4, 0),
        ] {
            let part = "A".repeat(length);
            let mut parts = parts.clone();
            parts[at] = &part;
            let opened = keys.open(parts.join(".").as_bytes());
            assert_eq!(opened, Err(InvalidReason::Malformed), "{at} {length}");
        }
    }
}
