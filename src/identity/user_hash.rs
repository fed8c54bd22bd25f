//! What stands for a user where the id itself is not to be seen.
//!
//! Guarantees: the same text gives the same hash under one key, in logs and in usage records alike; who
//! has no key cannot tell whose it is.

use aws_lc_rs::hmac;

use crate::secret::Secret;

/// A key under which users are hashed.
pub struct UserHash(hmac::Key);

impl UserHash {
    /// Under `key` (`telemetry.user_hash_key`).
    #[must_use]
    pub fn new(key: &Secret) -> Self {
        Self(hmac::Key::new(hmac::HMAC_SHA256, key.expose()))
    }

    /// What stands for `text`: eight bytes of its HMAC-SHA256, in hex.
    #[must_use]
    pub fn hash(&self, text: &str) -> String {
        let tag = hmac::sign(&self.0, text.as_bytes());
        let mut hex = String::with_capacity(16);
        for byte in tag.as_ref().iter().take(8) {
            for digit in [byte >> 4, byte & 15] {
                hex.push(char::from_digit(u32::from(digit), 16).unwrap_or('0'));
            }
        }
        hex
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hash_is_that_of_rfc_4231_cut_to_eight_bytes() {
        // RFC 4231, section 4.3: test case 2.
        let hash = UserHash::new(&Secret::new("Jefe"));
        assert_eq!(
            hash.hash("what do ya want for nothing?"),
            "5bdcc146bf60754e"
        );
    }
}
