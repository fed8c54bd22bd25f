//! Preflights through the public URL: answered by the gateway, for the allowed origins and no other.

use http::Response;

use super::call::{self, Server};
use super::finding::Finding;
use super::front::{granted, is_gateway, preflight};
use crate::admission::cross_origin::CrossOriginConfig;

const CHECK: &str = "preflight";

/// An origin that nobody has (RFC 2606 section 2).
const STRANGER: &str = "https://stranger.invalid";

/// Origins that are asked for; a list may be long.
const MOST: usize = 10;

const LEAVE: &str = "let OPTIONS through to the gateway, and add no Access-Control-* headers in what \
    stands in front (nginx: no add_header and no return 204 for OPTIONS; Traefik: no CORS headers \
    middleware)";

/// Asks for each allowed origin, and for one that is not, all at once.
pub(super) async fn look(config: &CrossOriginConfig, server: &Server) -> Vec<Finding> {
    let origins = config.allowed_origins.iter().take(MOST).cloned();
    let origins = origins.map(Some).chain([None]);
    let calls = origins.map(|origin| {
        let server = server.clone();
        async move {
            let asked = preflight(origin.as_deref().unwrap_or(STRANGER));
            match (server.ask(asked).await, &origin) {
                (Ok(answer), Some(origin)) => allowed(origin, &answer),
                (Ok(answer), None) => stranger(&answer),
                (Err(failure), _) => Finding::error(CHECK, failure.what, failure.fix),
            }
        }
    });
    call::at_once(calls).await
}

/// Judges the answer for `origin`, which may call.
fn allowed<B>(origin: &str, answer: &Response<B>) -> Finding {
    let status = answer.status().as_u16();
    let is_granted = answer.status().is_success()
        && granted(answer).is_some_and(|granted| granted.as_bytes() == origin.as_bytes());
    match (is_gateway(answer), is_granted) {
        (true, true) => Finding::ok(CHECK, format!("pages of {origin} may call ({status})")),
        (true, false) => Finding::error(
            CHECK,
            format!("the gateway there does not allow {origin} ({status})"),
            "it runs with another configuration than this one: reload it, and let Origin through to \
             it",
        ),
        (false, true) => Finding::warning(
            CHECK,
            format!("something in front answers for pages of {origin} itself ({status})"),
            LEAVE,
        ),
        (false, false) => Finding::error(
            CHECK,
            format!("something in front refuses pages of {origin} itself ({status})"),
            LEAVE,
        ),
    }
}

/// Judges the answer for an origin that may not call.
fn stranger<B>(answer: &Response<B>) -> Finding {
    let status = answer.status().as_u16();
    match (is_gateway(answer), granted(answer)) {
        (_, Some(granted)) => {
            let granted = granted.to_str().unwrap_or_default();
            let whom = if granted == "*" {
                "every page (*)"
            } else {
                "every page, by its name"
            };
            let what =
                format!("an unknown origin is let in: something in front grants {whom} ({status})");
            Finding::error(CHECK, what, LEAVE)
        }
        (true, None) if is_refused(answer) => Finding::ok(
            CHECK,
            format!("the gateway refuses an origin that is not listed ({status})"),
        ),
        (true, None) => Finding::error(
            CHECK,
            format!(
                "the gateway does not see whose page asks ({status} instead of a refusal): something \
                 in front removes Origin, and with it the defence against other sites' pages"
            ),
            "let Origin, Sec-Fetch-Site and Access-Control-Request-* through to the gateway as they \
             came",
        ),
        (false, None) => Finding::warning(
            CHECK,
            format!("something in front answers preflights itself ({status})"),
            LEAVE,
        ),
    }
}

/// Whether the gateway refused it for its origin.
fn is_refused<B>(answer: &Response<B>) -> bool {
    call::text(answer.headers(), "x-gateway-error") == "cross_origin_refused"
}

#[cfg(test)]
mod tests {
    use super::super::finding::Level;
    use super::*;

    const PAGE: &str = "https://chat.app.example";

    fn answer(status: u16, headers: &[(&str, &str)]) -> Response<()> {
        let mut answer = Response::builder().status(status);
        for (name, value) in headers {
            answer = answer.header(*name, *value);
        }
        answer.body(()).unwrap()
    }

    const ID: (&str, &str) = ("x-gateway-request-id", "r1");
    const GRANT: (&str, &str) = ("access-control-allow-origin", PAGE);
    const ALL: (&str, &str) = ("access-control-allow-origin", "*");

    #[test]
    fn an_allowed_origin_must_be_granted_by_the_gateway_and_by_its_exact_name() {
        let level =
            |status, headers: &[(&str, &str)]| allowed(PAGE, &answer(status, headers)).level;
        assert_eq!(level(204, &[ID, GRANT]), Level::Ok);
        assert_eq!(level(403, &[ID]), Level::Error);
        assert_eq!(level(204, &[GRANT]), Level::Warning);
        assert_eq!(level(204, &[ALL]), Level::Error);
        assert_eq!(level(405, &[]), Level::Error);
    }

    #[test]
    fn a_stranger_must_be_refused_by_the_gateway() {
        let level = |status, headers: &[(&str, &str)]| stranger(&answer(status, headers)).level;
        let refused = ("x-gateway-error", "cross_origin_refused");
        assert_eq!(level(403, &[ID, refused]), Level::Ok);
        assert_eq!(level(403, &[]), Level::Warning);
        assert_eq!(level(204, &[ALL]), Level::Error);
        assert_eq!(level(403, &[ID, refused, ALL]), Level::Error);
        // Origin did not come through: to the gateway it is a bare OPTIONS.
        assert_eq!(level(405, &[ID]), Level::Error);
    }
}
