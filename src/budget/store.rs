//! Where budgets are counted.

pub mod redis;

pub use self::redis::{News, SharedLog};
