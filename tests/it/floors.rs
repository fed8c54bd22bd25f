//! The oldest versions that may be built with: `.deny.toml` forbids what is below, `cargo deny` asks
//! for it in `make lint`, and this test where that tool is not at hand.

use std::fs;
use std::path::Path;

fn table(name: &str) -> toml::Table {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(name);
    fs::read_to_string(path).unwrap().parse().unwrap()
}

/// `1.2.3` as numbers, which compare as versions do.
fn version(text: &str) -> Vec<u64> {
    text.split('.').map(|part| part.parse().unwrap()).collect()
}

/// Each crate that must not be older, and the version.
fn floors() -> Vec<(String, String)> {
    let denied = table(".deny.toml")["bans"]["deny"].clone();
    // With `name@<version` cargo-deny would forbid that one version only.
    let floor = |ban: &toml::Value| {
        let (name, floor) = ban["crate"].as_str().unwrap().split_once(":<")?;
        Some((name.to_owned(), floor.to_owned()))
    };
    denied
        .as_array()
        .unwrap()
        .iter()
        .filter_map(floor)
        .collect()
}

#[test]
fn nothing_older_than_the_floors_is_built_with() {
    let lock = table("Cargo.lock");
    let locked = lock["package"].as_array().unwrap();
    let floors = floors();
    for known in ["hyper", "h2", "rustls", "rustls-webpki"] {
        assert!(floors.iter().any(|(name, _)| name == known), "{known}");
    }
    for (name, floor) in floors {
        let of_name = |package: &&toml::Value| package["name"].as_str() == Some(&name);
        let found: Vec<_> = locked.iter().filter(of_name).collect();
        assert!(
            !found.is_empty(),
            "{name} is not built with: no floor is needed"
        );
        for package in found {
            let is = package["version"].as_str().unwrap();
            assert!(
                version(is) >= version(&floor),
                "{name} {is} is below {floor}"
            );
        }
    }
}
