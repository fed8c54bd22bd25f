//! The promises of `tests/fuzz`, in the normal test run: each check over generated input that comes
//! near to what it is about, and over the fuzzers' seeds.
//!
//! The checks are the fuzz targets' own files.

#![expect(
    unreachable_pub,
    reason = "shared with the fuzz targets, where they are public"
)]

/// What the checks call the crate under test.
use crate as gateway;
use crate::session::sealer;

#[path = "../tests/fuzz/src/authorization.rs"]
mod authorization;
#[path = "../tests/fuzz/src/config.rs"]
mod config;
#[path = "../tests/fuzz/src/cookie_header.rs"]
mod cookie_header;
#[path = "../tests/fuzz/src/cross_origin.rs"]
mod cross_origin;
#[path = "../tests/fuzz/src/event_stream.rs"]
mod event_stream;
#[path = "../tests/fuzz/src/header_rewrite.rs"]
mod header_rewrite;
#[path = "../tests/fuzz/src/input.rs"]
mod input;
mod metered;
#[path = "../tests/fuzz/src/mint_answer.rs"]
mod mint_answer;
mod other_kinds;
#[path = "../tests/fuzz/src/other_sessions.rs"]
mod other_sessions;
#[path = "../tests/fuzz/src/other_stands.rs"]
mod other_stands;
#[path = "../tests/fuzz/src/request_head.rs"]
mod request_head;
#[path = "../tests/fuzz/src/route_table.rs"]
mod route_table;
#[path = "../tests/fuzz/src/rules.rs"]
mod rules;
#[path = "../tests/fuzz/src/scripted.rs"]
mod scripted;
#[path = "../tests/fuzz/src/sealed_session.rs"]
mod sealed_session;
mod seeds;
#[path = "../tests/fuzz/src/sessions.rs"]
mod sessions;
#[path = "../tests/fuzz/src/signed_session.rs"]
mod signed_session;
#[path = "../tests/fuzz/src/usage_meter.rs"]
mod usage_meter;
#[path = "../tests/fuzz/src/usage_swallow.rs"]
mod usage_swallow;
#[path = "../tests/fuzz/src/writers.rs"]
mod writers;

use proptest::prelude::*;

type Check = fn(&[u8]);

/// Every check, by the name of its fuzz target.
const CHECKS: [(&str, Check); 14] = [
    ("authorization", authorization::check),
    ("config", config::check),
    ("cookie_header", cookie_header::check),
    ("cross_origin", cross_origin::check),
    ("event_stream", event_stream::check),
    ("header_rewrite", header_rewrite::check),
    ("mint_answer", mint_answer::check),
    ("other_sessions", other_sessions::check),
    ("request_head", request_head::check),
    ("route_table", route_table::check),
    ("sealed_session", sealed_session::check),
    ("signed_session", signed_session::check),
    ("usage_meter", usage_meter::check),
    ("usage_swallow", usage_swallow::check),
];

/// So many; what fails becomes a seed, by hand.
fn cases(cases: u32) -> ProptestConfig {
    ProptestConfig {
        cases,
        failure_persistence: None,
        ..ProptestConfig::default()
    }
}

/// A byte that chooses a case.
fn choice() -> impl Strategy<Value = Vec<u8>> {
    any::<u8>().prop_map(|byte| vec![byte])
}

/// Some of `words`, and now and then other text, one after the other.
fn text(words: &'static [&'static str], most: usize) -> impl Strategy<Value = Vec<u8>> {
    let word = prop_oneof![
        8 => prop::sample::select(words).prop_map(|word| word.as_bytes().to_vec()),
        1 => "[ -~]{0,6}".prop_map(String::into_bytes),
        1 => prop::collection::vec(any::<u8>(), 0..3),
    ];
    prop::collection::vec(word, 0..most).prop_map(|words| words.concat())
}

