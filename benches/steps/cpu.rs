//! The CPU time of the whole process: threads that write and count in the background are in it, and what
//! else the machine does is not.

use std::time::Duration;

use rustix::time::{ClockId, clock_gettime};

/// So far.
fn spent() -> Duration {
    let time = clock_gettime(ClockId::ProcessCPUTime);
    let seconds = u64::try_from(time.tv_sec).unwrap_or_default();
    Duration::new(seconds, u32::try_from(time.tv_nsec).unwrap_or_default())
}

/// What `work` takes.
pub(crate) fn cpu_time(work: impl FnOnce()) -> Duration {
    let before = spent();
    work();
    spent().saturating_sub(before)
}
