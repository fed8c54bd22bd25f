//! What a request used: tokens read from the answer as it passes, and what they cost.
//!
//! Guarantees: no frame waits for it, its memory is bounded, and nothing is invented: an answer that
//! does not say what it used is [`Certainty::Unknown`].

mod asked;
mod config;
mod event;
mod meter;
mod price;
mod prices;
mod scan;
#[cfg(test)]
mod tests;
mod tokens;
mod usage_body;

pub use self::asked::Asked;
pub use self::config::MeteringConfig;
pub use self::meter::Meter;
pub use self::price::Price;
pub use self::prices::PriceTable;
pub use self::tokens::{Certainty, Cost, Measured, ModelName, Tokens};
