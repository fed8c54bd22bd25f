//! Names a session without holding it: what is remembered of a cookie is found by a keyed hash of it.
//!
//! Guarantees: the key is random, so that nobody outside can choose two values of one name, and what
//! lies in memory tells nothing of a cookie; parts are told apart, so `("ab", "c")` is not
//! `("a", "bc")`.

use aws_lc_rs::error::Unspecified;
use aws_lc_rs::hmac::{Context, HMAC_SHA256, Key};
use aws_lc_rs::rand::SystemRandom;

/// The name of a value.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct Fingerprint([u8; 32]);

/// Takes fingerprints; two of these give one value different names.
pub(super) struct Fingerprints(Key);

impl Fingerprints {
    /// With a random key of its own.
    ///
    /// # Errors
    /// The system has no random numbers.
    pub(super) fn new() -> Result<Self, Unspecified> {
        Ok(Self(Key::generate(HMAC_SHA256, &SystemRandom::new())?))
    }

    /// The name of `parts`: HMAC-SHA256 of each one's length and bytes.
    pub(super) fn of(&self, parts: &[&[u8]]) -> Fingerprint {
        let mut mac = Context::with_key(&self.0);
        for part in parts {
            mac.update(&(part.len() as u64).to_be_bytes());
            mac.update(part);
        }
        let mut bytes = [0; 32];
        for (to, from) in bytes.iter_mut().zip(mac.sign().as_ref()) {
            *to = *from;
        }
        Fingerprint(bytes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_of_its_parts_and_of_its_key() {
        let names = Fingerprints::new().unwrap();
        assert!(names.of(&[b"ab", b"c"]) == names.of(&[b"ab", b"c"]));
        for others in [
            &[b"a" as &[u8], b"bc"] as &[&[u8]],
            &[b"abc"],
            &[b"ab"],
            &[],
        ] {
            assert!(names.of(&[b"ab", b"c"]) != names.of(others));
        }
        let others = Fingerprints::new().unwrap();
        assert!(names.of(&[b"ab"]) != others.of(&[b"ab"]));
    }
}