/// Lines of `name: value`.
fn header_lines(
    names: &'static [&'static str],
    values: &'static [&'static str],
) -> impl Strategy<Value = Vec<u8>> {
    let value = prop_oneof![
        3 => prop::sample::select(values).prop_map(|value| value.as_bytes().to_vec()),
        1 => text(values, 3),
    ];
    let line = (prop::sample::select(names), value)
        .prop_map(|(name, value)| [name.as_bytes(), b": ", &value, b"\n"].concat());
    prop::collection::vec(line, 0..10).prop_map(|lines| lines.concat())
}

/// Its parts, one after the other.
fn joined(parts: Vec<BoxedStrategy<Vec<u8>>>) -> impl Strategy<Value = Vec<u8>> {
    parts.prop_map(|parts| parts.concat())
}

const COOKIES: &[&str] = &[
    "authjs.session-token",
    "__Secure-authjs.session-token",
    "next-auth.session-token",
    ".0",
    ".1",
    ".01",
    ".18446744073709551616",
    "=",
    "=",
    ";",
    "; ",
    "\n",
    "%3B",
    "%e2%82",
    "%",
    "a.b..c",
    include_str!("../tests/fuzz/seeds/cookie_header/authjs-v5-valid"),
    include_str!("../tests/fuzz/seeds/cookie_header/nextauth-v4-valid"),
    "\t",
    "theme=dark; ",
    "eyJhbGciOiJkaXIiLCJlbmMiOiJBMjU2R0NNIn0",
];

const CLAIMS: &[&str] = &[
    "{",
    "}",
    ",",
    ",",
    "{\"sub\":\"usr_ada\",\"exp\":1795440000,",
    "\"sub\":",
    "\"exp\":",
    "\"nbf\":",
    "\"iat\":",
    "\"tier\":",
    "\"uid\":",
    "\"ada\"",
    "\" Admin\"",
    "\"a\\u0000\"",
    "\"\\ud83d\"",
    "1795440000",
    "1795429985",
    "1795429986.5",
    "9007199254740992",
    "-1",
    "1e999",
    "null",
    "\"x\":1}",
    "\n",
];

const ORIGINS: &[&str] = &[
    "https://app.example",
    "https://app.example:8443",
    "https://chat.example",
    "http://localhost:3000",
    "null",
    ".evil",
    "same-origin",
    "same-site",
    "cross-site",
    "none",
    "application/json",
    "; charset=utf-8",
    "text/plain",
];

const SEGMENTS: &[&str] = &[
    "/v1/models",
    "/v1/threads/",
    "/v1/responses/",
    "/v1/Threads/",
    "/",
    "t1",
    "{id}",
    "/messages",
    "/cancel",
    "auth",
    "..",
    ".",
    "%2e",
    "a:b_c-9",
    "\nGET ",
    "\nPOST ",
    "\nDELETE ",
];

const NAMES: &[&str] = &[
    "accept",
    "authorization",
    "connection",
    "connection",
    "content-encoding",
    "content-length",
    "content-type",
    "cookie",
    "openai-beta",
    "openai-x_y",
    "retry-after",
    "set-cookie",
    "tracestate",
    "user-agent",
    "x-end-user-id",
    "x-model-region",
    "x-ratelimit-a.b",
    "x-request-id",
    "x-request-tag",
    "x-stainless-a_b",
    "x-stainless-lang",
    "x_session_id",
    "x-thread-id",
];

const VALUES: &[&str] = &[
    "close",
    ",",
    ", ",
    "X-Thread-Id",
    "accept",
    "retry-after",
    "x-request-id",
    "\u{e9}",
    "text/event-stream",
    "12",
    "\t",
];

const EVENTS: &[&str] = &[
    "data: a", "\n", "\n\n", "\r\n", "\r", "\r\n\r\n", "|", "|", ": ping", "event: x",
];

const HEADS: &[&str] = &[
    "GET /v1/models HTTP/1.1\r\nhost: a\r\n",
    "POST /v1/responses HTTP/1.1\r\nhost: a\r\ncontent-type: application/json\r\n",
    "GET http://b/v1/models HTTP/1.1\r\n",
    "host: a\r\n",
    "host: a@b\r\n",
    "content-length: 2\r\n",
    "content-length: +2\r\n",
    "transfer-encoding: chunked\r\n",
    "transfer-encoding: gzip\r\n",
    "origin: https://app.example\r\n",
    "origin: null\r\n",
    "sec-fetch-site: cross-site\r\n",
    "origin: https://chat.example\r\n",
    "OPTIONS /v1/models HTTP/1.1\r\nhost: a\r\norigin: https://chat.example\r\naccess-control-request-method: GET\r\n",
    "access-control-request-headers: cookie, x-stainless-lang, host\r\n",
    "\r\n",
    "\r\n",
    "\n",
    "{}",
    "0\r\n\r\n",
];

