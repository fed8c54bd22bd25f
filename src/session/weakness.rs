//! Knows secrets that protect nothing: those that everybody knows, and those that can be guessed.
//!
//! Whoever guesses the app's secret can make sessions for any user, offline and unseen.

/// Why a secret is weak.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SecretWeakness {
    /// A value from documentation or a template: to be refused.
    #[error(
        "the secret is a sample value that everybody knows; make one with `openssl rand -base64 33`"
    )]
    Sample,
    /// Under 32 bytes: to be warned of.
    #[error(
        "the secret has only {bytes} bytes, and 32 are the least; make one with `openssl rand -base64 33`"
    )]
    Short {
        /// Its length.
        bytes: usize,
    },
}

/// Secrets that stand in documentation, templates and answers to questions, in lower case.
const SAMPLES: [&str; 38] = [
    "authjs-secret",
    "auth-secret",
    "auth_secret",
    // Better Auth's built-in default.
    "better-auth-secret-12345678901234567890",
    "change-me",
    "change_me",
    "changeit",
    "changeme",
    // iron-session's documentation.
    "complex_password_at_least_32_characters_long",
    "dev-secret",
    "example",
    "insecure",
    "keyboard cat",
    "my-secret",
    "my-secret-key",
    "my_secret",
    "mysecret",
    "nextauth-secret",
    "nextauth_secret",
    // What was meant to be run instead of pasted.
    "openssl rand -base64 32",
    "openssl rand -base64 33",
    "openssl rand -hex 32",
    "password",
    "replace-me",
    "replace_me",
    "replaceme",
    "s3cr3t",
    "secret",
    "super-secret",
    "super_secret",
    "supersecret",
    "this is an example",
    // Auth0's documentation.
    "use [openssl rand -hex 32] to generate a 32 bytes value",
    // jwt.io's.
    "your-256-bit-secret",
    "your-nextauth-secret",
    "your-secret",
    "your-secret-key",
    "your_secret",
];

/// Whether `secret` is one that must not, or should not, protect sessions. Case and surrounding
/// white space do not make a sample value a better one.
#[must_use]
pub fn secret_weakness(secret: &[u8]) -> Option<SecretWeakness> {
    let trimmed = secret.trim_ascii();
    if SAMPLES
        .iter()
        .any(|sample| trimmed.eq_ignore_ascii_case(sample.as_bytes()))
    {
        return Some(SecretWeakness::Sample);
    }
    let bytes = secret.len();
    (bytes < 32).then_some(SecretWeakness::Short { bytes })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sample_values_are_known_whatever_their_case_and_length() {
        for sample in [
            "secret",
            "ChangeMe",
            " your-secret\n",
            "better-auth-secret-12345678901234567890",
            "This is an example",
        ] {
            let found = secret_weakness(sample.as_bytes());
            assert_eq!(found, Some(SecretWeakness::Sample), "{sample}");
        }
    }

    #[test]
    fn samples_are_written_as_they_are_compared() {
        for sample in SAMPLES {
            assert_eq!(sample, sample.to_lowercase().trim(), "{sample}");
        }
    }

    #[test]
    fn under_32_bytes_is_short() {
        let short = Some(SecretWeakness::Short { bytes: 31 });
        assert_eq!(secret_weakness(&[b'k'; 31]), short);
        assert_eq!(secret_weakness(&[b'k'; 32]), None);
        assert_eq!(
            secret_weakness(b""),
            Some(SecretWeakness::Short { bytes: 0 })
        );
    }
}
