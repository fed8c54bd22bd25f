//! Reads `[budgets]`: what each tier may spend, and how it is counted.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::bounds::{any, count};
use super::fields::{Fields, Key, key};
use super::sources::{Origin, Raw};
use super::values::{Usd, Value, quoted};
use crate::budget::{BudgetConfig, LimitKind, Limits, OnExhausted, Policy, WindowKind};

/// What tiers are told that have no table of their own.
const DEFAULT: &str = "default";

/// `[budgets]`
pub(super) fn budgets(fields: &mut Fields) -> BudgetConfig {
    let unset = BudgetConfig::default();
    BudgetConfig {
        time_zone: fields.read(&TIME_ZONE, unset.time_zone, |name: &String| time_zone(name)),
        window: fields.read(&WINDOW, unset.window, any),
        default_max_tokens: fields.read(&MAX_TOKENS, 4096, count(1..=100_000_000)) as u64,
        on_exhausted: fields.read(&ON_EXHAUSTED, unset.on_exhausted, any),
        thresholds: thresholds(fields),
        usage_me: fields.read(&USAGE_ME, false, any),
        tiers: tiers(fields),
        default: Arc::new(Policy {
            tier: DEFAULT.to_owned(),
            user: limits(fields, &USER),
            session: limits(fields, &SESSION),
        }),
    }
}

fn time_zone(name: &str) -> Result<(), String> {
    // Its own text repeats the name, which may be a secret in the wrong place.
    let fault = "must be the IANA name of a time zone such as \"Europe/Berlin\" or \"UTC\"";
    crate::budget::parse_zone(name)
        .map(drop)
        .map_err(|_| fault.to_owned())
}

fn thresholds(fields: &mut Fields) -> Vec<u8> {
    let percents = fields.read(&THRESHOLDS, vec![50, 80, 100], |percents: &Vec<usize>| {
        let ascend = percents.is_sorted_by(|a, b| a < b);
        let fit = percents.iter().all(|percent| (1..=100).contains(percent));
        let few = percents.len() <= 8;
        (ascend && fit && few).then_some(()).ok_or_else(|| {
            "must be up to 8 percentages from 1 to 100, each larger than the one before".to_owned()
        })
    });
    let percents = percents.into_iter();
    percents
        .filter_map(|percent| u8::try_from(percent).ok())
        .collect()
}

/// The limits of tiers without a table, each a key of its own.
fn limits(fields: &mut Fields, keys: &[Key; LimitKind::COUNT]) -> Limits {
    let mut limits = Limits::default();
    for (kind, key) in LimitKind::ALL.into_iter().zip(keys) {
        let limit = if kind.is_cost() {
            fields.optional(key, any).map(|Usd(nano)| nano)
        } else {
            fields.optional(key, any).map(|count: usize| count as u64)
        };
        limits.set(kind, limit);
    }
    limits
}

/// The tables of tiers, by name.
fn tiers(fields: &mut Fields) -> BTreeMap<String, Arc<Policy>> {
    let mut tiers = BTreeMap::new();
    let Some((Raw::Toml(value), origin)) = fields.find(&TIERS) else {
        fields.record(&TIERS, None, String::new(), Origin::Default);
        return tiers;
    };
    let Some(table) = value.as_table() else {
        fields.problem_at(&TIERS, &origin, "must be tables: [budgets.tiers.free]");
        return tiers;
    };
    for (name, value) in table {
        let path = format!("{}.{name}", TIERS.path);
        let Some(table) = value.as_table() else {
            fields.problem(&path, format!("must be a table: [{path}]"));
            continue;
        };
        tiers.insert(name.clone(), Arc::new(tier(fields, name, &path, table)));
    }
    fields.record(&TIERS, None, value_shown(&tiers), origin);
    tiers
}

fn tier(fields: &mut Fields, name: &str, path: &str, table: &toml::Table) -> Policy {
    let session = match table.get("session") {
        None => Limits::default(),
        Some(toml::Value::Table(session)) => {
            tier_limits(fields, &format!("{path}.session"), session)
        }
        Some(_) => {
            fields.problem(
                format!("{path}.session"),
                format!("must be a table: [{path}.session]"),
            );
            Limits::default()
        }
    };
    let own = table.iter().filter(|(key, _)| *key != "session");
    let own: toml::Table = own
        .map(|(key, value)| (key.clone(), value.clone()))
        .collect();
    Policy {
        tier: name.to_owned(),
        user: tier_limits(fields, path, &own),
        session,
    }
}

fn tier_limits(fields: &mut Fields, path: &str, table: &toml::Table) -> Limits {
    let mut limits = Limits::default();
    for (name, value) in table {
        let place = format!("{path}.{name}");
        let Some(kind) = LimitKind::ALL.into_iter().find(|kind| kind.label() == name) else {
            let known = LimitKind::ALL.map(LimitKind::label).join(", ");
            fields.problem(
                place,
                format!("is no limit: there are {known}, and session"),
            );
            continue;
        };
        let limit = if kind.is_cost() {
            Usd::from_toml(value).map(|Usd(nano)| nano)
        } else {
            usize::from_toml(value).map(|count| count as u64)
        };
        match limit {
            Ok(limit) => limits.set(kind, Some(limit)),
            Err(fault) => fields.problem(place, fault),
        }
    }
    limits
}

