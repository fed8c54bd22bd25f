//! Where budgets are counted.

pub mod redis;
