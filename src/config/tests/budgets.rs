//! Budgets, stores, prices and records: what is refused, in which words, and what is warned of.

use super::*;

/// The only problem of `toml`, without its number.
fn refused(toml: &str, more: &[(&str, &str)]) -> String {
    let text = refusal(toml, more);
    assert!(text.starts_with("1 problem "), "{text}");
    text.split_once("1. ").unwrap().1.to_owned()
}

fn warnings(toml: &str, more: &[(&str, &str)]) -> Vec<String> {
    load_file(toml, more).unwrap().warnings
}

#[test]
fn a_zone_that_nobody_knows_is_refused_with_one_that_everybody_does() {
    for zone in ["Europe/Atlantis", "+01:00", "../../etc/passwd"] {
        let text = refused(&format!("budgets.time_zone = \"{zone}\""), &[]);
        let said = "must be the IANA name of a time zone such as \"Europe/Berlin\" or \"UTC\"";
        assert!(text.contains(said), "{zone}: {text}");
        assert!(text.contains("budgets.time_zone"), "{text}");
    }
    load_file("budgets.time_zone = \"Asia/Kathmandu\"", &[]).unwrap();
}

#[test]
fn limits_that_are_none_are_refused_by_their_place() {
    let cases = [
        ("[budgets.default]\ntokens_per_week = 5", "tokens_per_week"),
        (
            "[budgets.default]\ntokens_per_day = -5",
            "budgets.default.tokens_per_day",
        ),
        (
            "[budgets.default]\nusd_per_day = \"a lot\"",
            "budgets.default.usd_per_day",
        ),
        (
            "[budgets.default]\nusd_per_day = -0.5",
            "budgets.default.usd_per_day",
        ),
        (
            "[budgets.tiers]\nfree = 5",
            "budgets.tiers.free must be a table: [budgets.tiers.free]",
        ),
        (
            "[budgets.tiers.free]\nsession = 5",
            "[budgets.tiers.free.session]",
        ),
        (
            "[budgets.tiers.free]\ntokens = 5",
            "is no limit: there are requests_per_minute, ",
        ),
        (
            "[budgets.tiers.free.session]\ntokens_per_day = 1.5",
            "budgets.tiers.free.session.tokens_per_day",
        ),
        (
            "budgets.thresholds = [80, 50]",
            "each larger than the one before",
        ),
        ("budgets.thresholds = [0]", "percentages from 1 to 100"),
        (
            "budgets.on_exhausted = \"stop\"",
            "must be \"finish\" or \"cut\"",
        ),
        (
            "budgets.window = \"daily\"",
            "must be \"calendar\" or \"sliding\"",
        ),
        (
            "budgets.default_max_tokens = 0",
            "budgets.default_max_tokens",
        ),
    ];
    for (toml, said) in cases {
        let text = refusal(toml, &[]);
        assert!(text.contains(said), "{toml}: {text}");
    }
}

#[test]
fn limits_of_a_tier_are_its_own_and_shown_as_they_are_written() {
    let toml = "[budgets.default]\ntokens_per_day = 7\n[budgets.tiers.pro]\nusd_per_day = 0.25\n\
                [budgets.tiers.pro.session]\nconcurrent_requests = 2";
    let loaded = load_file(toml, &[]).unwrap();
    let pro = loaded.config.budgets.policy(Some("pro"));
    let limits: Vec<_> = pro.user.iter().collect();
    assert_eq!(
        limits,
        [(crate::budget::LimitKind::CostPerDay, 250_000_000)]
    );
    let shown = &setting(&loaded, "budgets.tiers").shown;
    assert_eq!(
        shown,
        "{ \"pro\" = { usd_per_day = 0.25, session = { concurrent_requests = 2 } } }"
    );
    let other = loaded.config.budgets.policy(Some("other"));
    assert_eq!(other.tier, "default");
    assert_eq!(other.user.iter().count(), 1);
}

#[test]
fn a_store_that_cannot_be_one_is_refused_with_what_to_write() {
    let redis = ("GATEWAY_STORE__KIND", "redis");
    let at = |url: &'static str| [redis, ("GATEWAY_STORE__URL", url)];
    let cases: [(&[(&str, &str)], &str); 7] = [
        (
            &[redis],
            "store.url is missing: store.kind is \"redis\". Set GATEWAY_STORE__URL=redis://host:6379",
        ),
        (&at("http://cache:6379"), "redis://"),
        (&at("cache"), "redis://"),
        (
            &at("redis://a:6379,rediss://b:6379"),
            "write all of them the same way",
        ),
        (
            &[
                redis,
                ("GATEWAY_STORE__URL", "redis://a:6379/2"),
                ("GATEWAY_STORE__MODE", "cluster"),
            ],
            "a cluster has only 0",
        ),
        (
            &[
                redis,
                ("GATEWAY_STORE__URL", "redis://a:26379"),
                ("GATEWAY_STORE__MODE", "sentinel"),
            ],
            "set store.sentinel_name",
        ),
        (
            &[
                redis,
                ("GATEWAY_STORE__URL", "redis://a:6379"),
                ("GATEWAY_STORE__PREFIX", "a{b}"),
            ],
            "store.prefix",
        ),
    ];
    for (more, said) in cases {
        let text = refused("", more);
        assert!(text.contains(said), "{more:?}: {text}");
    }
    let text = refused("", &at("redis://someone:hunter2-hunter2@[::1:6379"));
    assert!(!text.contains("hunter2"), "{text}");
}

