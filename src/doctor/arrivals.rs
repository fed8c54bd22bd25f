//! Judges by the arrival of an event stream's frames whether something on the way held them back.
//!
//! Guarantees: every verdict is a matter of shares and counts, so that a slow machine cannot turn a
//! stream into a buffered one; where the frames cannot tell, no verdict is given.

use std::time::Duration;

/// Fewer frames than this say nothing.
pub(super) const FEWEST_FRAMES: usize = 3;

/// Neither does an answer that was over so soon: it would have come in one piece anyway.
const SHORTEST: Duration = Duration::from_millis(300);

/// Frames that came in one piece come closer together than this: what is buffered for longer than
/// [`SHORTEST`] and then let go needs no such time to arrive.
const SPREAD: Duration = Duration::from_millis(300);

/// What comes closer together than this came at once.
const APART: Duration = Duration::from_millis(3);

/// Fewer frames than this are not called clumped.
const FEWEST_CLUMPED: usize = 20;

/// As many frames in a piece are more than a quick model and a busy network put there.
const CLUMP: usize = 8;

/// Of all frames, so many percent at the end are a burst.
const BURST_PERCENT: usize = 90;

/// When the frames of one answer came, counted from the moment of asking.
#[derive(Clone, Debug, Default)]
pub(super) struct Arrivals {
    /// One entry for each frame, in order.
    frames: Vec<Duration>,
    /// Bursts in which they came.
    pieces: usize,
    /// When the last bytes of the last burst came.
    last: Option<Duration>,
}

/// What the arrivals tell.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// Too few frames to tell.
    TooFew,
    /// Over too soon to tell.
    TooShort,
    /// As they were written.
    Streamed,
    /// All at once, at the end.
    Buffered,
    /// Many at a time: a buffer that is let go when it is full.
    Clumped,
}

impl Arrivals {
    /// A piece of the answer that came at `at` and ended `frames` frames. What comes at once is one
    /// burst, however HTTP has cut it: a buffer may keep the chunks that it was given.
    pub(super) fn piece(&mut self, at: Duration, frames: usize) {
        if frames == 0 {
            return;
        }
        self.frames.extend(std::iter::repeat_n(at, frames));
        let is_new = self
            .last
            .is_none_or(|last| at.saturating_sub(last) >= APART);
        self.pieces += usize::from(is_new);
        self.last = Some(at);
    }

    /// How many frames came.
    pub(super) fn frames(&self) -> usize {
        self.frames.len()
    }

    /// In how many pieces.
    pub(super) fn pieces(&self) -> usize {
        self.pieces
    }

    /// From the moment of asking to the last frame.
    pub(super) fn duration(&self) -> Duration {
        self.frames.last().copied().unwrap_or_default()
    }

    /// From the moment of asking to the first frame.
    pub(super) fn first(&self) -> Duration {
        self.frames.first().copied().unwrap_or_default()
    }

    /// The verdict.
    pub(super) fn judge(&self) -> Verdict {
        let (count, duration) = (self.frames.len(), self.duration());
        if count < FEWEST_FRAMES {
            return Verdict::TooFew;
        }
        if duration < SHORTEST {
            return Verdict::TooShort;
        }
        let spread = duration.saturating_sub(self.first());
        let one_by_one = self.pieces * 2 >= count && spread >= SPREAD;
        if self.late_percent() >= BURST_PERCENT && !one_by_one {
            return Verdict::Buffered;
        }
        if count >= FEWEST_CLUMPED && self.pieces * CLUMP <= count {
            return Verdict::Clumped;
        }
        Verdict::Streamed
    }

    /// Of all frames, how many percent came within the last tenth of the duration.
    pub(super) fn late_percent(&self) -> usize {
        let tenth = self.duration() / 10;
        let from = self.duration().saturating_sub(tenth);
        let late = self.frames.iter().filter(|at| **at >= from).count();
        late * 100 / self.frames.len().max(1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Pieces, each at so many milliseconds and of so many frames.
    fn arrivals(pieces: impl IntoIterator<Item = (u64, usize)>) -> Arrivals {
        let mut arrivals = Arrivals::default();
        for (at, frames) in pieces {
            arrivals.piece(Duration::from_millis(at), frames);
        }
        arrivals
    }

    fn judge(pieces: impl IntoIterator<Item = (u64, usize)>) -> Verdict {
        arrivals(pieces).judge()
    }

    #[test]
    fn frames_that_come_as_they_are_written_are_streamed() {
        assert_eq!(judge((1..=60).map(|n| (n * 30, 1))), Verdict::Streamed);
        assert_eq!(judge([(100, 1), (400, 1), (700, 1)]), Verdict::Streamed);
        // A machine that stalled in the middle, and a network that joins frames.
        assert_eq!(
            judge((1..=30).map(|n| (n * 30 + if n > 5 { 2000 } else { 0 }, 2))),
            Verdict::Streamed
        );
    }

    #[test]
    fn what_comes_at_once_is_one_burst_however_it_was_cut() {
        let bursts =
            (1..=3_u64).flat_map(|burst| (0..45).map(move |at| (burst * 1500 + at / 20, 1)));
        assert_eq!(judge(bursts), Verdict::Clumped);
        assert_eq!(
            judge((0..90).map(|at| (2700 + at / 30, 1))),
            Verdict::Buffered
        );
    }

    #[test]
    fn frames_that_all_come_at_the_end_are_buffered() {
        assert_eq!(judge([(2700, 90)]), Verdict::Buffered);
        assert_eq!(
            judge([(2700, 40), (2701, 40), (2710, 10)]),
            Verdict::Buffered
        );
        // The first one got through before the buffer began.
        assert_eq!(judge([(20, 1), (2700, 60)]), Verdict::Buffered);
        assert_eq!(judge([(1000, 3)]), Verdict::Buffered);
    }

    #[test]
    fn a_model_that_thinks_long_and_then_streams_is_not_taken_for_a_buffer() {
        assert_eq!(
            judge((0..40).map(|n| (9000 + n * 15, 1))),
            Verdict::Streamed
        );
    }

    #[test]
    fn many_frames_at_a_time_are_clumped() {
        assert_eq!(judge((1..=4).map(|n| (n * 700, 25))), Verdict::Clumped);
    }

    #[test]
    fn too_little_is_no_verdict() {
        assert_eq!(judge([]), Verdict::TooFew);
        assert_eq!(judge([(5000, 2)]), Verdict::TooFew);
        assert_eq!(judge([(50, 90)]), Verdict::TooShort);
        assert_eq!(arrivals([(10, 0), (20, 2)]).pieces(), 1);
    }

    #[test]
    fn the_share_of_late_frames_is_counted_from_the_moment_of_asking() {
        assert_eq!(arrivals([(900, 1), (1000, 3)]).late_percent(), 100);
        assert_eq!(arrivals([(100, 1), (899, 1), (1000, 2)]).late_percent(), 50);
        assert_eq!(arrivals([]).late_percent(), 0);
    }
}
