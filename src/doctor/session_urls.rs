//! Whether the addresses that sessions are checked by answer as they must: an issuer's keys, and the
//! app's own word on who is signed in.
//!
//! Asked without a cookie, so that "signed out" is the good answer of the app.

use bytes::Bytes;
use http::header::ACCEPT;
use http::{HeaderValue, Response};
use serde_json::{Map, Value};

use super::WayOut;
use super::call::{self, Server};
use super::finding::Finding;
use crate::config::UpstreamUrl;
use crate::session::{SessionAddress, SessionConfig};

const KEYS: &str = "jwks";
const SESSION: &str = "session-url";

/// Algorithms shown of a key set.
const SHOWN: usize = 4;

/// Asks every address of every provider, all at once.
pub(super) async fn look(config: &SessionConfig, way: &WayOut) -> Vec<Finding> {
    let providers = config.providers.iter();
    let addresses = providers.flat_map(|provider| {
        let addresses = provider.format.addresses().into_iter();
        addresses.map(move |address| (provider, address))
    });
    let calls = addresses.map(|(provider, address)| {
        let label = provider.kind.label();
        let user = provider.claims.paths.user.clone();
        let (check, url) = match &address {
            SessionAddress::Keys(url) => (KEYS, url.clone()),
            SessionAddress::App(url) => (SESSION, url.clone()),
        };
        let server = server(&url, way);
        async move {
            let (server, path) = match server {
                Ok(found) => found,
                Err(fault) => {
                    let what = format!("{label}: its address is {fault}");
                    return Finding::error(check, what, "write a whole URL: https://host/path");
                }
            };
            let place = Place { label, path };
            match address {
                SessionAddress::Keys(_) => place.ask(KEYS, &server, keys).await,
                SessionAddress::App(_) => {
                    let judge = |place: &str, answer: &_| session(place, answer, &user);
                    place.ask(SESSION, &server, judge).await
                }
            }
        }
    });
    call::at_once(calls).await
}

/// The server of `url`, and what is asked of it.
fn server(url: &str, way: &WayOut) -> Result<(Server, String), String> {
    let origin = call::origin_of(url).ok_or("no URL")?;
    let path = url.splitn(4, '/').nth(3).unwrap_or_default();
    let path = path.split('#').next().unwrap_or_default();
    let server = way.server(&UpstreamUrl::parse(&origin)?);
    let server = server.map_err(|error| error.to_string())?;
    Ok((server, format!("/{path}")))
}

/// What is asked, for which provider.
struct Place {
    label: &'static str,
    path: String,
}

impl Place {
    async fn ask(
        &self,
        check: &'static str,
        server: &Server,
        judge: impl FnOnce(&str, &Response<Bytes>) -> Finding,
    ) -> Finding {
        let label = self.label;
        let mut request = call::get(&self.path);
        let json = HeaderValue::from_static("application/json");
        request.headers_mut().insert(ACCEPT, json);
        match server.ask(request).await {
            Err(failure) => {
                Finding::error(check, format!("{label}: {}", failure.what), failure.fix)
            }
            Ok(answer) => {
                let path = self.path.split('?').next().unwrap_or_default();
                judge(&format!("{label}: {}{path}", server.origin), &answer)
            }
        }
    }
}

/// Judges a set of keys.
fn keys(place: &str, answer: &Response<Bytes>) -> Finding {
    let wrong = |what: String| {
        let fix = "set the provider's jwks_url to its issuer's own key set (what its \
                   /.well-known/openid-configuration gives as jwks_uri)";
        Finding::error(KEYS, format!("{place} {what}"), fix)
    };
    let status = answer.status().as_u16();
    if status != 200 {
        return wrong(format!("gives {status} instead of keys"));
    }
    let kind = call::text(answer.headers(), "content-type");
    let kind = kind.split(';').next().unwrap_or_default().trim();
    let Ok(set) = serde_json::from_slice::<Map<String, Value>>(answer.body()) else {
        return wrong(format!("gives no JSON object ({})", shown(kind)));
    };
    let algorithms = match set.get("keys").and_then(Value::as_array) {
        Some(keys) => keys.iter().filter_map(algorithm).collect(),
        None => certificates(&set),
    };
    if algorithms.is_empty() {
        return wrong("holds no key that can check a signature".to_owned());
    }
    let mut different = algorithms.clone();
    different.sort_unstable();
    different.dedup();
    different.truncate(SHOWN);
    let count = algorithms.len();
    let plural = if count == 1 { "" } else { "s" };
    let what = format!(
        "{place} has {count} usable key{plural} ({}), as {}",
        different.join(", "),
        shown(kind)
    );
    Finding::ok(KEYS, what)
}

/// A media type as it may be shown.
fn shown(kind: &str) -> &str {
    if kind.is_empty() { "untyped" } else { kind }
}

/// The algorithms that a key may be named for.
const KNOWN: [&str; 9] = [
    "RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "EdDSA",
];

/// What a key that can check signatures is for; `None` for any other key.
fn algorithm(key: &Value) -> Option<&'static str> {
    let text = |name: &str| key.get(name).and_then(Value::as_str).unwrap_or_default();
    if !matches!(text("use"), "" | "sig") {
        return None;
    }
    if let Some(named) = KNOWN.into_iter().find(|known| *known == text("alg")) {
        return Some(named);
    }
    match (text("kty"), text("crv"), text("alg")) {
        ("RSA", _, "") => Some("RSA"),
        ("EC", "P-256", "") => Some("ES256"),
        ("EC", "P-384", "") => Some("ES384"),
        ("OKP", "Ed25519", _) => Some("EdDSA"),
        _ => None,
    }
}

