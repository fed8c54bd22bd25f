//! Whether an answer says how long it is in a way that no two readers can take differently.

use http::HeaderMap;
use http::header::{CONTENT_LENGTH, TRANSFER_ENCODING};

/// What is wrong with how an answer's head states its length (RFC 9112 section 6): hyper takes some of
/// it, and whoever reads on behind the gateway may take it otherwise.
#[must_use]
pub fn framing_fault(headers: &HeaderMap) -> Option<&'static str> {
    let lines = |name| headers.get_all(name).iter().count();
    if lines(CONTENT_LENGTH) + lines(TRANSFER_ENCODING) > 1 {
        return Some("more than one length");
    }
    // hyper also takes a list of equal numbers, and does not look at it where there is no body.
    let is_number = |length: &http::HeaderValue| {
        !length.is_empty() && length.as_bytes().iter().all(u8::is_ascii_digit)
    };
    if !headers.get(CONTENT_LENGTH).is_none_or(is_number) {
        return Some("a length that is no number");
    }
    // hyper undoes no other.
    let mut codings = headers.get_all(TRANSFER_ENCODING).iter();
    if !codings.all(|coding| coding.as_bytes().eq_ignore_ascii_case(b"chunked")) {
        return Some("a transfer coding other than chunked");
    }
    None
}
