//! What an answer used, read as it passes: [`Meter`].
//!
//! A JSON answer is scanned as it comes. An event stream is cut at its blank lines (WHATWG HTML section
//! 9.2.6), and only events in which `"usage"` stands are read: of all others nothing is kept and nothing
//! is looked at but where they end. Where the gateway itself asked for usage, the event that came of it
//! is taken out: of such a stream an event that is not yet complete waits, which no reader could have
//! used before its end anyway. All other bytes pass at once, as they came.

use std::sync::LazyLock;

use bytes::{Bytes, BytesMut};
use memchr::memmem::Finder;

use super::event::{self, Event};
use super::scan::Scan;
use super::{Certainty, Measured, ModelName, Tokens};

/// A longer event is not read, and does not wait, bytes.
const LONGEST_EVENT: usize = 16 * 1024;

// Made once: making one costs more than a chunk's reading.
static DATA: LazyLock<Finder<'_>> = LazyLock::new(|| Finder::new("data:"));
static USAGE: LazyLock<Finder<'_>> = LazyLock::new(|| Finder::new("\"usage\""));

/// Whether `bytes` may say what was used: every chunk of a stream that is asked to says `"usage":null`.
fn may_say_usage(bytes: &[u8]) -> bool {
    USAGE.find_iter(bytes).any(|at| {
        let value = bytes.get(at + USAGE.needle().len()..).unwrap_or_default();
        let value = value.trim_ascii_start();
        let value = value.strip_prefix(b":").unwrap_or_default();
        !value.trim_ascii_start().starts_with(b"null")
    })
}

/// Reads one answer.
pub struct Meter {
    kind: Kind,
    tokens: Option<Tokens>,
    model: Option<ModelName>,
    events: u64,
}

enum Kind {
    Json(Scan),
    Events(Events),
}

#[derive(Default)]
struct Events {
    /// The event that is not yet complete.
    begun: BytesMut,
    /// Whether it is longer than can be read: the rest of it passes unread.
    is_too_long: bool,
    /// Whether the event that only the gateway asked for is taken out.
    takes_out: bool,
    /// After an event that ended with a CR, whose LF may come yet: whether it was taken out.
    after_cr: Option<bool>,
}

impl Meter {
    /// For an answer that is one JSON object.
    #[must_use]
    pub fn json() -> Self {
        Self::new(Kind::Json(Scan::default()))
    }

    /// For an event stream; `takes_out` the event that says what it used.
    #[must_use]
    pub fn events(takes_out: bool) -> Self {
        Self::new(Kind::Events(Events {
            takes_out,
            ..Events::default()
        }))
    }

    fn new(kind: Kind) -> Self {
        Self {
            kind,
            tokens: None,
            model: None,
            events: 0,
        }
    }

    /// Reads `data`, and returns what of it, and of what waited, is to be passed on.
    pub fn passed(&mut self, data: Bytes) -> Bytes {
        match &mut self.kind {
            Kind::Json(scan) => {
                scan.read(&data);
                data
            }
            Kind::Events(_) => self.passed_events(data),
        }
    }

    /// Whether something waits.
    #[must_use]
    pub fn has_rest(&self) -> bool {
        match &self.kind {
            Kind::Events(events) => events.takes_out && events.waiting() > 0,
            Kind::Json(_) => false,
        }
    }

    /// What still waits when the answer has ended.
    pub fn rest(&mut self) -> Option<Bytes> {
        match &mut self.kind {
            Kind::Events(events) if events.takes_out && events.waiting() > 0 => {
                let late = events.begun.len() - events.waiting();
                Some(events.begun.split().freeze().slice(late..))
            }
            Kind::Events(_) | Kind::Json(_) => None,
        }
    }

    /// Events that have passed: of a chat's stream at least as many as tokens of its answer, less a few.
    #[must_use]
    pub fn count(&self) -> u64 {
        self.events
    }

    /// What was read; `whole`: the answer came to its end.
    #[must_use]
    pub fn finish(self, whole: bool) -> Measured {
        let (tokens, model) = match self.kind {
            Kind::Json(scan) => scan.finish(),
            Kind::Events(_) => (self.tokens, self.model),
        };
        let certainty = match (tokens, whole) {
            (Some(_), _) => Certainty::Known,
            (None, true) => Certainty::Unknown,
            (None, false) => Certainty::Partial,
        };
        Measured {
            tokens,
            certainty,
            model,
        }
    }

