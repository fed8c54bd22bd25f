//! Opens the seals of iron-session v8 (`Fe26.2`, as iron-webcrypto makes them).
//!
//! Guarantees: nothing is decrypted, and no expiry looked at, before the MAC was compared in constant
//! time; the password is the one that the seal names, and no other is tried.
//!
//! Source: `iron-session` 8.0.4 `src/core.ts`, `iron-webcrypto` 1.2.1 `src/index.ts`.

use std::num::NonZeroU32;
use std::time::Duration;

use aws_lc_rs::cipher::{AES_256, DecryptionContext, PaddedBlockDecryptingKey, UnboundCipherKey};
use aws_lc_rs::iv::FixedLength;
use aws_lc_rs::{constant_time, hmac, pbkdf2};
use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE_NO_PAD as BASE64URL;
use zeroize::Zeroizing;

use super::claims::Expiry;
use super::error::{InvalidReason, Refusal};
use super::provider::Opened;
use crate::clock::Now;
use crate::secret::Secret;

/// How far the app's clock may be from ours: `timestampSkewSec`.
const SKEW: Duration = Duration::from_mins(1);

/// The passwords that open one cookie, by their ids.
pub(super) struct IronPasswords(Vec<(String, Secret)>);

impl IronPasswords {
    /// As the app has them: a single password has the id `1`.
    pub(super) fn new(passwords: &[(String, Secret)]) -> Self {
        Self(passwords.to_vec())
    }

    /// The session in `value`. One that was sealed with `ttl: 0` has no end.
    pub(super) fn open(&self, value: &[u8], now: Now) -> Result<Opened, Refusal> {
        let seal = Seal::split(value).ok_or(InvalidReason::NotIron)?;
        let (_, password) = self
            .0
            .iter()
            .find(|(id, _)| id == seal.password_id)
            .ok_or(InvalidReason::PasswordId)?;
        let text = seal.open(password)?;
        let expires_at = match seal.expires_at()? {
            None => None,
            Some(end) if end + SKEW <= now.unix => return Err(Refusal::Expired),
            Some(end) => Some(end.as_secs().into()),
        };
        Ok(Opened {
            payload: text.into(),
            expiry: Expiry::Judged(expires_at),
        })
    }
}

/// The fields of a seal.
struct Seal<'v> {
    /// What the MAC is of.
    signed: &'v str,
    password_id: &'v str,
    cipher_salt: &'v str,
    iv: &'v str,
    ciphertext: &'v str,
    /// Milliseconds since 1970, or empty.
    end: &'v str,
    mac_salt: &'v str,
    mac: &'v str,
}

impl<'v> Seal<'v> {
    fn split(value: &'v [u8]) -> Option<Self> {
        let seal = std::str::from_utf8(value).ok()?.strip_suffix("~2")?;
        let (signed, mac) = seal.rsplit_once('*')?;
        let (signed, mac_salt) = signed.rsplit_once('*')?;
        let mut fields = signed.split('*');
        if fields.next() != Some("Fe26.2") {
            return None;
        }
        let mut field = || fields.next();
        let split = Self {
            signed,
            password_id: field()?,
            cipher_salt: field()?,
            iv: field()?,
            ciphertext: field()?,
            end: field()?,
            mac_salt,
            mac,
        };
        field().is_none().then_some(split)
    }

    fn open(&self, password: &Secret) -> Result<Vec<u8>, InvalidReason> {
        let key = derive(password, self.mac_salt);
        let mac = hmac::sign(
            &hmac::Key::new(hmac::HMAC_SHA256, key.as_slice()),
            self.signed.as_bytes(),
        );
        let mac = BASE64URL.encode(mac);
        constant_time::verify_slices_are_equal(mac.as_bytes(), self.mac.as_bytes())
            .map_err(|_| InvalidReason::IronMac)?;
        self.decrypt(password).ok_or(InvalidReason::NotIron)
    }

    fn decrypt(&self, password: &Secret) -> Option<Vec<u8>> {
        let key = derive(password, self.cipher_salt);
        let key = UnboundCipherKey::new(&AES_256, key.as_slice()).ok()?;
        let iv: [u8; 16] = BASE64URL.decode(self.iv).ok()?.try_into().ok()?;
        let mut text = BASE64URL.decode(self.ciphertext).ok()?;
        let length = PaddedBlockDecryptingKey::cbc_pkcs7(key)
            .ok()?
            .decrypt(&mut text, DecryptionContext::Iv128(FixedLength::from(iv)))
            .ok()?
            .len();
        text.truncate(length);
        Some(text)
    }

    /// When it ends, since 1970.
    fn expires_at(&self) -> Result<Option<Duration>, InvalidReason> {
        if self.end.is_empty() {
            return Ok(None);
        }
        let is_number = self.end.bytes().all(|byte| byte.is_ascii_digit());
        let end = is_number.then(|| self.end.parse().ok()).flatten();
        end.map(|end| Some(Duration::from_millis(end)))
            .ok_or(InvalidReason::NotIron)
    }
}

/// PBKDF2-HMAC-SHA1 with one iteration, and the salt as the text that stands in the seal: weak by
/// intent, since passwords of 32 characters and more are demanded.
fn derive(password: &Secret, salt: &str) -> Zeroizing<[u8; 32]> {
    let mut key = Zeroizing::new([0; 32]);
    pbkdf2::derive(
        pbkdf2::PBKDF2_HMAC_SHA1,
        NonZeroU32::MIN,
        salt.as_bytes(),
        password.expose(),
        key.as_mut_slice(),
    );
    key
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reason(value: &str) -> Option<InvalidReason> {
        let password = Secret::new("dev-iron-password-must-be-32-chars-long!");
        let passwords = IronPasswords::new(&[("1".to_owned(), password)]);
        let now = Now {
            unix: Duration::from_secs(1_795_430_000),
            elapsed: Duration::ZERO,
        };
        let refusal = passwords.open(value.as_bytes(), now).err()?;
        let Refusal::Invalid(reason) = refusal else {
            panic!("{refusal:?}");
        };
        Some(reason)
    }

    #[test]
    fn only_the_eight_fields_of_a_seal_are_one() {
        for value in [
            "",
            "~2",
            "Fe26.2*1*a*b*c**d*e",
            "Fe26.1*1*a*b*c**d*e~2",
            "Fe26.2*1*a*b*c**d~2",
            "Fe26.2*1*a*b*c**d*e*f~2",
            "Fe26.2*1*a*b*c**d*e~1",
        ] {
            assert_eq!(reason(value), Some(InvalidReason::NotIron), "{value}");
        }
        let forged = "Fe26.2*1*a*b*c**d*e~2";
        assert_eq!(reason(forged), Some(InvalidReason::IronMac));
        let other = "Fe26.2*2*a*b*c**d*e~2";
        assert_eq!(reason(other), Some(InvalidReason::PasswordId));
        let none = "Fe26.2**a*b*c**d*e~2";
        assert_eq!(reason(none), Some(InvalidReason::PasswordId));
    }
}
