//! Reads `[compat]`: what pages from before the gateway still ask for.

use super::bounds::any;
use super::fields::{Fields, Key, key};
use super::model::CompatConfig;
use super::values::Value;
use crate::admission::{TokenPath, TokenPathError};

/// `[compat]`
pub(super) fn compat(fields: &mut Fields) -> CompatConfig {
    CompatConfig {
        token_path: fields.optional(&TOKEN_PATH, any),
    }
}

const TOKEN_PATH: Key = key(
    "compat.token_path",
    "Where the app's pages fetched their Behest token: a POST there gets a placeholder and the session id; default: nowhere.",
)
.example("\"/api/behest/token\"");

impl Value for TokenPath {
    fn from_text(text: &str) -> Result<Self, String> {
        text.parse()
            .map_err(|error: TokenPathError| error.to_string())
    }

    fn to_toml(&self) -> String {
        // Nothing in a path needs escaping.
        format!("\"{}\"", self.as_str())
    }
}
