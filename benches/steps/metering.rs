//! What metering costs: reading what is asked and what an answer says, chunk by chunk, and its price.

use std::hint::black_box;

use behest_gateway::metering::{Asked, Meter, ModelName, PriceTable, Tokens};
use bytes::Bytes;
use criterion::Criterion;

/// A request of 400 bytes.
pub(crate) fn body() -> Bytes {
    let content = "x".repeat(330);
    let body = format!(
        r#"{{"model":"gpt-5.2","max_tokens":512,"messages":[{{"role":"user","content":"{content}"}}]}}"#
    );
    body.into()
}

/// An answer of 1 KB, as OpenAI writes it.
pub(crate) fn answer() -> Bytes {
    let content = "y".repeat(640);
    let answer = format!(
        r#"{{"id":"chatcmpl-0123456789","object":"chat.completion","created":1795430000,"model":"gpt-5.2-2026-01-15","choices":[{{"index":0,"message":{{"role":"assistant","content":"{content}","refusal":null}},"logprobs":null,"finish_reason":"stop"}}],"usage":{USAGE}}}"#
    );
    answer.into()
}

const USAGE: &str = r#"{"prompt_tokens":1200,"completion_tokens":300,"total_tokens":1500,"prompt_tokens_details":{"cached_tokens":800,"audio_tokens":0}}"#;

/// An event of a stream; `usage` is a last member.
fn event(choices: &str, usage: &str) -> Bytes {
    let event = format!(
        "data: {{\"id\":\"chatcmpl-0123456789\",\"object\":\"chat.completion.chunk\",\"created\":1795430000,\"model\":\"gpt-5.2-2026-01-15\",\"choices\":{choices}{usage}}}\n\n"
    );
    event.into()
}

/// Chunks of a stream one after the other through one meter, which has seen the first.
fn chunks(criterion: &mut Criterion) {
    let word =
        r#"[{"index":0,"delta":{"content":" metering"},"logprobs":null,"finish_reason":null}]"#;
    let plain = event(word, "");
    let null = event(word, r#","usage":null"#);
    let half = plain.len() / 2;
    let subjects = [
        ("chunk", false, vec![plain.clone()]),
        (
            "chunk in two",
            false,
            vec![plain.slice(..half), plain.slice(half..)],
        ),
        ("chunk, usage null", false, vec![null.clone()]),
        ("chunk, swallowing", true, vec![null]),
    ];
    for (name, takes_out, pieces) in subjects {
        let mut meter = Meter::events(takes_out);
        meter.passed(plain.clone());
        criterion.bench_function(&format!("metering/{name}"), |bench| {
            bench.iter(|| {
                for piece in &pieces {
                    black_box(meter.passed(black_box(piece.clone())));
                }
            });
        });
    }
}

pub(crate) fn metering(criterion: &mut Criterion) {
    let body = body();
    criterion.bench_function("metering/asked 400 B", |bench| {
        bench.iter(|| Asked::read(black_box(&body)));
    });
    let streaming =
        Bytes::from(String::from_utf8_lossy(&body).replacen('{', "{\"stream\":true,", 1));
    let asked = Asked::read(&streaming);
    criterion.bench_function("metering/ask upstream", |bench| {
        bench.iter(|| asked.with_usage(black_box(&streaming)));
    });
    let answer = answer();
    criterion.bench_function("metering/answer 1 KB", |bench| {
        bench.iter(|| {
            let mut meter = Meter::json();
            let passed = meter.passed(black_box(answer.clone()));
            (passed, meter.finish(true))
        });
    });
    chunks(criterion);
    let usage = format!(",\"usage\":{USAGE}");
    let last = event("[]", &usage);
    for (name, takes_out) in [("last chunk", false), ("last chunk, swallowed", true)] {
        criterion.bench_function(&format!("metering/{name}"), |bench| {
            bench.iter(|| {
                let mut meter = Meter::events(takes_out);
                let passed = meter.passed(black_box(last.clone()));
                (passed, meter.finish(true))
            });
        });
    }
    let prices = PriceTable::built_in().unwrap();
    let model = ModelName::parse("gpt-5.2-2026-01-15");
    let tokens = Tokens {
        prompt: 1_200,
        cached: 800,
        completion: 300,
        total: 1_500,
    };
    criterion.bench_function("metering/cost", |bench| {
        bench.iter(|| prices.cost(black_box(model.as_ref()), &tokens));
    });
}
