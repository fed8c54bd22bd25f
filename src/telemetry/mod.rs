//! What operators see: metrics and logs.

pub mod access_log;
pub mod labels;
pub mod logging;
pub mod metrics;
