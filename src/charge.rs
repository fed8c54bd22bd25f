//! What one request costs its user: claimed before it goes up, read as the answer passes, settled and
//! told when it ends.
//!
//! Guarantees: a request that was claimed for is settled or released exactly once, however it ends; the
//! answer passes byte for byte as it came, but for the one event that the gateway itself asked for.
//!
//! What an answer did not say is never put into a record. A budget must still be charged for a stream
//! that its reader broke off, or nobody who stops early would ever pay: then what is charged is a quarter of
//! the prompt's bytes and one token for each event that passed.

mod accounting;
mod charger;
mod charging;
mod counters;
mod names;
mod watcher;

pub use self::accounting::{Accounting, AccountingError, privacy};
pub use self::charger::{Asking, ChargeTerms, Charger, Unclaimed};
pub use self::charging::Charge;
