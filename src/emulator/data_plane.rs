//! The data plane: verifies the token of every request, then answers as OpenAI's API would.
//!
//! What must never arrive from a browser (a cookie, an identity header, a session id that is
//! not the token's) is answered with 400 and recorded as a violation.

use http::request::Parts;
use http::{HeaderMap, StatusCode};
use serde_json::{Value, json};

use super::answer::Answer;
use super::behest::Behest;
use super::config::tier_name;
use super::record::Exchange;
use super::refusal::Refusal;
use super::time::unix_seconds;
use super::token::{self, Claims};
use super::{chat, embeddings, threads};

const MODELS: [&str; 5] = [
    "emulator",
    "emulator-fast",
    "emulator-slow",
    "emulator-long",
    "emulator-embedding",
];
const FORBIDDEN_HEADERS: [&str; 7] = [
    "cookie",
    "x-tenant-id",
    "x-project-id",
    "x-end-user-id",
    "x-role",
    "x-tier",
    "x-admin-secret",
];

/// A request whose token is good.
pub(super) struct Call<'a> {
    pub(super) behest: &'a Behest,
    pub(super) head: &'a Parts,
    pub(super) body: &'a [u8],
    pub(super) claims: Claims,
    /// The thread that it names.
    pub(super) thread: Option<String>,
}

/// Answers a request to the data plane.
pub(super) fn answer(
    behest: &Behest,
    head: &Parts,
    body: &[u8],
    exchange: &Exchange,
) -> Result<Answer, Refusal> {
    route(&admit(behest, head, body, exchange)?)
}

/// Refuses a request with a header that must not come from a browser.
pub(super) fn refuse_breach(headers: &HeaderMap) -> Result<(), Refusal> {
    let mut names = FORBIDDEN_HEADERS.into_iter();
    match names.find(|name| headers.contains_key(*name)) {
        Some(name) => Err(Refusal::breach(&format!("a request carried {name}"))),
        None => Ok(()),
    }
}

fn admit<'a>(
    behest: &'a Behest,
    head: &'a Parts,
    body: &'a [u8],
    exchange: &Exchange,
) -> Result<Call<'a>, Refusal> {
    let headers = &head.headers;
    let claims = authenticate(behest, headers, exchange)?;
    let session = single(headers, "x-session-id")?;
    if session.is_some() && session != claims.sid.as_deref() {
        return Err(Refusal::breach("X-Session-Id is not the token's sid"));
    }
    let tier = claims.tier_word();
    let limits = behest.limits(tier_name(&tier));
    let spends = head.method == http::Method::POST;
    behest.ledger.admit(&claims.uid, limits, spends)?;
    let thread = threads::named(headers)?;
    if let Some(thread) = thread.as_ref().filter(|_| spends) {
        behest.threads.touch(&claims.uid, thread);
    }
    Ok(Call {
        behest,
        head,
        body,
        claims,
        thread,
    })
}

fn authenticate(
    behest: &Behest,
    headers: &HeaderMap,
    exchange: &Exchange,
) -> Result<Claims, Refusal> {
    let token = single(headers, "authorization")?
        .and_then(|value| value.strip_prefix("Bearer "))
        .ok_or_else(|| Refusal::invalid_token("a bearer token is required"))?;
    let (claims, raw) =
        token::verify(&behest.keys, token, unix_seconds()).map_err(Refusal::invalid_token)?;
    exchange.claims(raw);
    if claims.tid != behest.config.tenant_id || claims.pid != behest.config.project_id {
        return Err(Refusal::new(
            StatusCode::FORBIDDEN,
            "forbidden",
            "the token belongs to another project",
        ));
    }
    Ok(claims)
}

/// The one value of a header, if it has one; an error if it has more.
fn single<'a>(headers: &'a HeaderMap, name: &str) -> Result<Option<&'a str>, Refusal> {
    let mut lines = headers.get_all(name).iter();
    let first = lines.next();
    if lines.next().is_some() {
        return Err(Refusal::breach(&format!(
            "a request carried two {name} lines"
        )));
    }
    Ok(first.map(|value| value.to_str().unwrap_or_default()))
}

fn route(call: &Call<'_>) -> Result<Answer, Refusal> {
    let behest = call.behest;
    let user = &call.claims.uid;
    let segments: Vec<&str> = call.head.uri.path().split('/').skip(2).collect();
    let method = match call.head.method.as_str() {
        "HEAD" => "GET",
        other => other,
    };
    match (method, segments.as_slice()) {
        ("POST", ["chat", "completions"]) => chat::answer(call),
        ("POST", ["embeddings"]) => embeddings::answer(call),
        ("POST", ["audio", "transcriptions"]) => transcription(call),
        ("GET", ["models"]) => {
            let data: Vec<Value> = MODELS.into_iter().map(model).collect();
            Ok(Answer::ok(&json!({"object": "list", "data": data})))
        }
        ("GET", ["models", id]) if MODELS.contains(id) => Ok(Answer::ok(&model(id))),
        ("GET", ["models", _]) => Err(Refusal::not_found("model")),
        ("GET", ["threads"]) => Ok(behest.threads.list(user)),
        ("GET", ["threads", id, "messages"]) => behest.threads.messages(user, id),
        ("DELETE", ["threads", id]) => behest.threads.delete(user, id),
        ("GET", ["billing", "usage"]) => {
            let query = call.head.uri.query().unwrap_or_default();
            let project = &behest.config.project_id;
            behest.ledger.report(project, &call.claims, query)
        }
        _ => Err(Refusal::not_found("path")),
    }
}

fn model(id: &str) -> Value {
    json!({"id": id, "object": "model", "created": 1_767_225_600, "owned_by": "behest-emulator"})
}

/// Hears nothing, but says how much it was given.
fn transcription(call: &Call<'_>) -> Result<Answer, Refusal> {
    let multipart = call
        .head
        .headers
        .get("content-type")
        .and_then(|value| value.to_str().ok())
        .is_some_and(|value| {
            value.starts_with("multipart/form-data;") && value.contains("boundary=")
        });
    if !multipart {
        return Err(Refusal::invalid("the body is not multipart/form-data"));
    }
    let _bill = call.behest.ledger.bill(&call.claims.uid, 0);
    let text = format!(
        "The emulator received {} bytes of form data and has no ears.",
        call.body.len()
    );
    Ok(Answer::ok(&json!({"text": text})))
}
