//! Reads `[metering]`: what answers used, and what that costs.

use std::path::PathBuf;
use std::sync::Arc;

use super::bounds::any;
use super::fields::{Fields, Key, key};
use super::sources::{Origin, Raw};
use crate::metering::{MeteringConfig, Price, PriceTable};

/// `[metering]`; `None` only with a problem.
pub(super) fn metering(fields: &mut Fields) -> Option<MeteringConfig> {
    let enabled = fields.read(&ENABLED, true, any);
    let ask_upstream = fields.read(&ASK_UPSTREAM, false, any);
    let prices = prices(fields);
    let default = default_price(fields);
    Some(MeteringConfig {
        enabled,
        ask_upstream,
        prices: Arc::new(prices?.with_default(default)),
    })
}

/// The table of the file that is named, else the built-in one.
fn prices(fields: &mut Fields) -> Option<PriceTable> {
    let path: Option<PathBuf> = fields.optional(&PRICE_FILE, any);
    let origin = fields.last_origin();
    let parsed = match path {
        None => PriceTable::built_in(),
        Some(path) => {
            let content = fields.read_file(&PRICE_FILE, &origin, &path)?;
            match std::str::from_utf8(&content) {
                Ok(text) => PriceTable::parse(text),
                Err(_) => Err(vec!["is not UTF-8".to_owned()]),
            }
        }
    };
    match parsed {
        Ok(table) => Some(table),
        Err(faults) => {
            for fault in faults {
                fields.problem_at(
                    &PRICE_FILE,
                    &origin,
                    format!("names a table of prices in which {fault}"),
                );
            }
            None
        }
    }
}

fn default_price(fields: &mut Fields) -> Option<Price> {
    let Some((Raw::Toml(value), origin)) = fields.find(&DEFAULT_PRICE) else {
        fields.record(&DEFAULT_PRICE, None, String::new(), Origin::Default);
        return None;
    };
    let parsed = match value.as_table() {
        Some(table) => Price::parse(table),
        None => Err(vec![format!("must be a table: {}", DEFAULT_PRICE.example)]),
    };
    match parsed {
        Ok(price) => {
            let shown = value.to_string();
            fields.record(&DEFAULT_PRICE, None, shown, origin);
            Some(price)
        }
        Err(faults) => {
            for fault in faults {
                fields.problem_at(&DEFAULT_PRICE, &origin, fault);
            }
            None
        }
    }
}

const ENABLED: Key = key(
    "metering.enabled",
    "Read tokens from answers as they pass. Budgets of tokens and dollars need it.",
);
const ASK_UPSTREAM: Key = key(
    "metering.ask_upstream",
    "Ask for usage (stream_options.include_usage) in streams that did not, and take the extra event out.",
);
const PRICE_FILE: Key = key(
    "metering.price_file",
    "TOML file of prices, of the form of config/prices.toml; default: that table, which is built in and dated.",
)
.example("\"/etc/behest-gateway/prices.toml\"");
const DEFAULT_PRICE: Key = key(
    "metering.default_price",
    "US dollars for a million tokens of models that no entry names; default: such models have no cost.",
)
.file_only()
.example("{ prompt = 2.5, completion = 10 }");