const SETTINGS: &[&str] = &[
    "GATEWAY_PUBLIC_ORIGIN=",
    "GATEWAY_ALLOWED_ORIGINS=",
    "GATEWAY_LISTEN=",
    "https://app.example",
    "*",
    ",",
    "127.0.0.1:0",
    "\n",
    "\n---\n",
    "[server]\n",
    "[routes]\n",
    "listen = ",
    "extra = ",
    "\"POST /v1/rerank\"",
    "[",
    "]",
    "\"30s\"",
    "\"\"",
    "[[session.providers]]\n",
    "[budgets]\n",
    "[budgets.default]\n",
    "tiers = { a = { tokens_per_day = ",
    "usd_per_day = ",
    "1.5",
    "time_zone = \"Europe/Berlin\"\n",
    "[store]\nkind = \"redis\"\n",
    "url = \"redis://h:1/0\"\n",
    "GATEWAY_BUDGETS__DEFAULT__TOKENS_PER_DAY=",
    "kind = \"authjs-v5\"\n",
];

proptest! {
    #![proptest_config(cases(2000))]

    #[test]
    fn the_cookie_that_decides_is_the_one_that_the_rules_name(data in text(COOKIES, 20)) {
        cookie_header::check(&data);
    }

    #[test]
    fn a_sealed_session_is_what_its_claims_say(
        data in joined(vec![choice().boxed(), text(CLAIMS, 12).boxed()])
    ) {
        sealed_session::check(&data);
    }

    #[test]
    fn the_cross_origin_decision_follows_its_rules(
        data in joined(vec![
            choice().boxed(),
            prop_oneof![Just(b"app.example\n".to_vec()), Just(b"\n".to_vec())].boxed(),
            header_lines(&["origin", "origin", "sec-fetch-site", "content-type"], ORIGINS).boxed(),
        ])
    ) {
        cross_origin::check(&data);
    }

    #[test]
    fn paths_are_offered_as_the_table_says(
        data in joined(vec![choice().boxed(), text(SEGMENTS, 12).boxed()])
    ) {
        route_table::check(&data);
    }

    #[test]
    fn headers_pass_as_the_lists_say(
        data in joined(vec![choice().boxed(), header_lines(NAMES, VALUES).boxed()])
    ) {
        header_rewrite::check(&data);
    }

    #[test]
    fn a_mints_answer_is_a_token_for_the_user_or_an_error(
        data in joined(vec![
            choice().boxed(),
            text(&["7", "\n", "Sat, 06 Nov 2094 08:49:37 GMT"], 2).boxed(),
            Just(b"\n{\"uid\":\"ada\",".to_vec()).boxed(),
            text(CLAIMS, 8).boxed(),
            Just(b"\n,\"ttl\":900".to_vec()).boxed(),
            text(CLAIMS, 4).boxed(),
        ])
    ) {
        mint_answer::check(&data);
    }

    #[test]
    fn what_is_admitted_can_be_read_in_one_way_only(
        data in joined(vec![choice().boxed(), text(HEADS, 12).boxed()])
    ) {
        request_head::check(&data);
    }
}

proptest! {
    // Each one is a file, or three connections.
    #![proptest_config(cases(200))]

    #[test]
    fn a_stream_passes_whole_in_any_pieces_or_breaks_honestly(
        data in joined(vec![choice().boxed(), choice().boxed(), text(EVENTS, 12).boxed()])
    ) {
        event_stream::check(&data);
    }

    #[test]
    fn a_configuration_holds_or_says_why_and_shows_no_secret(data in text(SETTINGS, 16)) {
        config::check(&data);
    }
}
