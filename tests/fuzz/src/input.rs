//! How the checks read their input: lines of text, so that seeds can be written and read by people.

use std::pin::pin;
use std::task::{Context, Poll, Waker};

use http::{HeaderMap, HeaderName, HeaderValue};

/// `data` without its first byte, and that byte: what a check uses to choose between its cases.
#[must_use]
pub fn choice(data: &[u8]) -> Option<(u8, &[u8])> {
    let (first, rest) = data.split_first()?;
    Some((*first, rest))
}

/// The first line of `data`, and what follows it.
#[must_use]
pub fn line(data: &[u8]) -> (&[u8], &[u8]) {
    match data.iter().position(|byte| *byte == b'\n') {
        Some(at) => (&data[..at], &data[at + 1..]),
        None => (data, &[]),
    }
}

/// Lines of `name: value` as headers, in their order; other lines are skipped.
#[must_use]
pub fn headers(data: &[u8]) -> HeaderMap {
    let mut headers = HeaderMap::new();
    // Far more than hyper lets through, and far fewer than a map can hold.
    for line in data.split(|byte| *byte == b'\n').take(1000) {
        let Some(colon) = line.iter().position(|byte| *byte == b':') else {
            continue;
        };
        let name = HeaderName::from_bytes(&line[..colon]);
        let value = HeaderValue::from_bytes(line[colon + 1..].trim_ascii());
        if let (Ok(name), Ok(value)) = (name, value) {
            headers.append(name, value);
        }
    }
    headers
}

/// The result of a future that has nothing to wait for, though it may yield.
pub fn ready<T>(future: impl Future<Output = T>) -> T {
    let mut future = pin!(future);
    let mut cx = Context::from_waker(Waker::noop());
    for _ in 0..1000 {
        if let Poll::Ready(result) = future.as_mut().poll(&mut cx) {
            return result;
        }
    }
    panic!("it waits");
}
