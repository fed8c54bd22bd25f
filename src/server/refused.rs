//! Requests that hyper refuses itself, before there is a request to give to the gateway: heads that
//! are no HTTP or over twice the limits, and broken HTTP/2.
//!
//! They get hyper's bare answer (or GOAWAY), and are counted and logged like every other request,
//! under no route.

use std::error::Error;

use http::{HeaderValue, Method};

use crate::error::Code;
use crate::telemetry::access_log::AccessLog;
use crate::telemetry::{self};

/// Counts and logs the request that `ended` a connection, if it was an answer of hyper's and not the
/// connection's own end.
pub(super) fn note(ended: &hyper::Error, log: &std::sync::Arc<AccessLog>) {
    let Some((status, code)) = verdict(ended) else {
        return;
    };
    // Neither was understood.
    let method = Method::from_bytes(b"-").unwrap_or_default();
    let mut record = log.begin(method, HeaderValue::from_static("-"));
    record.status = status;
    record.code = code;
    record.reason = Some(telemetry::chain(ended));
    record.end();
}

/// What hyper has answered.
fn verdict(ended: &hyper::Error) -> Option<(u16, Code)> {
    if ended.is_parse_too_large() {
        // hyper tells the two apart in its text only.
        return Some(if ended.to_string().starts_with("URI") {
            (414, Code::UriTooLong)
        } else {
            (431, Code::HeadersTooLarge)
        });
    }
    let is_broken_h2 = ended
        .source()
        .and_then(|cause| cause.downcast_ref::<h2::Error>())
        .is_some_and(h2::Error::is_library);
    (ended.is_parse() || is_broken_h2).then_some((400, Code::RequestInvalid))
}
