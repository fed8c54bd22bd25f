//! The table of prices: which model costs what, and by which few names metrics call models.
//!
//! Guarantees: a model that no entry names has the default price or none, never another's; labels are
//! the table's own names and `other`, however many models there are.

use std::cmp::Reverse;
use std::collections::BTreeMap;

use toml::{Table, Value};

use super::price::Price;
use super::tokens::{Cost, MAX_MODEL, ModelName, Tokens};

/// The table that is built in, dated; `metering.price_file` replaces it.
const BUILT_IN: &str = include_str!("../../config/prices.toml");

/// The label of models that no entry names.
const OTHER: &str = "other";

/// Entries at most: each is a label.
const MAX_MODELS: usize = 1000;

/// Prices by model.
#[derive(Clone, Debug)]
pub struct PriceTable {
    date: String,
    entries: Vec<Entry>,
    /// Folded names to their place in `entries`.
    exact: BTreeMap<String, usize>,
    /// Folded beginnings and their places, the longest first.
    beginnings: Vec<(String, usize)>,
    default: Option<Price>,
}

/// One model's entry, or that of all whose names begin alike.
#[derive(Clone, Debug)]
struct Entry {
    /// As it is written in the table.
    name: String,
    price: Price,
}

impl PriceTable {
    /// The table that is built in.
    ///
    /// # Errors
    /// Never: a test reads it.
    pub fn built_in() -> Result<Self, Vec<String>> {
        Self::parse(BUILT_IN)
    }

    /// Reads a table: `date = "2026-11-01"` and for each model `[models."name"]` with `prompt`, `cached`
    /// and `completion`, in US dollars for a million tokens. A name may end in `*`.
    ///
    /// # Errors
    /// Every problem, with its fix.
    pub fn parse(text: &str) -> Result<Self, Vec<String>> {
        let table: Table = text.parse().map_err(|error: toml::de::Error| {
            vec![format!("is not TOML: {}", error.to_string().trim_end())]
        })?;
        let mut problems = Vec::new();
        for key in table.keys() {
            if !matches!(key.as_str(), "date" | "models") {
                problems.push(format!(
                    "{} is unknown: a price table has date and models",
                    key.escape_debug()
                ));
            }
        }
        let date = date(table.get("date")).map_err(|problem| problems.push(problem));
        let mut read = Self {
            date: date.unwrap_or_default(),
            entries: Vec::new(),
            exact: BTreeMap::new(),
            beginnings: Vec::new(),
            default: None,
        };
        read.add_all(table.get("models"), &mut problems);
        read.beginnings
            .sort_by_key(|(beginning, _)| Reverse(beginning.len()));
        if problems.is_empty() {
            Ok(read)
        } else {
            Err(problems)
        }
    }

    /// With a price for the models that no entry names.
    #[must_use]
    pub fn with_default(self, default: Option<Price>) -> Self {
        Self { default, ..self }
    }

    /// Whether models that no entry names have a price.
    #[must_use]
    pub fn has_default(&self) -> bool {
        self.default.is_some()
    }

    /// The day as of which the prices are.
    #[must_use]
    pub fn date(&self) -> &str {
        &self.date
    }

    /// The price of `model`.
    #[must_use]
    pub fn price(&self, model: &ModelName) -> Option<&Price> {
        let own = self.index(model).and_then(|index| self.entries.get(index));
        own.map(|entry| &entry.price).or(self.default.as_ref())
    }

    /// What `tokens` of `model` cost; `None` where it has no price. A model that is not known costs the
    /// default price.
    #[must_use]
    pub fn cost(&self, model: Option<&ModelName>, tokens: &Tokens) -> Option<Cost> {
        let price = match model {
            Some(model) => self.price(model),
            None => self.default.as_ref(),
        };
        price.map(|price| price.cost(tokens))
    }

    /// What metrics call `model`: its entry's name as it is written, or `other`.
    #[must_use]
    pub fn label(&self, model: Option<&ModelName>) -> &str {
        let index = model.and_then(|model| self.index(model));
        let entry = index.and_then(|index| self.entries.get(index));
        entry.map_or(OTHER, |entry| &entry.name)
    }

