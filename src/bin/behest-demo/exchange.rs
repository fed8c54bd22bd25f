//! What the browser sent beside what Behest received, header by header, for the page to show.
//!
//! Guarantees: credentials are masked where they are captured, so that no token, key or cookie value
//! is kept here or reaches the page; at most [`KEPT`] requests are remembered.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use behest_gateway::clock::monotonic;
use behest_gateway::emulator::{Ending, RequestRecord, Seen};
use http::header::{AUTHORIZATION, COOKIE};
use http::{HeaderMap, HeaderName, HeaderValue, Response, request};
use serde_json::{Map, Value, json};

/// Requests that are remembered.
const KEPT: usize = 64;
/// What stands for a credential.
const MASK: &str = "••••";
/// Header values are shown up to this many characters.
const LONGEST: usize = 160;
/// The headers that the demo is about, in the order of the panel; all others follow by name.
const FIRST: [&str; 6] = [
    "cookie",
    "authorization",
    "x-session-id",
    "x-thread-id",
    "x-request-id",
    "host",
];
/// The claims that the page may see.
const CLAIMS: [&str; 5] = ["uid", "tier", "sid", "role", "exp"];

/// The latest requests that browsers sent to `/v1`.
#[derive(Default)]
pub(crate) struct Exchanges(Mutex<VecDeque<Exchange>>);

/// One request as it came from the browser, already masked, and how its answer went.
struct Exchange {
    id: String,
    line: String,
    headers: Vec<(String, String)>,
    status: Option<u16>,
    code: Option<String>,
    /// What the gateway added before it sent the request on, in microseconds.
    added_us: Option<f64>,
    /// When the answer's last byte was handed on, or the browser left.
    ended: Option<Instant>,
}

impl Exchanges {
    /// Remembers a request that has an id; the returned guard, dropped, ends the exchange.
    pub(crate) fn begin(self: &Arc<Self>, head: &request::Parts) -> Option<OpenExchange> {
        let id = head.headers.get("x-request-id")?.to_str().ok()?.to_owned();
        let exchange = Exchange {
            id: id.clone(),
            line: format!("{} {}", head.method, head.uri.path()),
            headers: masked(&head.headers),
            status: None,
            code: None,
            added_us: None,
            ended: None,
        };
        let mut kept = self.lock();
        kept.retain(|other| other.id != id);
        kept.push_back(exchange);
        if kept.len() > KEPT {
            kept.pop_front();
        }
        Some(OpenExchange {
            exchanges: Arc::clone(self),
            id,
        })
    }

    /// The request with this id beside what Behest has seen of it; `None` if it is not remembered.
    pub(crate) fn show(&self, id: &str, seen: &Seen) -> Option<Map<String, Value>> {
        let kept = self.lock();
        let exchange = kept.iter().find(|exchange| exchange.id == id)?;
        // The newest: one that Behest's 401 caused to be sent again was received twice.
        let received = seen.requests.iter().rev();
        let received = received
            .filter(|record| record.header("x-request-id") == Some(id))
            .find(|record| record.path() != "/v1/auth/mint");
        Some(shown(exchange, received))
    }

    fn lock(&self) -> MutexGuard<'_, VecDeque<Exchange>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// An exchange whose answer has not ended; it ends when this is dropped.
pub(crate) struct OpenExchange {
    exchanges: Arc<Exchanges>,
    id: String,
}

impl OpenExchange {
    /// Notes the answer's head, and what the gateway added to get there, in microseconds.
    pub(crate) fn answered<B>(&self, response: &Response<B>, added_us: Option<f64>) {
        let code = response.headers().get("x-gateway-error");
        let code = code.and_then(|code| code.to_str().ok()).map(str::to_owned);
        self.note(|exchange| {
            exchange.status = Some(response.status().as_u16());
            exchange.code = code;
            exchange.added_us = added_us;
        });
    }

