//! What configuration says of metering (`[metering]`).

use std::sync::Arc;

use super::prices::PriceTable;

/// `[metering]`, checked.
#[derive(Clone, Debug)]
pub struct MeteringConfig {
    /// Whether answers are read at all; default true.
    pub enabled: bool,
    /// Whether streams are made to say what they used; default false.
    pub ask_upstream: bool,
    /// What tokens cost.
    pub prices: Arc<PriceTable>,
}
