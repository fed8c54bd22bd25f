//! The control paths: scripts faults and shows the record, for tests that are not in Rust.
//!
//! They answer no browser page: a request with an `Origin` is refused.

use http::StatusCode;
use http::request::Parts;
use serde_json::{Value, json};

use super::answer::Answer;
use super::behest::Behest;
use super::faults::Fault;
use super::record::Seen;
use super::refusal::Refusal;
use super::request_record::RequestRecord;

/// Where the control paths begin.
pub(super) const PREFIX: &str = "/__emulator/";

/// Answers a request to a control path.
pub(super) fn answer(behest: &Behest, head: &Parts, body: &[u8]) -> Result<Answer, Refusal> {
    if head.headers.contains_key("origin") {
        let text = "control paths are not for pages";
        return Err(Refusal::new(StatusCode::FORBIDDEN, "forbidden", text));
    }
    let path = head.uri.path();
    let place = path.strip_prefix(PREFIX).unwrap_or_default();
    let answer = match (head.method.as_str(), place) {
        ("POST", "faults") => push(behest, body)?,
        ("GET", "faults") => Answer::ok(&json!({"faults": behest.faults.pending()})),
        ("DELETE", "faults") => {
            behest.faults.clear();
            Answer::ok(&json!({"faults": []}))
        }
        ("GET", "requests") => Answer::ok(&requests(behest)),
        ("GET", "stats") => Answer::ok(&behest.log.read(stats)),
        ("POST", "reset") => {
            behest.reset();
            Answer::ok(&json!({"reset": true}))
        }
        _ => return Err(Refusal::not_found("control path")),
    };
    Ok(answer)
}

fn push(behest: &Behest, body: &[u8]) -> Result<Answer, Refusal> {
    let list: Result<Vec<Fault>, _> = if body.trim_ascii_start().starts_with(b"[") {
        serde_json::from_slice(body)
    } else {
        serde_json::from_slice(body).map(|fault| vec![fault])
    };
    let faults = list.map_err(|error| Refusal::invalid(&format!("this is no fault: {error}")))?;
    for fault in faults {
        behest.faults.push(fault);
    }
    let pending = json!({"faults": behest.faults.pending()});
    Ok(Answer::json(StatusCode::CREATED, &pending))
}

fn requests(behest: &Behest) -> Value {
    // Copied under the lock and written without it: a large record must not hold requests up.
    let seen = behest.log.read(|seen| seen.requests.clone());
    let list: Vec<Value> = seen.iter().map(RequestRecord::to_json).collect();
    json!({"requests": list})
}

fn stats(seen: &Seen) -> Value {
    let violations: Vec<Value> = seen
        .violations
        .iter()
        .map(|violation| json!({"request": violation.request, "what": violation.what}))
        .collect();
    json!({
        "total_requests": seen.total_requests,
        "in_flight": seen.in_flight,
        "open_connections": seen.open_connections,
        "accepted_connections": seen.accepted_connections,
        "disconnects": seen.disconnects,
        "mints": seen.mints,
        "violations": violations,
    })
}
