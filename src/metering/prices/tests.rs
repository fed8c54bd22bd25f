//! Which entry a model finds, and what is told of a table that cannot be used.

use super::*;

fn model(name: &str) -> ModelName {
    ModelName::parse(name).unwrap()
}

const TABLE: &str = r#"
date = 2026-11-01
[models]
"gpt-5*" = { prompt = 1, completion = 10 }
"gpt-5-mini*" = { prompt = 2, completion = 10 }
"GPT-5-mini-2026" = { prompt = 3, completion = 10 }
"#;

fn table() -> PriceTable {
    PriceTable::parse(TABLE).unwrap()
}

#[test]
fn an_exact_name_comes_first_then_the_longest_beginning() {
    let table = table();
    for (name, label, prompt) in [
        ("gpt-5", "gpt-5*", 1),
        ("gpt-5.2-pro", "gpt-5*", 1),
        ("gpt-5-mini", "gpt-5-mini*", 2),
        ("Gpt-5-Mini-2027", "gpt-5-mini*", 2),
        ("gpt-5-mini-2026", "GPT-5-mini-2026", 3),
    ] {
        assert_eq!(table.label(Some(&model(name))), label, "{name}");
        let price = table.price(&model(name)).unwrap();
        assert_eq!(price.prompt, prompt * 1_000_000, "{name}");
    }
}

#[test]
fn a_stranger_has_the_default_price_or_none_and_is_called_other() {
    let tokens = Tokens {
        prompt: 1_000_000,
        ..Tokens::default()
    };
    let stranger = model("gpt-4");
    assert_eq!(table().label(Some(&stranger)), "other");
    assert_eq!(table().label(None), "other");
    assert_eq!(table().cost(Some(&stranger), &tokens), None);
    let default = Price {
        prompt: 7_000_000,
        cached: 0,
        completion: 0,
    };
    let priced = table().with_default(Some(default));
    for model in [Some(&stranger), None] {
        assert_eq!(priced.cost(model, &tokens), Some(Cost(7_000_000_000)));
    }
    let own = priced.cost(Some(&model("gpt-5")), &tokens);
    assert_eq!(own, Some(Cost(1_000_000_000)));
}

#[test]
fn labels_are_the_tables_names_and_other() {
    let labels: Vec<_> = table().labels().map(str::to_owned).collect();
    assert_eq!(labels.len(), 4);
    assert_eq!(labels[3], "other");
    assert!(labels.contains(&"GPT-5-mini-2026".to_owned()));
}

#[test]
fn the_built_in_table_is_dated_and_prices_what_is_well_known() {
    let table = PriceTable::built_in().unwrap();
    assert_eq!(table.date().len(), 10);
    for name in [
        "gpt-5.2",
        "gpt-5.2-2026-01-01",
        "gpt-4o-mini",
        "claude-sonnet-4-5",
    ] {
        assert!(table.price(&model(name)).is_some(), "{name}");
    }
    let mini = table.price(&model("gpt-4o-mini-2024-07-18")).unwrap();
    assert_eq!(
        (mini.prompt, mini.cached, mini.completion),
        (150_000, 75_000, 600_000)
    );
}

#[test]
fn every_problem_of_a_table_is_told_at_once_with_its_fix() {
    let text = r#"
date = "2026-02-30"
currency = "EUR"
[models.loss]
prompt = -1
completion = 1
[models."GPT-5*"]
prompt = 1
completion = 1
[models."gPt-5*"]
prompt = 1
completion = 1
[models.""]
prompt = 1
completion = 1
[models."*"]
prompt = 1
completion = 1
[models."a*b"]
prompt = 1
completion = 1
[models]
flat = 3
"#;
    let problems = PriceTable::parse(text).unwrap_err();
    for expected in [
        "date is no day",
        "currency is unknown",
        "models.\"loss\" prompt is negative",
        "models.\"gPt-5*\" is there twice",
        "models.\"\" is no name",
        "models.\"*\" is no name",
        "models.\"a*b\" has a *",
        "models.\"flat\" is no table",
    ] {
        let told = problems.iter().filter(|text| text.starts_with(expected));
        assert_eq!(told.count(), 1, "{expected}: {problems:#?}");
    }
    assert_eq!(problems.len(), 8, "{problems:#?}");
}

#[test]
fn a_date_and_models_are_needed_and_toml_is_too() {
    let problems = PriceTable::parse("").unwrap_err();
    assert!(problems[0].starts_with("date is missing"), "{problems:?}");
    assert!(problems[1].starts_with("models is missing"), "{problems:?}");
    assert!(PriceTable::parse("models = ").unwrap_err()[0].starts_with("is not TOML"));
    for date in ["2026-11-01T10:00:00Z", "10:00:00", "yesterday"] {
        let text = format!("date = \"{date}\"\nmodels = {{}}");
        let problems = PriceTable::parse(&text).unwrap_err();
        assert!(problems[0].starts_with("date is no day"), "{date}");
    }
}
