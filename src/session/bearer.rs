//! Finds a JWT in `Authorization`, for apps that are no browser.
//!
//! An `Authorization` that is anything else is as if it were not there: `OpenAI`'s SDKs always send
//! one, with whatever they were given as a key.

use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE_NO_PAD as BASE64URL;
use http::{HeaderMap, header};

use super::error::InvalidReason;
use super::json;

/// The JWT (a compact JWS, RFC 7515 section 3.1) of a `Bearer` line, or why it cannot decide; `None`
/// if there is none.
pub(super) fn find(headers: &HeaderMap) -> Option<Result<&[u8], InvalidReason>> {
    let mut tokens = headers
        .get_all(header::AUTHORIZATION)
        .iter()
        .filter_map(|line| bearer(line.as_bytes()))
        .filter(|token| is_jws(token));
    let token = tokens.next()?;
    Some(match tokens.next() {
        None => Ok(token),
        Some(_) => Err(InvalidReason::RepeatedBearer),
    })
}

/// The credentials of a `Bearer` line (RFC 6750 section 2.1); the scheme has no case.
fn bearer(line: &[u8]) -> Option<&[u8]> {
    let (scheme, token) = line.split_at_checked("Bearer ".len())?;
    scheme
        .eq_ignore_ascii_case(b"Bearer ")
        .then(|| token.trim_ascii())
}

/// Whether `token` has three parts of base64url, the first of which is a JSON object.
fn is_jws(token: &[u8]) -> bool {
    let is_part = |part: &[u8]| {
        !part.is_empty()
            && part
                .iter()
                .all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_'))
    };
    let mut parts = token.split(|byte| *byte == b'.');
    let (Some(header), Some(payload), Some(signature), None) =
        (parts.next(), parts.next(), parts.next(), parts.next())
    else {
        return false;
    };
    // An unsigned token (`alg: none`) has an empty third part: it too claims to be a JWS.
    if !is_part(header) || !is_part(payload) || !(signature.is_empty() || is_part(signature)) {
        return false;
    }
    BASE64URL
        .decode(header)
        .ok()
        .and_then(|header| String::from_utf8(header).ok())
        .is_some_and(|header| json::members(&header, [""]).is_some())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn find_in(lines: &[&str]) -> Option<Result<String, InvalidReason>> {
        let mut headers = HeaderMap::new();
        for line in lines {
            headers.append(header::AUTHORIZATION, line.parse().unwrap());
        }
        let found = find(&headers)?;
        Some(found.map(|token| String::from_utf8(token.to_vec()).unwrap()))
    }

    #[test]
    fn only_a_jws_counts() {
        let jws = "eyJhbGciOiJSUzI1NiJ9.e30.c2ln";
        for line in [format!("Bearer {jws}"), format!("bearer  {jws} ")] {
            assert_eq!(find_in(&[&line]), Some(Ok(jws.to_owned())), "{line}");
        }
        for other in [
            "Bearer unused",
            "Bearer sk-proj-a.b.c",
            "Bearer a.b.c",
            "Bearer eyJhbGciOiJSUzI1NiJ9.e30",
            "Bearer eyJhbGciOiJSUzI1NiJ9.e30.c2ln.x",
            "Bearer eyJhbGciOiJkaXIifQ..a.b.c",
            "Bearer eyJhbGciOiJSUzI1NiJ9.e30.c2 ln",
            "Basic eyJhbGciOiJSUzI1NiJ9.e30.c2ln",
            "Bearer",
            "",
        ] {
            assert_eq!(find_in(&[other]), None, "{other}");
        }
        assert!(find_in(&["Bearer eyJhbGciOiJub25lIn0.e30."]).is_some());
    }

    #[test]
    fn two_of_them_are_refused_and_one_beside_a_key_counts() {
        let (one, two) = (
            "Bearer eyJhbGciOiJSUzI1NiJ9.e30.c2ln",
            "Bearer eyJhbGciOiJFUzI1NiJ9.e30.c2ln",
        );
        assert_eq!(
            find_in(&[one, two]),
            Some(Err(InvalidReason::RepeatedBearer))
        );
        assert!(find_in(&["Bearer unused", one]).unwrap().is_ok());
    }
}
