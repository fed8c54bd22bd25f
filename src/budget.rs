//! What a user may spend, and how that holds while requests are still under way: reserve an estimate
//! before, settle what was really used after.
//!
//! The rule, the same for every limit and in every store: a request is let through while what is used
//! and what is reserved, together, are below the limit; it then holds its own estimate. So a limit is
//! passed by one estimate at most, however many requests run side by side.

mod claim;
mod limits;
pub mod store;

pub use self::claim::{Amounts, Claim, Refused, Standing};
pub use self::limits::{LimitKind, Limits, Policy, Scope};
