//! Any file and any environment: a configuration that holds, or a list of problems; and in neither a
//! secret.
//!
//! Input: lines of `NAME=value`, a line `---`, and a TOML file.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::LazyLock;

use super::gateway::config::{self, Config, Sources};
use super::input::line;

/// What a gateway needs, so that more than the missing keys is looked at; marked, to be searched for.
const GIVEN: [(&str, &str); 3] = [
    (
        "BEHEST_KEY",
        "behest_sk_live_5ec4e7a1b2c3d4e5f60718293a4b5c6d",
    ),
    ("BEHEST_BASE_URL", "https://demo.behest.app"),
    (
        "AUTH_SECRET",
        "5ec4e7-of-the-app-0123456789abcdef0123456789",
    ),
];

/// How a secret looks when it is seen.
const MARK: &str = "5ec4e7";

/// The file that is read, one for each process.
static FILE: LazyLock<PathBuf> = LazyLock::new(|| {
    std::env::temp_dir().join(format!("behest-gateway-fuzz-{}.toml", std::process::id()))
});

/// Checks one configuration.
pub fn check(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else {
        return;
    };
    // Secrets are files that a configuration names: none of the machine's own devices.
    if ["/dev", "/proc", "/sys", MARK]
        .iter()
        .any(|out| text.contains(out))
    {
        return;
    }
    // Folders and files of records are made where a configuration names them: nowhere from here.
    let folded = text.to_ascii_lowercase().replace("token_path", "");
    if folded.replace("health_path", "").contains("path") {
        return;
    }
    let mut env: BTreeMap<String, String> = GIVEN
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .into();
    let mut rest = text.as_bytes();
    while !rest.is_empty() {
        let (variable, after) = line(rest);
        rest = after;
        let variable = std::str::from_utf8(variable).unwrap();
        if variable == "---" {
            break;
        }
        if let Some((name, value)) = variable.split_once('=') {
            env.insert(name.to_owned(), value.to_owned());
        }
    }
    let file = (!rest.is_empty()).then(|| {
        std::fs::write(&*FILE, rest).unwrap();
        FILE.clone()
    });
    judge(Sources {
        env,
        file,
        ..Sources::default()
    });
}

fn judge(sources: Sources) {
    match Config::load(sources) {
        Ok(loaded) => {
            let shown = format!("{}{:?}", config::report(&loaded), loaded.config);
            assert!(!shown.contains(MARK), "{shown}");
            for origin in &loaded.config.cross_origin.public_origins {
                assert!(origin.starts_with("https://") || origin.starts_with("http://"));
            }
            for origin in &loaded.config.cross_origin.allowed_origins {
                assert!(!origin.contains('*') && origin != "null", "{origin}");
            }
            assert!(!loaded.config.session.providers.is_empty());
        }
        Err(problems) => {
            assert!(!problems.problems.is_empty());
            let shown = problems.to_string();
            assert!(!shown.contains(MARK), "{shown}");
        }
    }
}
