//! Whether the addresses that sessions are checked by answer as they must: an issuer's keys, and the
//! app's own word on who is signed in.
//!
//! Asked without a cookie, so that "signed out" is the good answer of the app.

use bytes::Bytes;
use http::header::ACCEPT;
use http::{HeaderValue, Response};
use serde_json::Value;

use super::WayOut;
use super::call::{self, Server};
use super::finding::Finding;
use crate::config::UpstreamUrl;
use crate::session::{Algorithm, KeySet, SessionAddress, SessionConfig};

const KEYS: &str = "jwks";
const SESSION: &str = "session-url";

/// Asks every address of every provider, all at once.
pub(super) async fn look(config: &SessionConfig, way: &WayOut) -> Vec<Finding> {
    let questions = config.providers.iter().flat_map(|provider| {
        let addresses = provider.format.addresses().into_iter();
        addresses.map(move |address| Question {
            label: provider.kind.label(),
            user: provider.claims.paths.user.clone(),
            address,
        })
    });
    ask(questions, way).await
}

/// One address, and what its answer is judged by.
struct Question {
    label: &'static str,
    /// Where the app's answer has the user id.
    user: Vec<String>,
    address: SessionAddress,
}

async fn ask(questions: impl Iterator<Item = Question>, way: &WayOut) -> Vec<Finding> {
    let calls = questions.map(|question| {
        let server = server(question.url(), way);
        async move {
            match server {
                Ok((server, path)) => question.ask(&server, &path).await,
                Err(fault) => {
                    let what = format!("{}: its address is {fault}", question.label);
                    let fix = "write a whole URL: https://host/path";
                    Finding::error(question.check(), what, fix)
                }
            }
        }
    });
    call::at_once(calls).await
}

impl Question {
    fn url(&self) -> &str {
        match &self.address {
            SessionAddress::Keys { url, .. } | SessionAddress::App(url) => url,
        }
    }

    fn check(&self) -> &'static str {
        match self.address {
            SessionAddress::Keys { .. } => KEYS,
            SessionAddress::App(_) => SESSION,
        }
    }

    async fn ask(&self, server: &Server, path: &str) -> Finding {
        let mut request = call::get(path);
        let json = HeaderValue::from_static("application/json");
        request.headers_mut().insert(ACCEPT, json);
        let answer = match server.ask(request).await {
            Ok(answer) => answer,
            Err(failure) => {
                let what = format!("{}: {}", self.label, failure.what);
                return Finding::error(self.check(), what, failure.fix);
            }
        };
        // A query may hold what is nobody's business.
        let path = path.split('?').next().unwrap_or_default();
        let place = format!("{}: {}{path}", self.label, server.origin);
        match &self.address {
            SessionAddress::Keys { algorithms, .. } => keys(&place, &answer, algorithms),
            SessionAddress::App(_) => session(&place, &answer, &self.user),
        }
    }
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

