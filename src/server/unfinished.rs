//! On HTTP/2: since when something has begun on a connection that must soon be whole: its preface, a
//! frame, or a header block of several frames.
//!
//! hyper waits for the rest of them for ever. DATA is not judged here: how slowly a body may come is
//! its own matter.

use tokio::time::Instant;

/// The client's connection preface, bytes (RFC 9113 section 3.4).
const PREFACE: usize = 24;

/// Frame types and the flag that decide (RFC 9113 sections 4.1, 6.1, 6.2, 6.10).
const DATA: u8 = 0;
const HEADERS: u8 = 1;
const CONTINUATION: u8 = 9;
const END_HEADERS: u8 = 4;

/// Reads along with a connection.
pub(super) struct Unfinished {
    /// What is left of the preface, and then of the frame.
    left: usize,
    /// The frame is DATA.
    is_data: bool,
    /// The bytes of the next frame's head that have come.
    head: [u8; 9],
    filled: usize,
    /// A header block goes on in the next frame.
    in_block: bool,
    since: Option<Instant>,
}

impl Unfinished {
    /// Before the first byte, which has come.
    pub(super) fn begun(now: Instant) -> Self {
        Self {
            left: PREFACE,
            is_data: false,
            head: [0; 9],
            filled: 0,
            in_block: false,
            since: Some(now),
        }
    }

    /// Since when the rest is waited for; `None` between two frames, and within DATA.
    pub(super) fn since(&self) -> Option<Instant> {
        self.since
    }

    /// `bytes` have come.
    pub(super) fn advance(&mut self, mut bytes: &[u8], now: Instant) {
        while let Some((&byte, rest)) = bytes.split_first() {
            if self.left > 0 {
                let taken = self.left.min(bytes.len());
                self.left -= taken;
                bytes = bytes.get(taken..).unwrap_or_default();
            } else {
                if let Some(place) = self.head.get_mut(self.filled) {
                    *place = byte;
                }
                self.filled += 1;
                bytes = rest;
                if self.filled == self.head.len() {
                    self.filled = 0;
                    self.begin_frame();
                }
            }
            if self.is_whole() {
                self.since = None;
            }
        }
        if !self.is_whole() {
            self.since.get_or_insert(now);
        }
    }

    fn begin_frame(&mut self) {
        let [high, middle, low, kind, flags, ..] = self.head;
        let length = u32::from_be_bytes([0, high, middle, low]);
        self.left = usize::try_from(length).unwrap_or(usize::MAX);
        self.is_data = kind == DATA;
        if matches!(kind, HEADERS | CONTINUATION) {
            self.in_block = flags & END_HEADERS == 0;
        }
    }

    fn is_whole(&self) -> bool {
        self.filled == 0 && !self.in_block && (self.left == 0 || self.is_data)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn frame(kind: u8, flags: u8, payload: &[u8]) -> Vec<u8> {
        let length = u8::try_from(payload.len()).unwrap();
        [&[0, 0, length, kind, flags, 0, 0, 0, 1], payload].concat()
    }

    /// After the preface and `bytes`, in pieces of `size`, one a second: for how long the rest of
    /// something is waited for.
    fn waited(bytes: &[u8], size: usize) -> Option<Duration> {
        let mut now = Instant::now();
        let mut unfinished = Unfinished::begun(now);
        unfinished.advance(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", now);
        assert!(unfinished.since().is_none());
        for piece in bytes.chunks(size) {
            now += Duration::from_secs(1);
            unfinished.advance(piece, now);
        }
        unfinished.since().map(|since| now - since)
    }

    #[test]
    fn whole_frames_are_not_waited_for_however_they_are_cut() {
        let settings = frame(4, 0, &[0; 12]);
        let headers = frame(HEADERS, END_HEADERS, b"block");
        let split = [
            frame(HEADERS, 0, b"bl"),
            frame(CONTINUATION, END_HEADERS, b"ock"),
        ]
        .concat();
        let all = [settings, headers, split, frame(DATA, 0, b"body")].concat();
        for size in [1, 2, 3, 7, 9, 10, 64, 1024] {
            assert_eq!(waited(&all, size), None, "pieces of {size}");
        }
    }

    #[test]
    fn what_is_not_whole_is_waited_for_since_its_first_byte() {
        let second = Duration::from_secs(1);
        let headers = frame(HEADERS, END_HEADERS, b"block");
        assert_eq!(waited(&headers[..4], 1), Some(second * 3));
        assert_eq!(waited(&headers[..12], 1), Some(second * 11));
        let open = [frame(HEADERS, 0, b"bl"), frame(CONTINUATION, 0, b"")].concat();
        assert_eq!(waited(&open, open.len() / 2), Some(second));
        // One that begins after another has ended.
        let next = [headers.clone(), headers[..3].to_vec()].concat();
        assert_eq!(waited(&next, 1), Some(second * 2));
    }

    #[test]
    fn a_body_is_judged_elsewhere() {
        let data = frame(DATA, 0, b"a slow body");
        assert_eq!(waited(&data[..12], 1), None);
    }

    #[test]
    fn the_preface_is_waited_for_since_the_connections_first_byte() {
        let now = Instant::now();
        let mut unfinished = Unfinished::begun(now);
        unfinished.advance(b"PRI * HTTP/2.0", now + Duration::from_secs(5));
        assert_eq!(unfinished.since(), Some(now));
    }
}