/// Google's form: certificates by key id.
fn certificates(set: &Map<String, Value>) -> Vec<&'static str> {
    let texts = set.values().filter_map(Value::as_str);
    let certificates = texts.filter(|text| text.starts_with("-----BEGIN CERTIFICATE"));
    certificates.map(|_| "X.509").collect()
}

/// Judges the app's answer to somebody who is not signed in.
fn session(place: &str, answer: &Response<Bytes>, user: &[String]) -> Finding {
    let status = answer.status().as_u16();
    let headers = answer.headers();
    let wrong = |what: String, fix: &str| Finding::error(SESSION, format!("{place} {what}"), fix);
    let address = "set the provider's url to the address at which the app gives the session as JSON \
                   (Auth.js: /api/auth/session, Better Auth: /api/auth/get-session, Kratos: \
                   /sessions/whoami)";
    if answer.status().is_redirection() {
        let what =
            format!("redirects somebody without a cookie ({status}) instead of saying signed out");
        return wrong(what, address);
    }
    if call::is_html(headers) {
        return wrong(
            format!("gives a page of HTML ({status}) instead of JSON"),
            address,
        );
    }
    match status {
        401 => return Finding::ok(SESSION, format!("{place} says signed out (401)")),
        200 => {}
        404 | 405 => return wrong(format!("gives {status}: nothing is there"), address),
        500.. => {
            let fix = "see the app's log; Auth.js gives 500 where its secret is missing or its host is \
                       not trusted (AUTH_TRUST_HOST=true)";
            return wrong(format!("gives {status}: the app is not well"), fix);
        }
        _ => {
            return wrong(
                format!("gives {status} instead of a session or none"),
                address,
            );
        }
    }
    let Ok(body) = serde_json::from_slice::<Value>(answer.body()) else {
        return wrong("gives something else than JSON".to_owned(), address);
    };
    let found = user.iter().try_fold(&body, |value, key| value.get(key));
    match found {
        Some(Value::String(_) | Value::Number(_)) => wrong(
            "gives a user to somebody without a cookie: everybody would be that user".to_owned(),
            "see that the app reads the session from the request, and that nothing caches its answer",
        ),
        Some(Value::Null | Value::Bool(_) | Value::Array(_) | Value::Object(_)) | None => {
            Finding::ok(SESSION, format!("{place} says signed out ({status})"))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::finding::Level;
    use super::*;

    fn answer(status: u16, kind: &str, body: &'static str) -> Response<Bytes> {
        let answer = Response::builder().status(status);
        let answer = answer.header("content-type", kind);
        answer.body(Bytes::from(body)).unwrap()
    }

    #[test]
    fn keys_that_check_signatures_are_counted_with_their_algorithms() {
        let body = r#"{"keys":[{"kty":"RSA","use":"sig","alg":"RS256"},{"kty":"EC","crv":"P-256"},
            {"kty":"OKP","crv":"Ed25519"},{"kty":"RSA","use":"enc"},{"kty":"oct","alg":"HS256"},
            {"kty":"EC","crv":"P-521"},{"kty":"RSA","alg":"RSA-OAEP"}]}"#;
        let found = keys("p", &answer(200, "application/json; charset=utf-8", body));
        assert_eq!(found.level, Level::Ok);
        let expected = "p has 3 usable keys (ES256, EdDSA, RS256), as application/json";
        assert_eq!(found.what, expected);
        let map = r#"{"a1":"-----BEGIN CERTIFICATE-----\nMII"}"#;
        let found = keys("p", &answer(200, "application/json", map));
        assert!(found.what.contains("1 usable key (X.509)"), "{found:?}");
    }

    #[test]
    fn what_is_no_key_set_is_an_error() {
        for (status, body) in [
            (404, "{}"),
            (200, "<html>"),
            (200, "[]"),
            (200, "{}"),
            (200, r#"{"keys":[]}"#),
            (200, r#"{"keys":[{"kty":"oct"}]}"#),
        ] {
            let found = keys("p", &answer(status, "text/plain", body));
            assert_eq!(found.level, Level::Error, "{body}");
            assert!(found.fix.unwrap().contains("jwks_url"));
        }
    }

    #[test]
    fn an_app_must_say_signed_out_in_json_to_somebody_without_a_cookie() {
        let user = ["user".to_owned(), "id".to_owned()];
        let level =
            |status, kind: &str, body| session("p", &answer(status, kind, body), &user).level;
        let json = "application/json";
        for body in ["null", "{}", r#"{"user":{}}"#, r#"{"user":null}"#] {
            assert_eq!(level(200, json, body), Level::Ok, "{body}");
        }
        assert_eq!(level(401, json, r#"{"error":{}}"#), Level::Ok);
        assert_eq!(level(404, json, "{}"), Level::Error);
        assert_eq!(level(302, json, ""), Level::Error);
        assert_eq!(level(500, json, "{}"), Level::Error);
        assert_eq!(level(200, "text/html", "null"), Level::Error);
        assert_eq!(level(200, json, "<html>"), Level::Error);
        assert_eq!(level(200, json, r#"{"user":{"id":"ada"}}"#), Level::Error);
        assert_eq!(level(200, json, r#"{"user":{"id":7}}"#), Level::Error);
    }
}