/// Judges a set of keys, as the gateway reads it; tokens are signed by one of `algorithms`.
fn keys(place: &str, answer: &Response<Bytes>, algorithms: &[Algorithm]) -> Finding {
    let wrong = |what: String| {
        let fix = "set the provider's jwks_url to its issuer's own key set (what its \
                   /.well-known/openid-configuration gives as jwks_uri), and algorithms to what it \
                   signs by";
        Finding::error(KEYS, format!("{place} {what}"), fix)
    };
    let status = answer.status().as_u16();
    if status != 200 {
        return wrong(format!("gives {status} instead of keys"));
    }
    let kind = call::text(answer.headers(), "content-type");
    let kind = kind.split(';').next().unwrap_or_default().trim();
    let kind = if kind.is_empty() { "untyped" } else { kind };
    let set = match KeySet::from_json(answer.body()) {
        Ok(set) => set,
        Err(error) => return wrong(format!("holds no keys ({kind}): {error}")),
    };
    let listed = |algorithms: &[Algorithm]| {
        let labels: Vec<_> = algorithms.iter().map(|one| one.label()).collect();
        labels.join(", ")
    };
    let (secrets, algorithms): (Vec<_>, Vec<_>) =
        algorithms.iter().partition(|one| one.is_symmetric());
    let mut usable = algorithms.clone();
    usable.retain(|algorithm| set.has_key_for(*algorithm));
    let count = set.len();
    let plural = if count == 1 { "" } else { "s" };
    if usable.is_empty() && !secrets.is_empty() {
        let (wanted, secrets) = (listed(&algorithms), listed(&secrets));
        let what = format!(
            "{place} has no key for {wanted}: only tokens that are signed with the configured secret \
             ({secrets}) are taken"
        );
        return Finding::info(KEYS, what);
    }
    if usable.is_empty() {
        let wanted = listed(&algorithms);
        return wrong(format!("has {count} key{plural}, and none for {wanted}"));
    }
    let usable = listed(&usable);
    Finding::ok(
        KEYS,
        format!("{place} has {count} usable key{plural}, for {usable}, as {kind}"),
    )
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
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    use tokio::net::TcpListener;

    use super::super::finding::Level;
    use super::*;

    fn answer(status: u16, kind: &str, body: &'static str) -> Response<Bytes> {
        let answer = Response::builder().status(status);
        let answer = answer.header("content-type", kind);
        answer.body(Bytes::from(body)).unwrap()
    }

    /// RFC 8037 appendix A.2.
    const KEY: &str = r#"{"keys":[{"kty":"OKP","crv":"Ed25519","kid":"a",
        "x":"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}]}"#;

    #[test]
    fn keys_are_counted_as_the_gateway_reads_them_and_must_fit_its_algorithms() {
        let answer = answer(200, "application/json; charset=utf-8", KEY);
        let found = keys("p", &answer, &[Algorithm::Rs256, Algorithm::EdDsa]);
        assert_eq!(found.level, Level::Ok);
        let expected = "p has 1 usable key, for EdDSA, as application/json";
        assert_eq!(found.what, expected);
        let found = keys("p", &answer, &[Algorithm::Rs256]);
        assert_eq!(found.level, Level::Error);
        assert!(
            found.what.contains("1 key, and none for RS256"),
            "{found:?}"
        );
    }

    #[test]
    fn what_is_no_key_set_is_an_error() {
        for (status, body) in [
            (404, KEY),
            (200, "<html>"),
            (200, "[]"),
            (200, "{}"),
            (200, r#"{"keys":[]}"#),
            (200, r#"{"keys":[{"kty":"oct"}]}"#),
        ] {
            let answer = answer(status, "text/plain", body);
            let found = keys("p", &answer, &[Algorithm::EdDsa]);
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

    /// Answers one request with `body`, and gives its request line back.
    async fn serve(listener: TcpListener, body: &'static str) -> String {
        let (mut socket, _) = listener.accept().await.unwrap();
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            head.push(socket.read_u8().await.unwrap());
        }
        let length = body.len();
        let answer = format!(
            "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: {length}\r\n\r\n{body}"
        );
        socket.write_all(answer.as_bytes()).await.unwrap();
        let head = String::from_utf8(head).unwrap();
        assert!(!head.contains("cookie"), "{head}");
        head.lines().next().unwrap().to_owned()
    }

    #[tokio::test]
    async fn every_address_is_asked_without_a_cookie_and_named_without_its_query() {
        let listen = async || TcpListener::bind("127.0.0.1:0").await.unwrap();
        let (issuer, app, gone) = (listen().await, listen().await, listen().await);
        let url =
            |of: &TcpListener, path: &str| format!("http://{}{path}", of.local_addr().unwrap());
        let question = |address| Question {
            label: "lookup",
            user: vec!["id".to_owned()],
            address,
        };
        let questions = [
            question(SessionAddress::Keys {
                url: url(&issuer, "/keys"),
                algorithms: vec![Algorithm::EdDsa],
            }),
            question(SessionAddress::App(url(&app, "/session?fresh=hunter2"))),
            question(SessionAddress::App(url(&gone, "/"))),
            question(SessionAddress::App("nowhere".to_owned())),
        ];
        drop(gone);
        let way = WayOut {
            outbound: crate::generation::outbound(&crate::config::OutboundConfig::default())
                .unwrap(),
            connect_timeout: call::WITHIN,
        };
        let served = async { tokio::join!(serve(issuer, KEY), serve(app, "null")) };
        let (found, asked) = tokio::join!(ask(questions.into_iter(), &way), served);
        assert_eq!(asked.0, "GET /keys HTTP/1.1");
        assert_eq!(asked.1, "GET /session?fresh=hunter2 HTTP/1.1");
        let levels: Vec<_> = found.iter().map(|f| (f.check, f.level)).collect();
        let expected = [
            (KEYS, Level::Ok),
            (SESSION, Level::Ok),
            (SESSION, Level::Error),
            (SESSION, Level::Error),
        ];
        assert_eq!(levels, expected, "{found:#?}");
        assert!(
            found[1].what.contains("/session says signed out"),
            "{found:?}"
        );
        assert!(!format!("{found:?}").contains("hunter2"));
        assert!(found[2].fix.as_ref().unwrap().contains("nothing listens"));
    }
}