    fn note(&self, write: impl FnOnce(&mut Exchange)) {
        let mut kept = self.exchanges.lock();
        if let Some(exchange) = kept.iter_mut().find(|exchange| exchange.id == self.id) {
            write(exchange);
        }
    }
}

impl Drop for OpenExchange {
    fn drop(&mut self) {
        let now = monotonic();
        self.note(|exchange| exchange.ended = Some(now));
    }
}

fn shown(exchange: &Exchange, received: Option<&RequestRecord>) -> Map<String, Value> {
    let claims = received.and_then(|record| record.claims.as_ref());
    let rows = rows(
        &exchange.headers,
        received.map(|record| masked(&record.headers)),
    );
    let mut all = Map::new();
    let mut put = |name: &str, value: Value| all.insert(name.to_owned(), value);
    put("sent_line", json!(exchange.line));
    put("received_line", json!(received.map(line)));
    put("rows", json!(rows));
    put("claims", json!(claims.map(visible_claims)));
    put("status", json!(exchange.status));
    put("code", json!(exchange.code));
    put("added_us", json!(exchange.added_us));
    put("done", json!(exchange.ended.is_some()));
    put(
        "disconnect_ms",
        json!(received.and_then(|record| disconnect_ms(exchange, record))),
    );
    all
}

fn line(record: &RequestRecord) -> String {
    format!("{} {}", record.method, record.path())
}

/// How long after the browser left Behest saw its own side close, in milliseconds to a tenth.
fn disconnect_ms(exchange: &Exchange, record: &RequestRecord) -> Option<f64> {
    if record.ending != Some(Ending::ClientLeft) {
        return None;
    }
    let took = record.ended?.saturating_duration_since(exchange.ended?);
    Some((took.as_secs_f64() * 10_000.0).round() / 10.0)
}

/// Name and value of each, in the order that the page shows them in.
fn visible_claims(claims: &Value) -> Vec<(&'static str, &Value)> {
    CLAIMS
        .into_iter()
        .filter_map(|name| Some((name, claims.get(name)?)))
        .collect()
}

/// One row for each header that either side has.
fn rows(sent: &[(String, String)], received: Option<Vec<(String, String)>>) -> Vec<Value> {
    let forwarded = received.is_some();
    let received = received.unwrap_or_default();
    let mut names: Vec<&str> = sent.iter().chain(&received).map(|(n, _)| &**n).collect();
    names.sort_by_key(|name| (place(name), *name));
    names.dedup();
    let of = |side: &[(String, String)], name: &str| {
        let found = side.iter().find(|(other, _)| other == name);
        found.map(|(_, value)| value.clone())
    };
    names
        .into_iter()
        .map(|name| {
            let (before, after) = (of(sent, name), of(&received, name));
            let change = match (&before, &after) {
                (Some(_), None) if forwarded => "removed",
                (None, Some(_)) => "added",
                (Some(before), Some(after)) if before != after => "replaced",
                _ => "same",
            };
            json!({
                "header": name, "sent": before, "received": after, "change": change,
                "other": place(name) == FIRST.len(),
            })
        })
        .collect()
}

fn place(name: &str) -> usize {
    let found = FIRST.iter().position(|first| *first == name);
    found.unwrap_or(FIRST.len())
}

/// Every header with its lines joined, and nothing in it that must not be seen.
fn masked(headers: &HeaderMap) -> Vec<(String, String)> {
    headers
        .keys()
        .map(|name| {
            let lines: Vec<_> = headers
                .get_all(name)
                .iter()
                .map(|v| mask(name, v))
                .collect();
            (name.as_str().to_owned(), lines.join(", "))
        })
        .collect()
}

fn mask(name: &HeaderName, value: &HeaderValue) -> String {
    let text = String::from_utf8_lossy(value.as_bytes());
    if name == COOKIE {
        return mask_cookies(&text);
    }
    if name == AUTHORIZATION {
        return mask_authorization(&text);
    }
    // A token or a key would have no business in any other header.
    if text.contains("eyJ") || text.contains("behest_") {
        return MASK.to_owned();
    }
    text.chars().take(LONGEST).collect()
}

fn mask_cookies(line: &str) -> String {
    let pairs = line
        .split(';')
        .filter_map(|pair| pair.trim().split_once('='));
    let masked = pairs.map(|(name, value)| format!("{name}={MASK} ({} characters)", value.len()));
    masked.collect::<Vec<_>>().join("; ")
}

fn mask_authorization(value: &str) -> String {
    if value == "Bearer unused" {
        return value.to_owned();
    }
    format!(
        "Bearer {MASK} ({} characters)",
        value.len().saturating_sub(7)
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn head(headers: &[(&str, &str)]) -> request::Parts {
        let mut request = http::Request::post("/v1/chat/completions?key=eyJ");
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        request.body(()).unwrap().into_parts().0
    }

    #[test]
    fn no_credential_is_kept() {
        let head = head(&[
            ("x-request-id", "demo-1"),
            ("cookie", "theme=dark; authjs.session-token=eyJabc..def"),
            ("authorization", "Bearer eyJhbGciOi.x.y"),
            ("x-api-key", "behest_sk_live_0"),
            ("x-token", "eyJhbGciOi.x.y"),
        ]);
        let exchanges = Arc::new(Exchanges::default());
        let open = exchanges.begin(&head).unwrap();
        let shown = exchanges.show("demo-1", &Seen::default()).unwrap();
        let text = Value::Object(shown).to_string();
        for secret in ["eyJ", "dark", "behest_sk"] {
            assert!(!text.contains(secret), "{secret} in {text}");
        }
        assert!(text.contains("authjs.session-token"));
        drop(open);
        assert_eq!(
            exchanges.show("demo-1", &Seen::default()).unwrap()["done"],
            true
        );
        assert!(exchanges.show("demo-2", &Seen::default()).is_none());
    }

    #[test]
    fn each_header_is_removed_added_replaced_or_the_same() {
        let pair = |(name, value): (&str, &str)| (name.to_owned(), value.to_owned());
        let sent = [("accept", "*/*"), ("cookie", "a"), ("authorization", "x")].map(pair);
        let received = [
            ("accept", "*/*"),
            ("x-session-id", "s"),
            ("authorization", "y"),
        ];
        let rows = rows(&sent, Some(received.map(pair).to_vec()));
        let told: Vec<_> = rows
            .iter()
            .map(|row| {
                (
                    row["header"].as_str().unwrap(),
                    row["change"].as_str().unwrap(),
                )
            })
            .collect();
        assert_eq!(
            told,
            [
                ("cookie", "removed"),
                ("authorization", "replaced"),
                ("x-session-id", "added"),
                ("accept", "same")
            ]
        );
    }

    #[test]
    fn the_oldest_are_forgotten() {
        let exchanges = Arc::new(Exchanges::default());
        for number in 0..=KEPT {
            let id = number.to_string();
            drop(exchanges.begin(&head(&[("x-request-id", &id)])));
        }
        assert!(exchanges.show("0", &Seen::default()).is_none());
        assert!(exchanges.show("1", &Seen::default()).is_some());
        assert!(exchanges.begin(&head(&[])).is_none());
    }
}