/// The tables in one line, as TOML.
fn value_shown(tiers: &BTreeMap<String, Arc<Policy>>) -> String {
    let limits = |limits: &Limits| -> Vec<String> {
        let shown = |(kind, limit): (LimitKind, u64)| {
            let value = if kind.is_cost() {
                Usd(limit).to_toml()
            } else {
                limit.to_string()
            };
            format!("{} = {value}", kind.label())
        };
        limits.iter().map(shown).collect()
    };
    let tier = |(name, policy): (&String, &Arc<Policy>)| {
        let mut parts = limits(&policy.user);
        let session = limits(&policy.session);
        if !session.is_empty() {
            parts.push(format!("session = {{ {} }}", session.join(", ")));
        }
        format!("{} = {{ {} }}", quoted(name), parts.join(", "))
    };
    let tiers: Vec<_> = tiers.iter().map(tier).collect();
    format!("{{ {} }}", tiers.join(", "))
}

impl Value for OnExhausted {
    fn from_text(text: &str) -> Result<Self, String> {
        match text {
            "finish" => Ok(Self::Finish),
            "cut" => Ok(Self::Cut),
            _ => Err("must be \"finish\" or \"cut\"".to_owned()),
        }
    }

    fn to_toml(&self) -> String {
        quoted(match self {
            Self::Finish => "finish",
            Self::Cut => "cut",
        })
    }
}

impl Value for WindowKind {
    fn from_text(text: &str) -> Result<Self, String> {
        match text {
            "calendar" => Ok(Self::Calendar),
            "sliding" => Ok(Self::Sliding),
            _ => Err("must be \"calendar\" or \"sliding\"".to_owned()),
        }
    }

    fn to_toml(&self) -> String {
        quoted(match self {
            Self::Calendar => "calendar",
            Self::Sliding => "sliding",
        })
    }
}

const TIME_ZONE: Key = key(
    "budgets.time_zone",
    "IANA name of the zone in which days and months begin.",
);
const WINDOW: Key = key(
    "budgets.window",
    "\"calendar\": days and months of the time zone; \"sliding\": the last 24 hours and 30 days.",
);
const MAX_TOKENS: Key = key(
    "budgets.default_max_tokens",
    "Reserved for an answer whose request sets no max_tokens, beside a quarter of its body's bytes.",
);
const ON_EXHAUSTED: Key = key(
    "budgets.on_exhausted",
    "A stream that uses a budget up may \"finish\", or is \"cut\" with an error in it.",
);
const THRESHOLDS: Key = key(
    "budgets.thresholds",
    "Percent of a budget at which budgets.webhook is told, once a window.",
);
const USAGE_ME: Key = key(
    "budgets.usage_me",
    "Offers GET /v1/usage/me: a signed-in user's own limits and use.",
);
const TIERS: Key = key(
    "budgets.tiers",
    "Limits by the session's tier, each a table with the keys of budgets.default; such a tier has these alone.",
)
.file_only()
.example("{ free = { requests_per_minute = 10, tokens_per_day = 50000, session = { usd_per_day = 0.5 } } }");

const USER: [Key; LimitKind::COUNT] = [
    key(
        "budgets.default.requests_per_minute",
        "Of one user whose tier has no table: requests a minute (429); 0 lets none through; default: no limit.",
    )
    .example("60"),
    key("budgets.default.concurrent_requests", "Requests at once (429).").example("4"),
    key("budgets.default.requests_per_day", "Requests a day (402).").example("2000"),
    key("budgets.default.tokens_per_day", "Tokens a day, of prompts and answers together (402).")
        .example("200000"),
    key("budgets.default.tokens_per_month", "Tokens a month (402).").example("2000000"),
    key(
        "budgets.default.usd_per_day",
        "US dollars a day, by the prices of metering (402).",
    )
    .example("1.50"),
    key("budgets.default.usd_per_month", "US dollars a month (402).").example("20"),
];
const SESSION: [Key; LimitKind::COUNT] = [
    key(
        "budgets.default.session.requests_per_minute",
        "The same of one session of a user.",
    )
    .example("30"),
    key(
        "budgets.default.session.concurrent_requests",
        "Requests at once (429).",
    )
    .example("2"),
    key(
        "budgets.default.session.requests_per_day",
        "Requests a day (402).",
    )
    .example("1000"),
    key(
        "budgets.default.session.tokens_per_day",
        "Tokens a day (402).",
    )
    .example("100000"),
    key(
        "budgets.default.session.tokens_per_month",
        "Tokens a month (402).",
    )
    .example("1000000"),
    key(
        "budgets.default.session.usd_per_day",
        "US dollars a day (402).",
    )
    .example("0.50"),
    key(
        "budgets.default.session.usd_per_month",
        "US dollars a month (402).",
    )
    .example("5"),
];
