//! Requests that hyper refuses itself, before there is a request to give to the gateway: heads that
//! are no HTTP or over twice the limits, and broken HTTP/2.
//!
//! They get hyper's bare answer (or GOAWAY), and are counted and logged like every other request,
//! under no route.

use std::error::Error;
use std::net::IpAddr;
use std::sync::Arc;

use http::{HeaderValue, Method};

use crate::error::{Code, Reason};
use crate::telemetry;
use crate::telemetry::access_log::AccessLog;

/// Counts and logs the request that `ended` a connection, if it was an answer of hyper's and not the
/// connection's own end.
pub(super) fn note(ended: &hyper::Error, client: IpAddr, log: &Arc<AccessLog>) {
    let Some((status, code, reason)) = verdict(ended) else {
        return;
    };
    // Neither was understood.
    let method = Method::from_bytes(b"-").unwrap_or_default();
    let mut record = log.begin(method, HeaderValue::from_static("-"), client);
    record.refused(status, code, reason.label(), telemetry::chain(ended));
    record.end();
}

/// What hyper has answered.
fn verdict(ended: &hyper::Error) -> Option<(u16, Code, Reason)> {
    if ended.is_parse_too_large() {
        // hyper tells the two apart in its text only.
        return Some(if ended.to_string().starts_with("URI") {
            (414, Code::UriTooLong, Reason::Uri)
        } else {
            (431, Code::HeadersTooLarge, Reason::HeadBytes)
        });
    }
    let is_broken_h2 = ended
        .source()
        .and_then(|cause| cause.downcast_ref::<h2::Error>())
        .is_some_and(h2::Error::is_library);
    (ended.is_parse() || is_broken_h2).then_some((400, Code::RequestInvalid, Reason::Unreadable))
}
