//! Where an event stream stands: words of the gateway's own fit only between two events.

/// Whether an event stream stands between two events: at its start, or after a blank line.
#[derive(Default)]
pub(super) struct EventBoundary {
    /// The last bytes, newest last; `\r\n\r\n` is the longest blank line.
    tail: [u8; 4],
    seen: bool,
}

impl EventBoundary {
    /// `data` has passed.
    pub(super) fn advance(&mut self, data: &[u8]) {
        for &byte in data.get(data.len().saturating_sub(4)..).unwrap_or_default() {
            self.tail.rotate_left(1);
            self.tail[3] = byte;
            self.seen = true;
        }
    }

    /// Whether a new event, or a comment, can begin here.
    pub(super) fn is_at_boundary(&self) -> bool {
        !self.seen
            || self.tail.ends_with(b"\n\n")
            || self.tail.ends_with(b"\r\r")
            || self.tail == *b"\r\n\r\n"
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_event_ends_at_a_blank_line_however_it_is_cut_into_frames() {
        let at_boundary = |frames: &[&str]| {
            let mut events = EventBoundary::default();
            for frame in frames {
                events.advance(frame.as_bytes());
            }
            events.is_at_boundary()
        };
        assert!(at_boundary(&[]));
        assert!(at_boundary(&["data: x\n\n"]));
        assert!(at_boundary(&["data: x\n", "\n"]));
        assert!(at_boundary(&["data: x\r\n", "\r", "\n"]));
        assert!(at_boundary(&["data: x\r\r"]));
        assert!(!at_boundary(&["data: x\n"]));
        assert!(!at_boundary(&["data: x\n\n", "d"]));
        assert!(!at_boundary(&["data: x\n\r\n\r"]));
    }
}
