//! Keeps credentials out of what is passed on of an answer: its headers, and an error's body.
//!
//! Servers like to quote a token that they refuse. An error's body is therefore read ahead, up to
//! 64 KB, and where it tells the user's token or the gateway's key none of it is passed on. What
//! is beyond 64 KB, and the body of a success, passes unread: a stream cannot wait.

use std::time::Duration;

use bytes::{Bytes, BytesMut};
use http::header::{CONTENT_ENCODING, RETRY_AFTER};
use http::{HeaderMap, HeaderValue, Response, StatusCode};
use http_body::Body;
use http_body_util::BodyExt;

use super::ForwardError;
use crate::client::{ClientError, ResponseBody};
use crate::token::{Bearers, Confidential};

/// An error's body is read ahead up to here, bytes.
const READ_AHEAD: usize = 64 * 1024;

/// A longer `Retry-After` is none.
const LONGEST_RETRY_AFTER: usize = 64;

/// Whether an answer of `status` is an error, whose body is looked at.
#[must_use]
pub fn is_error(status: StatusCode) -> bool {
    status.is_client_error() || status.is_server_error()
}

/// `response`, an error, with its body's beginning read and found harmless; all within `within`.
///
/// # Errors
/// [`ForwardError::Withheld`] where the body tells `bearers` or the key, or where it is coded: the
/// request asks for no coding, and what is coded cannot be read here. It broke off, or took too long.
pub async fn error_body(
    response: Response<ResponseBody>,
    confidential: &Confidential,
    bearers: &Bearers,
    within: Duration,
) -> Result<Response<ResponseBody>, ForwardError> {
    let (head, mut body) = response.into_parts();
    if body.is_end_stream() {
        return Ok(Response::from_parts(head, body));
    }
    let withheld = |reason| ForwardError::Withheld {
        reason,
        status: head.status,
        retry_after: retry_after(&head.headers, confidential, bearers),
    };
    if is_coded(&head.headers) {
        return Err(withheld("it is in a content coding that was not asked for"));
    }
    let read = tokio::time::timeout(within, read_ahead(&mut body));
    let read = read.await.map_err(|_| ForwardError::ErrorLate)??;
    if confidential.is_told_by(&read, bearers) {
        return Err(withheld("it tells the user's token or the gateway's key"));
    }
    body.put_back(read);
    Ok(Response::from_parts(head, body))
}

/// Removes from `headers` what holds one of `bearers` or the key.
pub fn clean(headers: &mut HeaderMap, confidential: &Confidential, bearers: &Bearers) {
    let tells = |value: &HeaderValue| confidential.is_in(value.as_bytes(), bearers);
    // Almost never any: looked for before anything is collected.
    while let Some(name) = headers
        .iter()
        .find_map(|(name, value)| tells(value).then(|| name.clone()))
    {
        headers.remove(name);
    }
}

/// The body's first [`READ_AHEAD`] bytes, or a little more.
async fn read_ahead(body: &mut ResponseBody) -> Result<Bytes, ForwardError> {
    let mut read = BytesMut::new();
    while read.len() < READ_AHEAD {
        let Some(frame) = body.frame().await else {
            break;
        };
        let frame = frame.map_err(|error| ClientError::Cut(error.into()))?;
        if let Ok(data) = frame.into_data() {
            read.extend_from_slice(&data);
        }
    }
    Ok(read.freeze())
}

fn is_coded(headers: &HeaderMap) -> bool {
    let mut codings = headers.get_all(CONTENT_ENCODING).iter();
    codings.any(|coding| !coding.as_bytes().eq_ignore_ascii_case(b"identity"))
}

fn retry_after(
    headers: &HeaderMap,
    confidential: &Confidential,
    bearers: &Bearers,
) -> Option<HeaderValue> {
    let value = headers.get(RETRY_AFTER)?;
    let harmless =
        value.len() <= LONGEST_RETRY_AFTER && !confidential.is_in(value.as_bytes(), bearers);
    harmless.then(|| value.clone())
}
