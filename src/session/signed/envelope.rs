//! Takes the access token out of Supabase's cookie (`@supabase/ssr` 0.12).
//!
//! What stands around the token is not signed: nothing of it is believed.

use std::borrow::Cow;

use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE_NO_PAD as BASE64URL;

use super::super::error::InvalidReason;
use super::super::json;

/// Marks a value in base64url; without it the value is the JSON itself.
const MARK: &[u8] = b"base64-";

/// The access token in `value`, which is `base64-` and base64url of JSON, or JSON.
pub(super) fn access_token(value: &[u8]) -> Result<String, InvalidReason> {
    let json = match value.strip_prefix(MARK) {
        Some(encoded) => BASE64URL
            .decode(encoded)
            .map(Cow::Owned)
            .map_err(|_| InvalidReason::Envelope)?,
        None => Cow::Borrowed(value),
    };
    let text = std::str::from_utf8(&json).map_err(|_| InvalidReason::Envelope)?;
    let [token] = json::members(text, ["access_token"]).ok_or(InvalidReason::Envelope)?;
    let token = token.and_then(json::text).ok_or(InvalidReason::Envelope)?;
    Ok(token.into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_token_stands_in_plain_or_encoded_json() {
        let json = r#"{"user":{"access_token":"x"},"access_token":"a.b.c"}"#;
        let encoded = format!("base64-{}", BASE64URL.encode(json));
        for value in [json, &encoded] {
            assert_eq!(access_token(value.as_bytes()), Ok("a.b.c".to_owned()));
        }
    }

    #[test]
    fn anything_else_is_no_session() {
        for value in [
            "",
            "a.b.c",
            "base64-",
            "base64-!",
            "base64-e30",
            "{}",
            r#"{"access_token":1}"#,
            r#"["access_token"]"#,
            "base64-eyJhY2Nlc3NfdG9rZW4iOiJhIn0=",
        ] {
            let found = access_token(value.as_bytes());
            assert_eq!(found, Err(InvalidReason::Envelope), "{value}");
        }
    }
}
