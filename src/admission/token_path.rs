//! The path at which pages from before the gateway ask for a token (`compat.token_path`): plain, and
//! outside the API.

use std::str::FromStr;
use std::sync::Arc;

/// The longest path, in bytes.
const LONGEST: usize = 256;

/// A path outside `/v1`, written in the one way in which it is asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TokenPath(Arc<str>);

/// Why a path cannot be one. Each text is the rest of a sentence.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TokenPathError {
    /// Not absolute, or with what is no plain path.
    #[error(
        "must be a path such as \"/api/behest/token\": segments of letters, digits, _ . ~ - behind slashes, no slash at its end, 256 bytes at most"
    )]
    Form,
    /// Within the API.
    #[error("must be outside /v1, which is Behest's")]
    Api,
}

impl TokenPath {
    /// As it stands in a request.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    pub(super) fn pattern(&self) -> Arc<str> {
        Arc::clone(&self.0)
    }
}

impl FromStr for TokenPath {
    type Err = TokenPathError;

    fn from_str(text: &str) -> Result<Self, TokenPathError> {
        let rest = text.strip_prefix('/').ok_or(TokenPathError::Form)?;
        let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"_.~-".contains(&byte);
        let is_segment =
            |segment: &str| !matches!(segment, "" | "." | "..") && segment.bytes().all(is_plain);
        if text.len() > LONGEST || !rest.split('/').all(is_segment) {
            return Err(TokenPathError::Form);
        }
        let first = rest.split('/').next().unwrap_or_default();
        if first.eq_ignore_ascii_case("v1") {
            return Err(TokenPathError::Api);
        }
        Ok(Self(text.into()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_path_is_plain_and_outside_the_api() {
        for good in ["/api/behest/token", "/token", "/a.b/~c_d-1", "/v1x/token"] {
            assert_eq!(good.parse::<TokenPath>().unwrap().as_str(), good);
        }
        let long = format!("/{}", "a".repeat(256));
        for bad in [
            "",
            "/",
            "//",
            "token",
            "api/token",
            "/api/",
            "//api",
            "/api//token",
            "/../token",
            "/a/./b",
            "/a?b",
            "/a#b",
            "/a%2fb",
            "/a b",
            "/a;b",
            "/é",
            "https://app.example/token",
            &long,
        ] {
            assert_eq!(bad.parse::<TokenPath>(), Err(TokenPathError::Form), "{bad}");
        }
        for bad in ["/v1", "/v1/token", "/V1/token"] {
            assert_eq!(bad.parse::<TokenPath>(), Err(TokenPathError::Api), "{bad}");
        }
    }
}
