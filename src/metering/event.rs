//! Events of a stream: where they end, and what data they carry (WHATWG HTML section 9.2.6).

use std::borrow::Cow;

use serde::Deserialize;
use serde::de::IgnoredAny;

/// One whole event.
pub(super) struct Event<'e> {
    /// Where it ends in the bytes that it was found in, its blank line included.
    pub(super) end: usize,
    /// Its data, lines joined.
    pub(super) data: Cow<'e, [u8]>,
}

/// Where in `data` the last event ends that is complete; `before` is what came of it already.
pub(super) fn last_end(before: &[u8], data: &[u8]) -> Option<usize> {
    let byte_before = |at: usize| match at.checked_sub(1) {
        Some(at) => data.get(at),
        None => before.last(),
    };
    let two_before = |at: usize| match at.checked_sub(2) {
        Some(at) => data.get(at),
        None => before
            .len()
            .checked_sub(2 - at)
            .and_then(|at| before.get(at)),
    };
    let mut end = data.len();
    while let Some(at) = memchr::memrchr2(b'\n', b'\r', data.get(..end)?) {
        // A line ends here: it is blank if the one before ends right before it.
        let is_crlf = data.get(at) == Some(&b'\n') && byte_before(at) == Some(&b'\r');
        let last_of_line = if is_crlf {
            two_before(at)
        } else {
            byte_before(at)
        };
        if matches!(last_of_line, Some(b'\n' | b'\r')) {
            return Some(at + 1);
        }
        end = at;
    }
    None
}

/// The events of `bytes`, which end with the end of one.
pub(super) fn events(bytes: &[u8]) -> impl Iterator<Item = Event<'_>> {
    let mut at = 0;
    std::iter::from_fn(move || {
        let rest = bytes.get(at..).filter(|rest| !rest.is_empty())?;
        let (length, data) = first(rest);
        at += length;
        Some(Event { end: at, data })
    })
}

/// The length of the first event of `bytes`, and its data.
fn first(bytes: &[u8]) -> (usize, Cow<'_, [u8]>) {
    let mut data: Option<Cow<'_, [u8]>> = None;
    let mut at = 0;
    while let Some(rest) = bytes.get(at..).filter(|rest| !rest.is_empty()) {
        let length = memchr::memchr2(b'\n', b'\r', rest).unwrap_or(rest.len());
        let (line, ending) = rest.split_at(length);
        at += length + usize::from(!ending.is_empty()) + usize::from(ending.starts_with(b"\r\n"));
        if line.is_empty() {
            // One that follows no line is no part of the event that comes.
            break;
        }
        // A BOM can only stand before the first line of all.
        let line = line.strip_prefix(b"\xef\xbb\xbf").unwrap_or(line);
        if let Some(value) = line.strip_prefix(b"data:") {
            let value = value.strip_prefix(b" ").unwrap_or(value);
            match &mut data {
                None => data = Some(Cow::Borrowed(value)),
                Some(data) => {
                    data.to_mut().push(b'\n');
                    data.to_mut().extend_from_slice(value);
                }
            }
        }
    }
    (at, data.unwrap_or_default())
}

/// Whether `data` is a chunk of a chat without choices, which is what only says what was used.
pub(super) fn has_no_choices(data: &[u8]) -> bool {
    #[derive(Deserialize)]
    struct Chunk {
        choices: Vec<IgnoredAny>,
    }
    serde_json::from_slice::<Chunk>(data).is_ok_and(|chunk| chunk.choices.is_empty())
}