    fn passed_events(&mut self, data: Bytes) -> Bytes {
        let Kind::Events(events) = &mut self.kind else {
            return data;
        };
        let takes_out = events.takes_out;
        let (mut complete, untouched) = events.complete(&data);
        let is_late_lf = complete.first() == Some(&b'\n');
        let late = events.after_cr.filter(|_| is_late_lf);
        if late == Some(true) {
            complete = complete.slice(1..);
        }
        if !complete.is_empty() {
            events.after_cr = (complete.last() == Some(&b'\r')).then_some(false);
        }
        self.events += DATA.find_iter(&complete).count() as u64;
        let has_usage = may_say_usage(&complete);
        let needs_model = self.model.is_none();
        let passing = if !complete.is_empty() && (has_usage || needs_model) {
            self.look_into(
                &complete,
                usize::from(late == Some(false)),
                takes_out && has_usage,
            )
        } else {
            complete
        };
        if !takes_out {
            return data;
        }
        if untouched.is_empty() {
            return passing;
        }
        let mut joined = BytesMut::from(passing.as_ref());
        joined.extend_from_slice(&untouched);
        joined.freeze()
    }

    /// Reads whole events, which begin at `at`; returns them, where one is to be taken out without it.
    fn look_into(&mut self, complete: &Bytes, mut at: usize, takes_out: bool) -> Bytes {
        let mut kept: Option<BytesMut> = None;
        let mut last_is_extra = false;
        let begin = at;
        for Event { end, data } in event::events(complete.get(begin..).unwrap_or_default()) {
            let end = begin + end;
            let has_usage = complete.get(at..end).is_some_and(may_say_usage);
            if !has_usage && self.model.is_some() {
                if let Some(kept) = &mut kept {
                    kept.extend_from_slice(complete.get(at..end).unwrap_or_default());
                }
                at = end;
                last_is_extra = false;
                continue;
            }
            let mut scan = Scan::default();
            scan.read(&data);
            let (tokens, model) = scan.finish();
            self.model = model.or_else(|| self.model.take());
            let is_extra = takes_out && tokens.is_some() && event::has_no_choices(&data);
            self.tokens = tokens.or(self.tokens);
            if is_extra {
                kept.get_or_insert_with(|| BytesMut::from(complete.get(..at).unwrap_or_default()));
            } else if let Some(kept) = &mut kept {
                kept.extend_from_slice(complete.get(at..end).unwrap_or_default());
            }
            at = end;
            last_is_extra = is_extra;
        }
        if let Kind::Events(Events {
            after_cr: Some(taken),
            ..
        }) = &mut self.kind
        {
            *taken = last_is_extra;
        }
        kept.map_or_else(|| complete.clone(), BytesMut::freeze)
    }
}

impl Events {
    /// How much waits: not the LF of an event that was taken out up to its CR.
    fn waiting(&self) -> usize {
        let is_late = self.after_cr == Some(true) && self.begun.first() == Some(&b'\n');
        self.begun.len() - usize::from(is_late)
    }

    /// The events that `data` completes, and what of an event is too long to wait and passes unread.
    fn complete(&mut self, data: &Bytes) -> (Bytes, Bytes) {
        let none = Bytes::new();
        let Some(end) = event::last_end(&self.begun, data) else {
            if self.is_too_long {
                return (none, data.clone());
            }
            self.begun.extend_from_slice(data);
            if self.begun.len() > LONGEST_EVENT {
                self.is_too_long = true;
                return (none, self.begun.split().freeze());
            }
            return (none.clone(), none);
        };
        let rest = data.slice(end..);
        let ended = data.slice(..end);
        let complete = if self.begun.is_empty() {
            ended
        } else {
            self.begun.extend_from_slice(&ended);
            self.begun.split().freeze()
        };
        // Its end belongs to an event whose beginning has passed unread.
        self.is_too_long = false;
        self.begun.extend_from_slice(&rest);
        (complete, none)
    }
}
