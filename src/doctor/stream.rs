//! A real event stream through the public URL, as a browser asks for it: does it arrive as it is written?
//!
//! Guarantees: it is watched for at most [`WITHIN`] and then left, which ends its bill; nothing of the
//! answer is shown.

use std::time::Duration;

use bytes::Bytes;
use http::header::{ACCEPT, ACCEPT_ENCODING, CONTENT_ENCODING, COOKIE};
use http::{HeaderValue, Request, Response};
use http_body_util::{BodyExt as _, Full};
use serde_json::{Value, json};

use super::arrivals::{Arrivals, FEWEST_FRAMES, Verdict};
use super::call::{self, Server, WITHIN};
use super::events::Events;
use super::finding::Finding;
use super::front;
use crate::client::ResponseBody;
use crate::clock::Clock;

const CHECK: &str = "stream";
const COMPRESSION: &str = "compression";

const ASK: &str = "Count from one to thirty in words, one word a line, and nothing else.";

const UNBUFFER: &str = "turn buffering off for /v1/ in what stands in front. nginx: proxy_buffering \
    off, and do not ignore X-Accel-Buffering; Traefik: no buffering and no compress middleware; Caddy: \
    no encode for /v1/*, and no flush_interval; Cloudflare: no rule that transforms or caches /v1/; a \
    load balancer or WAF that inspects answers must leave text/event-stream out";

const UNCOMPRESS: &str = "leave text/event-stream, or all of /v1/, out of compression in what stands in \
    front: frames wait in a compressor until it has enough. nginx: gzip_types without \
    text/event-stream; Traefik: compress.excludedContentTypes = [\"text/event-stream\"]; Caddy: no \
    encode for /v1/*; Express: compression() with a filter; Cloudflare: a compression rule that is off \
    for /v1/";

/// How the watching ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum End {
    /// The stream ended by itself.
    Clean,
    /// It broke off.
    Broken,
    /// It was watched for long enough.
    Left,
}

/// What was seen of one stream.
struct Seen {
    arrivals: Arrivals,
    events: Events,
    end: End,
}

/// Streams one answer of `model` for the user of `cookie`.
pub(super) async fn look(
    server: &Server,
    cookie: &HeaderValue,
    model: Option<&str>,
    clock: &Clock,
) -> Vec<Finding> {
    let model = match model {
        Some(model) => model.to_owned(),
        None => match first_model(server, cookie).await {
            Ok(model) => model,
            Err(finding) => return vec![finding],
        },
    };
    let started = clock.now().elapsed;
    let response = match server.open(request(server, cookie, &model)).await {
        Ok(response) => response,
        Err(failure) => {
            let fix = format!("give a quicker model by --model; if it is quick: {UNBUFFER}");
            return vec![Finding::error(CHECK, failure.what, fix)];
        }
    };
    if let Some(refused) = refused(&response) {
        return vec![refused];
    }
    let (head, body) = response.into_parts();
    let coding = call::text(&head.headers, CONTENT_ENCODING.as_str());
    let is_coded = !matches!(coding, "" | "identity");
    let seen = watch(body, started, clock, is_coded).await;
    let mut findings = vec![judge(&seen, &model)];
    if is_coded {
        let what = format!("the event stream comes compressed ({coding})");
        findings.push(Finding::warning(COMPRESSION, what, UNCOMPRESS));
    } else {
        findings.push(Finding::ok(
            COMPRESSION,
            "the event stream comes as it is, uncompressed",
        ));
        findings.extend(ending(&seen));
    }
    findings
}

fn signed_in(request: &mut Request<Full<Bytes>>, cookie: &HeaderValue) {
    front::same_origin(request);
    let headers = request.headers_mut();
    headers.insert(COOKIE, cookie.clone());
    let codings = HeaderValue::from_static("gzip, deflate, br");
    headers.insert(ACCEPT_ENCODING, codings);
}

/// The first model that seems to chat.
async fn first_model(server: &Server, cookie: &HeaderValue) -> Result<String, Finding> {
    let mut request = call::get("/v1/models");
    signed_in(&mut request, cookie);
    // A list that is compressed could not be read.
    request.headers_mut().remove(ACCEPT_ENCODING);
    let answer = server
        .ask(request)
        .await
        .map_err(|failure| Finding::error(CHECK, failure.what, failure.fix))?;
    if let Some(refused) = refusal(&answer) {
        return Err(refused);
    }
    let list: Value = serde_json::from_slice(answer.body()).unwrap_or_default();
    let models = list.get("data").and_then(Value::as_array);
    let mut names = models
        .into_iter()
        .flatten()
        .filter_map(|model| model.get("id")?.as_str());
    let other = [
        "embed",
        "whisper",
        "tts",
        "image",
        "moderation",
        "dall-e",
        "rerank",
    ];
    names
        .find(|name| !other.iter().any(|other| name.contains(other)))
        .map(str::to_owned)
        .ok_or_else(|| {
            let what = "GET /v1/models names no model that chats";
            Finding::warning(CHECK, what, "name one by --model")
        })
}

fn request(server: &Server, cookie: &HeaderValue, model: &str) -> Request<Full<Bytes>> {
    let body = json!({
        "model": model, "stream": true,
        "messages": [{"role": "user", "content": ASK}],
    });
    let mut request = front::post(body.to_string());
    front::from_page(&mut request, &server.origin);
    signed_in(&mut request, cookie);
    let events = HeaderValue::from_static("text/event-stream");
    request.headers_mut().insert(ACCEPT, events);
    request
}