#[test]
fn a_folder_that_cannot_be_written_is_refused_with_what_to_mount() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("file");
    std::fs::write(&file, "").unwrap();
    let relative = "must be an absolute path";
    let text = refused("", &[("GATEWAY_STORE__PATH", "state")]);
    assert!(text.contains(relative), "{text}");
    // A folder in a file: nobody can make one, whoever runs the test.
    let below = file.join("below");
    let below = below.to_string_lossy();
    let text = refused("", &[("GATEWAY_STORE__PATH", &below)]);
    assert!(
        text.contains("Mount a volume there that the gateway's user may write to"),
        "{text}"
    );
    for key in [
        "GATEWAY_USAGE__FILE__PATH",
        "GATEWAY_USAGE__WEBHOOK__SPOOL_PATH",
    ] {
        let text = refused("", &[(key, &below)]);
        assert!(text.contains("cannot be written: "), "{key}: {text}");
        let text = refused("", &[(key, "state")]);
        assert!(text.contains(relative), "{key}: {text}");
    }
}

#[test]
fn receivers_are_urls_and_plaintext_over_the_net_is_warned_of() {
    for key in ["usage", "budgets"] {
        let url = format!("GATEWAY_{}__WEBHOOK__URL", key.to_uppercase());
        for wrong in ["billing.example", "ftp://billing.example/x", ":"] {
            let text = refused("", &[(&url, wrong)]);
            assert!(text.contains("https://billing.example"), "{wrong}: {text}");
        }
        let limit = "budgets.default.requests_per_minute = 5";
        assert_eq!(warnings(limit, &[(&url, "http://127.0.0.1:9/x")]), [""; 0]);
        assert_eq!(warnings(limit, &[(&url, "https://a.example/x")]), [""; 0]);
        let open = (&*url, "http://billing.example/x");
        let said = warnings(limit, &[open]).concat();
        let warned = format!("{key}.webhook.url begins with http://: what is told there travels");
        assert!(said.starts_with(&warned), "{said}");
        let token = url.replace("URL", "TOKEN");
        let said = warnings(limit, &[open, (&token, SECRET)]).concat();
        assert!(said.contains("and its token, travels"), "{said}");
    }
}

#[test]
fn a_table_of_prices_is_refused_with_every_fault_in_it() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("prices.toml");
    let path = file.to_string_lossy();
    let with = |text: &str| {
        std::fs::write(&file, text).unwrap();
        refusal("", &[("GATEWAY_METERING__PRICE_FILE", &path)])
    };
    let text = with(
        "date = \"2026-01-01\"\n[models.a]\nprompt = -1\ncompletion = 2\n[models.b]\nprompt = 1\n",
    );
    assert!(text.contains("metering.price_file"), "{text}");
    assert!(text.starts_with("2 problems "), "{text}");
    let text = with("this is no table");
    assert!(text.contains("metering.price_file"), "{text}");
    let text = refusal(
        "",
        &[("GATEWAY_METERING__PRICE_FILE", "/nowhere/prices.toml")],
    );
    assert!(text.contains("metering.price_file"), "{text}");
    let text = refused(
        "[metering]\ndefault_price = { prompt = \"dear\", completion = 1 }",
        &[],
    );
    assert!(text.contains("metering.default_price"), "{text}");
}

#[test]
fn budgets_that_a_restart_forgets_are_warned_of_and_rates_are_not() {
    let day = "[budgets.tiers.free.session]\ntokens_per_day = 5";
    let said = warnings(day, &[]).concat();
    assert!(
        said.starts_with("budgets are counted in memory only: "),
        "{said}"
    );
    assert!(said.contains("Set store.path"), "{said}");
    let folder = tempfile::tempdir().unwrap();
    let kept = folder.path().join("state");
    let kept = kept.to_string_lossy();
    assert_eq!(warnings(day, &[("GATEWAY_STORE__PATH", &kept)]), [""; 0]);
    let redis = [
        ("GATEWAY_STORE__KIND", "redis"),
        ("GATEWAY_STORE__URL", "redis://127.0.0.1"),
    ];
    assert_eq!(warnings(day, &redis), [""; 0]);
    let rate = "[budgets.default]\nrequests_per_minute = 5\nconcurrent_requests = 1";
    assert_eq!(warnings(rate, &[]), [""; 0]);
}

#[test]
fn limits_that_count_nothing_are_warned_of() {
    let folder = tempfile::tempdir().unwrap();
    let kept = folder.path().join("state");
    let kept = [("GATEWAY_STORE__PATH", &*kept.to_string_lossy())];
    let dollars = "budgets.default.usd_per_day = 5\n";
    let said = warnings(dollars, &kept).concat();
    assert!(
        said.starts_with("budgets limit dollars, and metering.default_price is not set"),
        "{said}"
    );
    let priced = format!("{dollars}metering.default_price = {{ prompt = 3, completion = 9 }}");
    assert_eq!(warnings(&priced, &kept), [""; 0]);
    let unread = "budgets.default.tokens_per_day = 5\nmetering.enabled = false";
    let said = warnings(unread, &kept).concat();
    assert!(
        said.starts_with("metering.enabled is false, and budgets limit"),
        "{said}"
    );
    let said = warnings("budgets.usage_me = true", &[]).concat();
    assert!(
        said.starts_with("budgets.usage_me is set, but no limit"),
        "{said}"
    );
}

#[test]
fn settings_of_the_other_store_are_warned_of() {
    let url = ("GATEWAY_STORE__URL", "redis://127.0.0.1");
    let said = warnings("", &[url]).concat();
    assert!(said.contains("set store.kind = \"redis\""), "{said}");
    let folder = tempfile::tempdir().unwrap();
    let kept = folder.path().join("state");
    let both = [
        url,
        ("GATEWAY_STORE__KIND", "redis"),
        ("GATEWAY_STORE__PATH", &*kept.to_string_lossy()),
    ];
    let said = warnings("", &both).concat();
    assert!(
        said.starts_with("store.path is set, but store.kind is \"redis\""),
        "{said}"
    );
}
