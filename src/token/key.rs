//! `BEHEST_KEY`: which mode it selects, and what is wrong with it.
//!
//! Guarantees: no error holds any part of a key.

use crate::secret::Secret;

use super::{Exchange, MintConfig, Signer};

/// What the key's prefix selects.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KeyMode {
    /// `behest_sk_`: API-key mint.
    Exchange,
    /// `behest_pk_`: local signing.
    Sign,
}

impl KeyMode {
    /// The prefix that selects it.
    #[must_use]
    pub const fn prefix(self) -> &'static str {
        match self {
            Self::Exchange => "behest_sk_",
            Self::Sign => "behest_pk_",
        }
    }
}

/// Why no tokens can be made with this configuration. Every text says what to set.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum KeyError {
    /// Neither prefix.
    #[error(
        "BEHEST_KEY must begin with behest_sk_ (API key: tokens are minted by Behest) \
         or behest_pk_ (RSA private key: tokens are signed here)"
    )]
    Prefix,
    /// An API key with nothing behind its prefix, or with something that no header can carry.
    #[error(
        "BEHEST_KEY: behest_sk_ must be followed by the key itself, visible ASCII \
         without spaces, line breaks or quotes"
    )]
    ApiKey,
    /// Something that is no RSA private key behind `behest_pk_` or in the PEM file.
    #[error(
        "BEHEST_KEY: behest_pk_ must be followed by an RSA private key: base64 or base64url of \
         PEM or of PKCS#8 or PKCS#1 DER, or PEM with real or \\n-escaped line breaks; \
         or set BEHEST_KEY=behest_pk_ and mint.pem to the PEM file"
    )]
    RsaForm,
    /// A PEM that needs a password.
    #[error(
        "BEHEST_KEY: the RSA private key is encrypted; decrypt it first \
         (openssl pkey -in encrypted.pem -out key.pem)"
    )]
    RsaEncrypted,
    /// Below 2048 bits.
    #[error("BEHEST_KEY: the RSA key is shorter than 2048 bits; use one of 2048 to 8192 bits")]
    RsaTooSmall,
    /// Above 8192 bits.
    #[error("BEHEST_KEY: the RSA key is longer than 8192 bits; use one of 2048 to 8192 bits")]
    RsaTooLarge,
    /// A setting that local signing needs.
    #[error("{variable} is not set; a behest_pk_ key needs it to sign tokens")]
    Missing {
        /// The variable's name.
        variable: &'static str,
    },
    /// `mint.path` is no absolute path.
    #[error("mint.path must be an absolute path such as /v1/auth/mint")]
    Path,
}

/// The mode that `key` selects.
///
/// # Errors
/// [`KeyError::Prefix`].
pub fn key_mode(key: &Secret) -> Result<KeyMode, KeyError> {
    [KeyMode::Exchange, KeyMode::Sign]
        .into_iter()
        .find(|mode| key.expose().starts_with(mode.prefix().as_bytes()))
        .ok_or(KeyError::Prefix)
}

/// Everything that keeps [`super::TokenMinter::new`] from working, at once; empty if nothing does.
#[must_use]
pub fn validate(config: &MintConfig) -> Vec<KeyError> {
    match key_mode(&config.key) {
        Err(error) => vec![error],
        Ok(KeyMode::Exchange) => Exchange::validate(config),
        Ok(KeyMode::Sign) => Signer::validate(config),
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing;
    use super::*;

    #[test]
    fn the_prefix_selects_the_mode() {
        let mode = |text: &str| key_mode(&Secret::new(text));
        assert_eq!(mode("behest_sk_live_00"), Ok(KeyMode::Exchange));
        assert_eq!(mode("behest_pk_AAAA"), Ok(KeyMode::Sign));
        for text in ["", "behest_", "BEHEST_SK_x", " behest_sk_x", "sk_x"] {
            assert_eq!(mode(text), Err(KeyError::Prefix), "{text}");
        }
    }

    #[test]
    fn every_problem_is_reported_at_once_and_names_its_variable() {
        let mut config = testing::mint_config();
        config.key = Secret::new("behest_pk_hunter2hunter2");
        let problems = validate(&config);
        let text = format!(
            "{problems:?} {}",
            problems.iter().map(ToString::to_string).collect::<String>()
        );
        for name in [
            "BEHEST_KID",
            "BEHEST_TENANT_ID",
            "BEHEST_PROJECT_ID",
            "PKCS#8",
        ] {
            assert!(text.contains(name), "{name}: {text}");
        }
        assert!(!text.contains("hunter2"), "{text}");
    }
}