/// What an answer that is no event stream means.
fn refused<B>(response: &Response<B>) -> Option<Finding> {
    if let Some(refusal) = refusal(response) {
        return Some(refusal);
    }
    let kind = call::text(response.headers(), "content-type");
    (!kind.starts_with("text/event-stream")).then(|| {
        Finding::error(
            CHECK,
            format!(
                "the answer is no event stream, but {}",
                if kind.is_empty() { "untyped" } else { kind }
            ),
            "name a model that can stream by --model; if this one can, something in front changes \
             answers",
        )
    })
}

/// What any status but 200 means.
fn refusal<B>(response: &Response<B>) -> Option<Finding> {
    let status = response.status().as_u16();
    if status == 200 {
        return None;
    }
    let code = front::code(response);
    let (what, fix) = if code.starts_with("session_") {
        (
            format!("the cookie is no session to the gateway: {status} {code}"),
            "run `behest-gateway inspect` with the same cookie: it says why; the cookie must be of \
             this host, and of a user who is signed in",
        )
    } else if !code.is_empty() {
        (
            format!("the gateway answers {status} {code}"),
            "see this code in the README's table of errors, and the gateway's log",
        )
    } else if front::is_gateway(response) {
        (
            format!("Behest answers {status}"),
            "name a model that the user may use by --model; see Behest's dashboard for its budget",
        )
    } else {
        (
            format!("something in front of the gateway answers {status}"),
            "see its log: it must let POST /v1/chat/completions with a session cookie through",
        )
    };
    Some(Finding::error(CHECK, what, fix))
}

/// Reads until the stream ends, or long enough. Of a compressed one each piece counts as a frame.
async fn watch(mut body: ResponseBody, started: Duration, clock: &Clock, is_coded: bool) -> Seen {
    let mut seen = Seen {
        arrivals: Arrivals::default(),
        events: Events::default(),
        end: End::Left,
    };
    let reading = async {
        while let Some(frame) = body.frame().await {
            let Ok(frame) = frame else { return End::Broken };
            let Some(piece) = frame.data_ref() else {
                continue;
            };
            let at = clock.now().elapsed.saturating_sub(started);
            let frames = if is_coded { 1 } else { seen.events.read(piece) };
            seen.arrivals.piece(at, frames);
        }
        End::Clean
    };
    seen.end = tokio::time::timeout(WITHIN, reading)
        .await
        .unwrap_or(End::Left);
    seen
}

/// Whether frames came as they were written.
fn judge(seen: &Seen, model: &str) -> Finding {
    let arrivals = &seen.arrivals;
    let (frames, pieces) = (arrivals.frames(), arrivals.pieces());
    let shown = |time: Duration| format!("{:.1} s", time.as_secs_f64());
    let (first, whole) = (shown(arrivals.first()), shown(arrivals.duration()));
    let late = arrivals.late_percent();
    let other = "name a model by --model that writes a longer answer, over a second or more \
                 (behest-emulator: emulator-slow)";
    match arrivals.judge() {
        Verdict::TooFew => Finding::warning(
            CHECK,
            format!("no verdict: {model} gave {frames} frames, and {FEWEST_FRAMES} are needed"),
            other,
        ),
        Verdict::TooShort => Finding::warning(
            CHECK,
            format!("no verdict: all {frames} frames of {model} were there after {whole}"),
            other,
        ),
        Verdict::Streamed => {
            let heartbeats = match seen.events.heartbeats {
                0 => String::new(),
                count => format!(", and {count} heartbeats"),
            };
            Finding::ok(
                CHECK,
                format!(
                    "frames arrive as they are written: {frames} in {pieces} pieces, the first after \
                     {first}, the last after {whole}{heartbeats}"
                ),
            )
        }
        Verdict::Buffered => Finding::error(
            CHECK,
            format!(
                "the stream is buffered: {late} % of {frames} frames came within the last tenth of \
                 {whole}, in {pieces} pieces"
            ),
            UNBUFFER,
        ),
        Verdict::Clumped => Finding::warning(
            CHECK,
            format!(
                "{frames} frames came in only {pieces} pieces over {whole}: a buffer fills up first"
            ),
            UNBUFFER,
        ),
    }
}

/// Whether the stream was brought to its end.
fn ending(seen: &Seen) -> Option<Finding> {
    if let Some(code) = &seen.events.error {
        return Some(Finding::error(
            CHECK,
            format!("the stream ended with an error: {code}"),
            "see this code in the README's table of errors, and the gateway's log",
        ));
    }
    if seen.events.done || seen.end == End::Left {
        return None;
    }
    let how = if seen.end == End::Broken {
        "broke off"
    } else {
        "ended"
    };
    let after = seen.arrivals.duration().as_secs_f64();
    Some(Finding::error(
        CHECK,
        format!("the stream {how} after {after:.1} s without its last event, data: [DONE]"),
        "raise the time that what stands in front gives an answer (nginx: proxy_read_timeout and \
         proxy_send_timeout; load balancers: idle timeout), and its limit on an answer's size; the \
         gateway's access log says who ended it",
    ))
}
