//! Counts the frames of an event stream as they come, and reads of them only what a verdict needs.
//!
//! Guarantees: bounded memory; of an error in the stream only its code word is kept, and only if it
//! is one.

/// A longer line is skipped to its end: no verdict needs it.
const LONGEST_LINE: usize = 64 * 1024;

/// What an event stream has held so far (HTML standard, section "Server-sent events").
#[derive(Debug, Default)]
pub(super) struct Events {
    line: Vec<u8>,
    /// The event that is under way has data.
    has_data: bool,
    /// Comments, which servers send so that a silent connection stays open.
    pub(super) heartbeats: usize,
    /// `data: [DONE]` came, with which OpenAI's streams end.
    pub(super) done: bool,
    /// The code of an error that came as an event.
    pub(super) error: Option<String>,
}

impl Events {
    /// Reads a piece of the stream; how many events ended in it.
    pub(super) fn read(&mut self, piece: &[u8]) -> usize {
        let mut ended = 0;
        for &byte in piece {
            if byte != b'\n' {
                if self.line.len() < LONGEST_LINE {
                    self.line.push(byte);
                }
                continue;
            }
            let line = std::mem::take(&mut self.line);
            ended += usize::from(self.line(line.trim_ascii_end()));
        }
        ended
    }

    /// Whether `line` ends an event.
    fn line(&mut self, line: &[u8]) -> bool {
        if line.is_empty() {
            return std::mem::take(&mut self.has_data);
        }
        if line.starts_with(b":") {
            self.heartbeats += 1;
        } else if let Some(data) = line.strip_prefix(b"data:") {
            self.has_data = true;
            let data = data.trim_ascii_start();
            self.done |= data == b"[DONE]";
            if self.error.is_none() && data.starts_with(b"{\"error\"") {
                self.error = Some(code(data));
            }
        }
        false
    }
}

/// The code word of an error object.
fn code(data: &[u8]) -> String {
    let value: serde_json::Value = serde_json::from_slice(data).unwrap_or_default();
    let code = value.pointer("/error/code").and_then(|code| code.as_str());
    let is_word = |code: &&str| {
        (1..=64).contains(&code.len())
            && code
                .bytes()
                .all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_')
    };
    code.filter(is_word).unwrap_or("unknown").to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn events_are_counted_wherever_the_pieces_are_cut() {
        let stream =
            b"data: {\"a\":1}\n\n: ping\n\nid: 7\r\ndata: x\r\ndata: y\r\n\r\ndata: [DONE]\n\n";
        for size in 1..=stream.len() {
            let mut events = Events::default();
            let ended: usize = stream.chunks(size).map(|piece| events.read(piece)).sum();
            assert_eq!(
                (ended, events.heartbeats, events.done),
                (3, 1, true),
                "{size}"
            );
        }
    }

    #[test]
    fn an_event_that_is_not_finished_does_not_count() {
        let mut events = Events::default();
        assert_eq!(events.read(b"data: a\n\ndata: [DONE]\n"), 1);
        assert_eq!(events.read(b"\n"), 1);
    }

    #[test]
    fn of_an_error_only_its_code_word_is_kept() {
        let read = |data: &str| {
            let mut events = Events::default();
            events.read(format!("data: {data}\n\n").as_bytes());
            events.error
        };
        let code = |text: &str| Some(text.to_owned());
        assert_eq!(
            read(r#"{"error":{"code":"upstream_cut","message":"secret"}}"#),
            code("upstream_cut")
        );
        assert_eq!(read(r#"{"error":{"code":"A secret!"}}"#), code("unknown"));
        assert_eq!(read(r#"{"error":"#), code("unknown"));
        assert_eq!(read(r#"{"choices":[]}"#), None);
    }

    #[test]
    fn a_line_without_end_takes_no_more_memory() {
        let mut events = Events::default();
        for _ in 0..10 {
            events.read(&[b'x'; 16 * 1024]);
        }
        assert_eq!(events.line.len(), LONGEST_LINE);
    }
}
