//! Meters, over any split of any answer.

use bytes::Bytes;
use proptest::prelude::*;
use serde_json::{Value, json};

use super::{Asked, Certainty, Measured, Meter, ModelName, Tokens};

const USED: &str = r#"{"prompt_tokens":9,"completion_tokens":3,"total_tokens":12,"prompt_tokens_details":{"cached_tokens":4}}"#;

fn used() -> Tokens {
    Tokens {
        prompt: 9,
        cached: 4,
        completion: 3,
        total: 12,
    }
}

/// What a meter reads of `pieces`, and what it passes on.
fn metered(mut meter: Meter, pieces: &[&[u8]]) -> (Measured, Vec<u8>) {
    let mut passed = Vec::new();
    for piece in pieces {
        passed.extend(meter.passed(Bytes::copy_from_slice(piece)));
    }
    passed.extend(meter.rest().unwrap_or_default());
    (meter.finish(true), passed)
}

/// The same for every split of `bytes` in two, and in single bytes.
#[track_caller]
fn everywhere(meter: impl Fn() -> Meter, bytes: &[u8]) -> (Measured, Vec<u8>) {
    let whole = metered(meter(), &[bytes]);
    for at in 0..=bytes.len() {
        let (one, other) = bytes.split_at(at);
        assert_eq!(metered(meter(), &[one, other]), whole, "split at {at}");
    }
    let single: Vec<_> = bytes.chunks(1).collect();
    assert_eq!(metered(meter(), &single), whole);
    whole
}

fn chunk(choices: &str, usage: &str) -> String {
    format!(
        r#"data: {{"id":"c","object":"chat.completion.chunk","model":"gpt-5","choices":{choices}{usage}}}"#
    )
}

fn stream(ending: &str) -> String {
    let word = chunk(
        r#"[{"index":0,"delta":{"content":"say \"usage\":{} \n"}}]"#,
        "",
    );
    let last = chunk("[]", &format!(r#","usage":{USED}"#));
    [&word, &word, &last, "data: [DONE]"]
        .map(|event| format!("{event}{ending}{ending}"))
        .concat()
}

#[test]
fn a_json_answer_is_read_whatever_stands_in_it() {
    let answer = format!(
        r#"{{ "id":"c", "choices":[{{"message":{{"content":"\"usage\":{{\"prompt_tokens\":1}} \\","usage":{{"prompt_tokens":7}}}}}}],
            "model" : "gpt-5", "nested":{{"usage":{{"prompt_tokens":8}}}}, "usage":{USED} , "x":[1,{{"usage":2}}]}}"#
    );
    let (measured, passed) = everywhere(Meter::json, answer.as_bytes());
    assert_eq!(measured.tokens, Some(used()));
    assert_eq!(measured.certainty, Certainty::Known);
    assert_eq!(measured.model, ModelName::parse("gpt-5"));
    assert_eq!(passed, answer.as_bytes());
}

