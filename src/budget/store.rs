//! Where budgets are counted.

pub mod redis;

pub use self::redis::{Known, News, SharedLog};
