//! Who used what: one [`UsageRecord`] a request, where it goes, and what is kept of it to look at.
//!
//! Guarantees: no prompt, answer, token or cookie is in a record; the user stands in it as
//! configuration wants it; nothing here makes a request wait or fail.

mod ledger;
mod live;
mod per_thread;
mod record;
mod refusals;
mod report;
mod view;

pub use self::ledger::{AccountRow, Ledger, LedgerDelta, SeriesRow, Sums};
pub use self::live::{Live, LiveRequest, LiveRequests};
pub use self::record::UsageRecord;
pub use self::refusals::{RefusalCount, Refusals};
pub use self::report::{Query, QueryError, Report, Row, Split, Step};
pub use self::view::{AccountStanding, BudgetView, StoreState, UsageView};
