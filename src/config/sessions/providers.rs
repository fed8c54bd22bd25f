//! Reads `[[session.providers]]`: what all kinds have in common, and then what each has of its own.

use super::{Shared, claims, lookup, sealed, signed};
use crate::config::bounds::any;
use crate::config::fields::{Fields, Key, key};
use crate::config::sources::{Origin, Raw};
use crate::config::values::{Value, quoted};
use crate::session::{CookieName, Family, ProviderConfig, ProviderKind};

/// The list; `None` if there is none in the file.
pub(super) fn listed(fields: &mut Fields, shared: &Shared) -> Option<Vec<ProviderConfig>> {
    let Some((Raw::Toml(value), origin)) = fields.find(&PROVIDERS) else {
        fields.record(&PROVIDERS, None, String::new(), Origin::Default);
        let families = [sealed::KEYS, signed::KEYS, lookup::KEYS].concat();
        let own = claims::KEYS.into_iter().chain(families);
        for key in [&KIND, &COOKIE_NAMES].into_iter().chain(own) {
            fields.record(key, None, String::new(), Origin::Default);
        }
        return None;
    };
    fields.record(&PROVIDERS, None, String::new(), origin.clone());
    let tables: Option<Vec<toml::Table>> = value
        .as_array()
        .and_then(|items| items.iter().map(|item| item.as_table().cloned()).collect());
    let Some(tables) = tables.filter(|tables| !tables.is_empty()) else {
        let text = "must be a list of tables, one [[session.providers]] for each kind of session";
        fields.problem_at(&PROVIDERS, &origin, text);
        return Some(Vec::new());
    };
    let mut providers: Vec<ProviderConfig> = Vec::new();
    for (index, table) in tables.into_iter().enumerate() {
        let read = |fields: &mut Fields| provider(fields, shared);
        providers.extend(fields.in_entry(index, table, read));
    }
    let bearers = providers.iter().filter(|p| p.kind == ProviderKind::Bearer);
    if bearers.count() > 1 {
        let text = "holds several of kind \"bearer\": one Authorization cannot be for both";
        fields.problem_at(&PROVIDERS, &origin, text);
    }
    Some(providers)
}

/// Shows which kinds there are.
pub(super) fn show(fields: &mut Fields, providers: &[ProviderConfig]) {
    let kinds: Vec<ProviderKind> = providers.iter().map(|provider| provider.kind).collect();
    fields.show(PROVIDERS.path, kinds.to_toml());
}

fn provider(fields: &mut Fields, shared: &Shared) -> Option<ProviderConfig> {
    let before = fields.problems.len();
    let kind: Option<ProviderKind> = fields.optional(&KIND, any);
    if kind.is_none() && fields.problems.len() == before {
        let label = fields.label(&KIND);
        fields.problem(label, format!("is missing. {}", kinds()));
    }
    let Some(kind) = kind else {
        // What else is wrong with a table of no kind cannot be told.
        fields.skip_entry();
        return None;
    };
    let cookie_names: Option<Vec<CookieName>> = fields.optional(&COOKIE_NAMES, any);
    let mut cookie_names = cookie_names.unwrap_or_default();
    if kind == ProviderKind::Bearer && !cookie_names.is_empty() {
        let label = fields.label(&COOKIE_NAMES);
        fields.problem(
            label,
            "has no meaning for a bearer: it is read from Authorization",
        );
    }
    let claims = claims::rules(fields, &shared.claims, kind.default_claims());
    let format = match kind.family() {
        Family::Sealed => sealed::format(fields, kind, &cookie_names, shared),
        Family::Signed => signed::format(fields, kind, &claims, &mut cookie_names),
        Family::Lookup => Some(lookup::format(fields, kind, shared)),
    };
    if cookie_names.is_empty()
        && kind.default_cookie_names().is_empty()
        && kind != ProviderKind::Bearer
    {
        let label = fields.label(&COOKIE_NAMES);
        fields.problem(
            label,
            "is missing: the app chooses the name of this kind's cookie",
        );
    }
    Some(ProviderConfig {
        kind,
        cookie_names,
        claims,
        format: format?,
    })
}

const PROVIDERS: Key = key("session.providers", "").file_only();
const KIND: Key = key(
    "session.providers[].kind",
    "One of config/providers/, each with a page there. Required.",
)
.file_only()
.example("\"authjs-v5\"");
const COOKIE_NAMES: Key = key(
    "session.providers[].cookie_names",
    "Names to look for, in order; default: the library's own.",
)
.file_only()
.example("[\"__Secure-authjs.session-token\"]");

/// The sentence that names every kind.
fn kinds() -> String {
    let kinds: Vec<_> = ProviderKind::ALL
        .iter()
        .map(|kind| quoted(kind.label()))
        .collect();
    format!("Set it to one of {}.", kinds.join(", "))
}

impl Value for ProviderKind {
    fn from_text(text: &str) -> Result<Self, String> {
        Self::parse(text).ok_or_else(|| format!("is no kind of session. {}", kinds()))
    }

    fn to_toml(&self) -> String {
        quoted(self.label())
    }
}

impl Value for CookieName {
    fn from_text(text: &str) -> Result<Self, String> {
        let name = Self::parse(text);
        name.ok_or_else(|| "must be a cookie name: no spaces, no ; = or quotes".to_owned())
    }

    fn to_toml(&self) -> String {
        quoted(self.as_str())
    }
}
