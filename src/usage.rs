//! Who used what: one [`UsageRecord`] a request, where it goes, and what is kept of it to look at.
//!
//! Guarantees: no prompt, answer, token or cookie is in a record; the user stands in it as
//! configuration wants it; nothing here makes a request wait or fail.

mod line;
mod privacy;
mod record;
mod sink;
mod sinks;
#[cfg(test)]
mod testing;
mod thresholds;

pub use self::privacy::UserPrivacy;
pub use self::record::UsageRecord;
pub use self::sink::{FileConfig, Receiver, ReceiverError, SinkCounts, SpoolConfig, WebhookConfig};
pub use self::sinks::{Sinks, SinksConfig};
pub use self::thresholds::{ThresholdPassed, Thresholds};
