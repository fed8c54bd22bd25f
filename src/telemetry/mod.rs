//! What operators see: metrics and logs.

pub mod access_log;
mod chain;
pub mod labels;
pub mod line_budget;
pub mod logging;
pub mod metrics;

pub use chain::chain;
