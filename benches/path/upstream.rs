//! Behest, as far as this needs it: an answer of 1 KB at once, or a stream of events.

use std::net::SocketAddr;
use std::sync::Arc;

use tokio::io::AsyncWriteExt;

use crate::Error;
use crate::load::read_message;
use crate::servers::{listener, serve};

/// Events of a stream, beside the one that says what was used and the end.
pub(crate) const EVENTS: usize = 200;

const USAGE: &str = r#"{"prompt_tokens":120,"completion_tokens":200,"total_tokens":320,"prompt_tokens_details":{"cached_tokens":64}}"#;

/// Answers every request at once: with 1 KB of JSON, or where `"stream":true` was asked for with
/// [`EVENTS`] events of about 230 bytes, each a chunk that is sent by itself.
pub(crate) fn upstream() -> Result<SocketAddr, Error> {
    let listener = listener()?;
    let address = listener.local_addr()?;
    let (answer, stream) = (Arc::new(answer()), Arc::new(stream()));
    serve("upstream", listener, move |mut socket| {
        let (answer, stream) = (Arc::clone(&answer), Arc::clone(&stream));
        async move {
            let mut buffer = vec![0; 16 * 1024];
            while let Ok(true) = read_message(&mut socket, &mut buffer).await {
                let asks = b"\"stream\":true";
                let is_stream = buffer.windows(asks.len()).any(|part| part == asks);
                let pieces = if is_stream { &*stream } else { &*answer };
                for piece in pieces {
                    if socket.write_all(piece).await.is_err() {
                        return;
                    }
                    tokio::task::yield_now().await;
                }
                buffer.fill(0);
            }
        }
    })?;
    Ok(address)
}

fn answer() -> Vec<Vec<u8>> {
    let content = "y".repeat(680);
    let body = format!(
        r#"{{"id":"chatcmpl-0123456789","object":"chat.completion","created":1795430000,"model":"gpt-5.2-2026-01-15","choices":[{{"index":0,"message":{{"role":"assistant","content":"{content}"}},"finish_reason":"stop"}}],"usage":{USAGE}}}"#
    );
    let answer = format!(
        "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\nx-request-id: r\r\nx-trace-id: t\r\n\
         content-length: {}\r\n\r\n{body}",
        body.len()
    );
    vec![answer.into_bytes()]
}

fn stream() -> Vec<Vec<u8>> {
    let event = |choices: &str, usage: &str| {
        format!(
            "data: {{\"id\":\"chatcmpl-0123456789\",\"object\":\"chat.completion.chunk\",\"created\":1795430000,\"model\":\"gpt-5.2-2026-01-15\",\"choices\":{choices},\"usage\":{usage}}}\n\n"
        )
    };
    let word = r#"[{"index":0,"delta":{"content":" metering"},"finish_reason":null}]"#;
    let words = std::iter::repeat_n(event(word, "null"), EVENTS);
    let last = [event("[]", USAGE), "data: [DONE]\n\n".to_owned()];
    let head =
        "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n";
    let chunks = words.chain(last);
    let chunks = chunks.map(|event| format!("{:x}\r\n{event}\r\n", event.len()).into_bytes());
    std::iter::once(head.as_bytes().to_vec())
        .chain(chunks)
        .chain([b"0\r\n\r\n".to_vec()])
        .collect()
}
