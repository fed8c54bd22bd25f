//! A claim that was granted, until it is settled or released.
//!
//! Guarantees: each is told once; one that is dropped unsettled, and a claim whose answer nobody heard,
//! are released.

use std::sync::Arc;

use super::super::super::{Amounts, Standing};
use super::hold::{Hold, Seen};
use super::{Inner, standings};
use crate::clock::Now;

/// What a request holds while it is under way. Dropped, it is released.
#[must_use]
#[derive(Debug)]
pub struct Permit {
    inner: Arc<Inner>,
    /// None where there are no limits, or it is settled.
    hold: Option<Arc<Hold>>,
    standings: Vec<Standing>,
}

impl Permit {
    pub(super) fn unlimited(inner: &Arc<Inner>) -> Self {
        Self {
            inner: Arc::clone(inner),
            hold: None,
            standings: Vec::new(),
        }
    }

    /// How the limits stand with it, in the order in which they were given.
    #[must_use]
    pub fn standings(&self) -> &[Standing] {
        &self.standings
    }

    /// It used this much. Returns at once.
    pub fn settle(mut self, used: Amounts) {
        self.end(Some(used));
    }

    /// It used nothing. Returns at once; the same as dropping it.
    pub fn release(self) {}

    fn end(&mut self, used: Option<Amounts>) {
        let Some(hold) = self.hold.take() else {
            return;
        };
        let inner = &self.inner;
        inner.holds().remove(&hold.number);
        if !inner.link.is_up() {
            inner.local.end(&hold, used);
        }
        match used {
            Some(used) => inner.outbox.settle(hold, used),
            None => inner.outbox.free(hold),
        }
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        self.end(None);
    }
}

/// A claim that is being asked for. Dropped after it was sent, it is released.
pub(super) struct Asked {
    inner: Arc<Inner>,
    hold: Arc<Hold>,
    /// The store may hold it.
    is_sent: bool,
}

impl Asked {
    pub(super) fn new(inner: &Arc<Inner>, hold: Hold) -> Self {
        Self {
            inner: Arc::clone(inner),
            hold: Arc::new(hold),
            is_sent: false,
        }
    }

    pub(super) fn hold(&self) -> &Hold {
        &self.hold
    }

    pub(super) fn sent(&mut self) {
        self.is_sent = true;
    }

    /// The store said that it holds nothing.
    pub(super) fn refused(mut self) {
        self.is_sent = false;
    }

    /// It is held, by the store or, where `local` says during which absence, here.
    pub(super) fn granted(mut self, seen: &[Seen], local: Option<u64>, now: Now) -> Permit {
        self.is_sent = false;
        let standings = standings(&self.hold, seen, self.hold.estimate, now);
        if let Some(hold) = Arc::get_mut(&mut self.hold) {
            hold.local = local;
            for (span, seen) in hold.spans.iter_mut().zip(seen) {
                span.window = seen.window;
            }
        }
        let hold = Arc::clone(&self.hold);
        self.inner.holds().insert(hold.number, Arc::clone(&hold));
        Permit {
            inner: Arc::clone(&self.inner),
            hold: Some(hold),
            standings,
        }
    }
}

impl Drop for Asked {
    fn drop(&mut self) {
        if self.is_sent {
            self.inner.outbox.free(Arc::clone(&self.hold));
        }
    }
}
