//! No secret is in any text: not in the report, not in an error, not in `Debug`.

use super::*;

/// Every text that a load gives away.
fn texts(result: &Result<Loaded, ConfigProblems>) -> String {
    match result {
        Ok(loaded) => format!("{}{loaded:?}", report(loaded)),
        Err(problems) => format!("{problems}{problems:?}"),
    }
}

#[test]
fn the_report_shows_lengths_and_sources_and_no_secret() {
    let loaded = load(&[("GATEWAY_TELEMETRY__USER_HASH_KEY", "hunter2hunter2")]);
    let all = texts(&loaded);
    for secret in [SK, SECRET, "hunter2"] {
        assert!(!all.contains(secret), "{all}");
    }
    let shown = report(&loaded.unwrap());
    let line = |key: &str| shown.lines().find(|line| line.starts_with(key)).unwrap();
    let words = |key: &str| line(key).split_whitespace().collect::<Vec<_>>().join(" ");
    assert_eq!(words("mint.key "), "mint.key (set, 47 bytes) BEHEST_KEY");
    assert_eq!(
        words("session.secrets "),
        "session.secrets (set, 43 bytes) AUTH_SECRET"
    );
    assert_eq!(
        words("server.idle_timeout "),
        "server.idle_timeout \"1m\" default"
    );
    assert_eq!(words("mint.kid "), "mint.kid - default");
    let kinds = "session.providers [\"authjs-v5\", \"nextauth-v4\"] default";
    assert_eq!(words("session.providers "), kinds);
    assert!(!words("server.workers ").contains('-'), "{shown}");
    assert!(!shown.contains("[]."), "{shown}");
    let column = |key: &str| line(key).find(|c| "\"(-".contains(c));
    assert_eq!(column("mint.key "), column("server.idle_timeout "));
}

#[test]
fn a_secret_in_the_wrong_variable_is_in_no_text() {
    let base = load(&[]).unwrap();
    let variables = base
        .provenance
        .iter()
        .flat_map(|setting| &setting.variables);
    let files = [
        "BEHEST_KEY_FILE",
        "AUTH_SECRET_FILE",
        "BEHEST_PRIVATE_KEY_FILE",
        "SSL_CERT_FILE",
        "GATEWAY_CONFIG",
    ];
    for variable in variables.map(String::as_str).chain(files) {
        for secret in [SK, SECRET] {
            let all = texts(&load(&[(variable, secret)]));
            assert!(!all.contains(secret), "{variable}: {all}");
        }
    }
}

#[test]
fn a_secret_in_the_wrong_place_of_the_file_is_in_no_text() {
    for setting in load(&[]).unwrap().provenance {
        let (table, name) = setting.key.rsplit_once('.').unwrap();
        let header = match table.strip_suffix("[]") {
            Some(list) => format!("[[{list}]]\nkind = \"authjs-v5\"\n"),
            None => format!("[{table}]\n"),
        };
        let header = if name == "kind" {
            header.replace("kind = \"authjs-v5\"\n", "")
        } else {
            header
        };
        for value in [
            format!("\"{SK}\""),
            format!("[\"{SECRET}\"]"),
            format!("{{ x = \"{SECRET}\" }}"),
        ] {
            let toml = format!("{header}{name} = {value}\n");
            let more = [("BEHEST_KEY", ""), ("AUTH_SECRET", "")];
            let all = texts(&load_file(&toml, &[])) + &texts(&load_file(&toml, &more));
            assert!(!all.contains(SK) && !all.contains(SECRET), "{toml}: {all}");
        }
    }
}

#[test]
fn a_file_that_is_no_toml_is_never_quoted() {
    for toml in [
        format!("[mint]\nkey = \"{SK}\n"),
        format!("[mint]\nkey = {SK}\n"),
        format!("{SK}\n"),
        format!("[mint]\nkey = \"\\q{SK}\"\n"),
        format!("[{SK}\n"),
        format!("\"{SECRET}\" \"{SECRET}\"\n"),
    ] {
        let all = texts(&load_file(&toml, &[]));
        assert!(!all.contains(SK) && !all.contains(SECRET), "{toml}: {all}");
    }
}
