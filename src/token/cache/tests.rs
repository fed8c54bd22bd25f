//! The cache against a scripted mint: time stands still unless a test moves it, no socket is opened.

mod adoption;
mod bounds;
mod failures;
mod flights;
mod refresh;
mod renewals;

use std::time::Duration;

const fn seconds(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

const fn millis(millis: u64) -> Duration {
    Duration::from_millis(millis)
}