    /// Every label that [`PriceTable::label`] gives.
    pub fn labels(&self) -> impl Iterator<Item = &str> {
        let names = self.entries.iter().map(|entry| entry.name.as_str());
        names.chain([OTHER])
    }

    /// The place of `model` in [`PriceTable::labels`].
    #[must_use]
    pub fn place(&self, model: Option<&ModelName>) -> usize {
        let index = model.and_then(|model| self.index(model));
        index.unwrap_or(self.entries.len())
    }

    fn index(&self, model: &ModelName) -> Option<usize> {
        let mut folded = [0; MAX_MODEL];
        let name = folded.get_mut(..model.as_str().len())?;
        name.copy_from_slice(model.as_str().as_bytes());
        name.make_ascii_lowercase();
        let name = std::str::from_utf8(name).ok()?;
        self.exact.get(name).copied().or_else(|| {
            let begins = |(beginning, _): &&(String, usize)| name.starts_with(beginning.as_str());
            self.beginnings.iter().find(begins).map(|(_, index)| *index)
        })
    }

    fn add_all(&mut self, models: Option<&Value>, problems: &mut Vec<String>) {
        let Some(Value::Table(models)) = models else {
            problems.push(
                "models is missing: give each model a table like [models.\"gpt-5.2\"]".to_owned(),
            );
            return;
        };
        if models.len() > MAX_MODELS {
            problems.push(format!(
                "models has more than {MAX_MODELS} entries: use names that end in *"
            ));
            return;
        }
        for (name, value) in models {
            if let Err(found) = self.add(name, value) {
                let at = name.escape_debug();
                let found = found.iter().map(|text| format!("models.\"{at}\" {text}"));
                problems.extend(found);
            }
        }
    }

    fn add(&mut self, name: &str, value: &Value) -> Result<(), Vec<String>> {
        let folded = name.to_ascii_lowercase();
        let beginning = folded.strip_suffix('*');
        let stem = beginning.unwrap_or(&folded);
        if ModelName::parse(stem).is_none() {
            return Err(vec![
                "is no name of a model: 1 to 96 visible ASCII characters, and * only after them"
                    .to_owned(),
            ]);
        }
        if stem.contains('*') {
            return Err(vec![
                "has a * before its end: keep only the last".to_owned(),
            ]);
        }
        let Value::Table(price) = value else {
            return Err(vec![
                "is no table: give it prompt and completion".to_owned(),
            ]);
        };
        let taken = match beginning {
            Some(stem) => self.beginnings.iter().any(|(known, _)| known == stem),
            None => self.exact.contains_key(stem),
        };
        if taken {
            return Err(vec![
                "is there twice, for capitals make no difference: keep one of them".to_owned(),
            ]);
        }
        let price = Price::parse(price)?;
        let index = self.entries.len();
        match beginning {
            Some(stem) => self.beginnings.push((stem.to_owned(), index)),
            None => {
                self.exact.insert(folded, index);
            }
        }
        let name = name.to_owned();
        self.entries.push(Entry { name, price });
        Ok(())
    }
}

/// The table's date, as a text or as a date of TOML.
fn date(value: Option<&Value>) -> Result<String, String> {
    let text = match value {
        Some(Value::String(text)) => text.clone(),
        Some(Value::Datetime(date)) => date.to_string(),
        None => {
            return Err(
                "date is missing: say as of which day the prices are, like \"2026-11-01\""
                    .to_owned(),
            );
        }
        Some(_) => String::new(),
    };
    // TOML knows how long months are.
    let parsed = text.parse::<toml::value::Datetime>().ok();
    match parsed {
        Some(read) if read.date.is_some() && read.time.is_none() => Ok(text),
        _ => Err("date is no day: write it like \"2026-11-01\"".to_owned()),
    }
}

#[cfg(test)]
mod tests;
