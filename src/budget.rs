//! What a user may spend, and how that holds while requests are still under way: reserve an estimate
//! before, settle what was really used after.
//!
//! The rule, the same for every limit and in every store: a request is let through while what is used
//! and what is reserved, together, are below the limit; it then holds its own estimate. So a limit is
//! passed by one estimate at most, however many requests run side by side.

mod account;
mod claim;
mod config;
pub mod journal;
mod limits;
pub mod store;
mod threshold;
pub mod window;

pub use self::claim::{Amounts, Claim, OverBudget, Refused, Standing};
pub use self::config::{BudgetConfig, OnExhausted, StoreConfig};
pub use self::limits::{LimitKind, Limits, Policy, Scope};
pub use self::store::{Permit, Store};
pub use self::threshold::{Bell, Crossed, Thresholds};
pub use self::window::{WindowKind, parse_zone};
