//! Who used what: one [`UsageRecord`] a request, where it goes, and what is kept of it to look at.
//!
//! Guarantees: no prompt, answer, token or cookie is in a record; the user stands in it as
//! configuration wants it; nothing here makes a request wait or fail.

mod config;
mod ledger;
mod line;
mod live;
mod per_thread;
mod privacy;
mod record;
mod refusals;
mod report;
mod sink;
mod sinks;
#[cfg(test)]
mod testing;
mod thresholds;
mod view;

pub use self::config::{Target, UsageConfig, Users};
pub use self::ledger::{
    AccountRow, Ledger, LedgerDelta, LedgerFile, SeriesRow, SharedLedger, Sums,
};
pub use self::live::{Live, LiveRequest, LiveRequests};
pub use self::privacy::UserPrivacy;
pub use self::record::UsageRecord;
pub use self::refusals::{RefusalCount, Refusals};
pub use self::report::{Query, QueryError, Report, Row, Scope, Split, Step};
pub use self::sink::{FileConfig, Receiver, ReceiverError, SinkCounts, SpoolConfig, WebhookConfig};
pub use self::sinks::{Sinks, SinksConfig};
pub use self::thresholds::{ThresholdPassed, Thresholds};
pub use self::view::{AccountStanding, BudgetView, StoreState, UsageView};