#[test]
fn of_an_answer_that_does_not_say_nothing_is_invented() {
    for answer in [
        "",
        "{}",
        "[]",
        "null",
        "no json",
        r#"{"usage":null}"#,
        r#"{"usage":"12"}"#,
        r#"{"usage":{"prompt_tokens":-1}}"#,
    ] {
        let (measured, _) = everywhere(Meter::json, answer.as_bytes());
        assert_eq!(measured.tokens, None, "{answer}");
        assert_eq!(measured.certainty, Certainty::Unknown);
    }
    let mut meter = Meter::json();
    let cut = format!(r#"{{"model":"m","usage":{USED}"#);
    meter.passed(Bytes::from(cut).slice(..60));
    assert_eq!(meter.finish(false).certainty, Certainty::Partial);
}

#[test]
fn a_value_that_is_too_long_is_not_read_and_not_kept() {
    let answer = format!(
        r#"{{"usage":{{"x":"{}","prompt_tokens":1}}}}"#,
        "x".repeat(5000)
    );
    let (measured, _) = metered(Meter::json(), &[answer.as_bytes()]);
    assert_eq!(measured.tokens, None);
}

#[test]
fn a_streams_last_event_says_it_whatever_ends_its_lines() {
    for ending in ["\n", "\r\n", "\r"] {
        let stream = stream(ending);
        let (measured, passed) = everywhere(|| Meter::events(false), stream.as_bytes());
        assert_eq!(measured.tokens, Some(used()), "{ending:?}");
        assert_eq!(measured.model, ModelName::parse("gpt-5"));
        assert_eq!(passed, stream.as_bytes());
    }
}

#[test]
fn the_event_that_only_the_gateway_asked_for_is_taken_out_and_nothing_else() {
    for ending in ["\n", "\r\n", "\r"] {
        let stream = format!("\u{feff}: hello{ending}{ending}{}", stream(ending));
        let extra = chunk("[]", &format!(r#","usage":{USED}"#)) + ending + ending;
        assert!(stream.contains(&extra));
        let expected = stream.replace(&extra, "");
        let (measured, passed) = everywhere(|| Meter::events(true), stream.as_bytes());
        assert_eq!(String::from_utf8(passed).unwrap(), expected, "{ending:?}");
        assert_eq!(measured.tokens, Some(used()));
    }
}

#[test]
fn usage_beside_choices_is_the_callers_own() {
    let both = chunk(
        r#"[{"index":0,"delta":{}}]"#,
        &format!(r#","usage":{USED}"#),
    ) + "\n\n";
    let null = chunk("[]", r#","usage":null"#) + "\n\n";
    let stream = both + &null;
    let (measured, passed) = everywhere(|| Meter::events(true), stream.as_bytes());
    assert_eq!(passed, stream.as_bytes());
    assert_eq!(measured.tokens, Some(used()), "and null takes nothing back");
}

#[test]
fn the_events_of_responses_are_read_within_them() {
    let usage = r#"{"input_tokens":9,"input_tokens_details":{"cached_tokens":4},"output_tokens":3,"total_tokens":12}"#;
    let stream = format!(
        "event: response.created\ndata: {{\"type\":\"response.created\",\"response\":{{\"model\":\"gpt-5\",\"usage\":null}}}}\n\n\
         event: response.completed\ndata: {{\"type\":\"response.completed\",\"response\":{{\"model\":\"gpt-5\",\ndata: \"usage\":{usage}}}}}\n\n"
    );
    let (measured, _) = everywhere(|| Meter::events(false), stream.as_bytes());
    assert_eq!(measured.tokens, Some(used()));
    assert_eq!(measured.model, ModelName::parse("gpt-5"));
}

#[test]
fn an_event_that_is_too_long_passes_at_once_and_unread() {
    let long = format!("data: {{\"x\":\"{}\"", "x".repeat(20_000));
    let mut meter = Meter::events(true);
    assert_eq!(meter.passed(Bytes::from(long.clone())).len(), long.len());
    let rest = format!(",\"choices\":[],\"usage\":{USED}}}\n\n{}", stream("\n"));
    let passed = meter.passed(Bytes::from(rest.clone()));
    let extra = chunk("[]", &format!(r#","usage":{USED}"#)) + "\n\n";
    assert_eq!(passed, rest.replace(&extra, ""));
    assert_eq!(meter.finish(true).tokens, Some(used()));
}

#[test]
fn a_request_says_how_much_it_may_cost() {
    let body = br#"{"model":"gpt-5","messages":[{"role":"user","content":"\"stream\":false"}],"n":2,
        "max_tokens":100,"max_completion_tokens":300,"stream":true,"stream_options":{"include_usage":true}}"#;
    let asked = Asked::read(body);
    let expected = Asked {
        stream: true,
        include_usage: true,
        max_tokens: Some(300),
        choices: 2,
        model: ModelName::parse("gpt-5"),
    };
    assert_eq!(asked, expected);
    for odd in [
        &b""[..],
        b"[]",
        b"{",
        b"\xff",
        br#"{"n":-1,"max_tokens":"9","stream":"true","model":7}"#,
    ] {
        assert_eq!(Asked::read(odd), Asked::default());
    }
}

#[test]
fn a_stream_is_made_to_say_what_it_used_and_stays_itself_otherwise() {
    let cases = [
        (
            r#" { "stream" : true , "x":"é" }"#,
            Some(r#" {"stream_options":{"include_usage":true}, "stream" : true , "x":"é" }"#),
        ),
        (
            r#"{"stream":true,"stream_options":{"include_usage":false,"a":1},"y":2}"#,
            Some(r#"{"stream":true,"stream_options":{"a":1,"include_usage":true},"y":2}"#),
        ),
        (
            r#"{"stream":true,"stream_options":null}"#,
            Some(r#"{"stream":true,"stream_options":{"include_usage":true}}"#),
        ),
        (r#"{"stream":true,"stream_options":7}"#, None),
        (
            r#"{"stream":true,"stream_options":{"include_usage":true}}"#,
            None,
        ),
        (r#"{"stream":false}"#, None),
        ("no json", None),
    ];
    for (body, expected) in cases {
        let body = Bytes::from(body);
        let changed = Asked::read(&body).with_usage(&body);
        let changed = changed.map(|changed| String::from_utf8(changed.to_vec()).unwrap());
        assert_eq!(changed.as_deref(), expected);
    }
}

fn any_json() -> impl Strategy<Value = Value> {
    let names = || {
        prop_oneof![
            Just("usage"),
            Just("model"),
            Just("response"),
            Just("u\"s\\e"),
            Just("x")
        ]
    };
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<u32>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        ".{0,8}".prop_map(Value::from),
        Just(json!("usage\":{\"prompt_tokens\":1}")),
        Just(serde_json::from_str(USED).unwrap()),
    ];
    leaf.prop_recursive(5, 40, 5, move |inner| {
        let members = proptest::collection::vec((names(), inner.clone()), 0..5);
        let members = members.prop_map(|members| {
            Value::Object(
                members
                    .into_iter()
                    .map(|(name, value)| (name.to_owned(), value))
                    .collect(),
            )
        });
        prop_oneof![
            proptest::collection::vec(inner, 0..4).prop_map(Value::Array),
            members
        ]
    })
}

/// What `serde_json` finds where the meter looks.
fn oracle(value: &Value) -> (Option<Tokens>, Option<ModelName>) {
    let tokens = |value: &Value| {
        let text = value.to_string();
        super::usage_body::UsageBody::tokens(text.as_bytes())
    };
    let Value::Object(members) = value else {
        return (None, None);
    };
    let (mut used, mut model) = (None, None);
    // In the order in which they are written.
    for (name, value) in members {
        match (name.as_str(), value) {
            ("usage", value) => used = tokens(value),
            ("model", value) => model = value.as_str().and_then(ModelName::parse),
            ("response", Value::Object(inner)) => {
                for (name, value) in inner {
                    match name.as_str() {
                        "usage" => used = tokens(value),
                        "model" => model = value.as_str().and_then(ModelName::parse),
                        _ => {}
                    }
                }
            }
            _ => {}
        }
    }
    (used, model)
}

proptest! {
    #[test]
    fn a_meter_reads_what_serde_json_would_whatever_the_split(
        value in any_json(),
        pretty in any::<bool>(),
        at in any::<prop::sample::Index>(),
    ) {
        let text = if pretty { serde_json::to_string_pretty(&value) } else { serde_json::to_string(&value) }.unwrap();
        let (one, other) = text.as_bytes().split_at(at.index(text.len() + 1));
        let (measured, _) = metered(Meter::json(), &[one, other]);
        prop_assert_eq!((measured.tokens, measured.model), oracle(&value), "{}", text);
    }

    #[test]
    fn any_bytes_pass_as_they_came_in_whatever_pieces(
        bytes in proptest::collection::vec(prop_oneof![
            Just(b"\n".to_vec()), Just(b"\r".to_vec()), Just(b"data: ".to_vec()), Just(b"\"usage\"".to_vec()),
            Just(b"{\"choices\":[]}".to_vec()), proptest::collection::vec(any::<u8>(), 0..6)
        ], 0..40),
    ) {
        let pieces: Vec<&[u8]> = bytes.iter().map(Vec::as_slice).collect();
        let all = bytes.concat();
        for meter in [Meter::json(), Meter::events(false), Meter::events(true)] {
            let (_, passed) = metered(meter, &pieces);
            prop_assert_eq!(&passed, &all);
        }
    }
}
