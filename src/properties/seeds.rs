//! What the fuzzers stand on: seeds that are small, known to every check, and for cookies those of
//! `tests/vectors`; and the very dependencies that are shipped.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use serde_json::Value;

use super::CHECKS;

/// The most that one target's seeds may take, bytes.
const MOST: usize = 100_000;

/// A cookie larger than this is no seed: a fuzzer changes one byte as easily in a small one.
const MOST_OF_ONE: usize = 1000;

fn folder(target: &str) -> PathBuf {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    root.join("tests/fuzz/seeds").join(target)
}

/// The seeds of one target by their names.
fn seeds(target: &str) -> BTreeMap<String, Vec<u8>> {
    let mut seeds = BTreeMap::new();
    for entry in fs::read_dir(folder(target)).unwrap() {
        let entry = entry.unwrap();
        let name = entry.file_name().into_string().unwrap();
        seeds.insert(name, fs::read(entry.path()).unwrap());
    }
    seeds
}

#[test]
fn every_target_has_seeds_which_are_small_and_pass() {
    let manifest = fs::read_to_string(folder("../Cargo.toml")).unwrap();
    let manifest: toml::Table = manifest.parse().unwrap();
    let targets: BTreeSet<&str> = manifest["bin"]
        .as_array()
        .unwrap()
        .iter()
        .map(|target| target["name"].as_str().unwrap())
        .collect();
    assert_eq!(targets, CHECKS.iter().map(|(name, _)| *name).collect());
    for (target, check) in CHECKS {
        let seeds = seeds(target);
        assert!(seeds.len() >= 5, "{target}");
        let size: usize = seeds.values().map(Vec::len).sum();
        assert!(size <= MOST, "{target}: {size}");
        for (name, seed) in seeds {
            let checked = std::panic::catch_unwind(|| check(&seed));
            assert!(checked.is_ok(), "{target}/{name}");
        }
    }
}

/// `UPDATE_SEEDS=1` writes them.
#[test]
fn the_seeds_of_cookies_are_the_vectors() {
    let text = include_str!("../../tests/vectors/session-cookies.json");
    let file: Value = serde_json::from_str(text).unwrap();
    let mut expected = BTreeMap::new();
    for vector in file["vectors"].as_array().unwrap() {
        if !matches!(vector["kind"].as_str(), Some("authjs-v5" | "nextauth-v4")) {
            continue;
        }
        let fields = match vector["cookie_headers"].as_array() {
            Some(fields) => fields.clone(),
            None => vec![vector["cookie_header"].clone()],
        };
        let fields: Vec<&str> = fields.iter().map(|field| field.as_str().unwrap()).collect();
        let name = vector["name"].as_str().unwrap().replace('/', "-");
        expected.insert(name, fields.join("\n").into_bytes());
    }
    expected.retain(|_, seed| seed.len() <= MOST_OF_ONE);
    if std::env::var_os("UPDATE_SEEDS").is_some() {
        fs::create_dir_all(folder("cookie_header")).unwrap();
        for (name, seed) in &expected {
            fs::write(folder("cookie_header").join(name), seed).unwrap();
        }
    }
    let mut found = seeds("cookie_header");
    found.retain(|name, _| !name.starts_with("own-"));
    assert_eq!(
        found.keys().collect::<Vec<_>>(),
        expected.keys().collect::<Vec<_>>()
    );
    assert!(found == expected, "run this test with UPDATE_SEEDS=1");
}

#[test]
fn the_fuzzers_have_the_gateways_dependencies() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let packages = |lock: &str| -> BTreeSet<(String, String)> {
        let lock: toml::Table = fs::read_to_string(root.join(lock))
            .unwrap()
            .parse()
            .unwrap();
        let packages = lock["package"].as_array().unwrap().iter();
        let text = |value: &toml::Value| value.as_str().unwrap().to_owned();
        packages
            .map(|package| (text(&package["name"]), text(&package["version"])))
            .collect()
    };
    let own = ["arbitrary", "behest-gateway-fuzz", "libfuzzer-sys"];
    let gateway = packages("Cargo.lock");
    let mut others = packages("tests/fuzz/Cargo.lock");
    others.retain(|package| !own.contains(&package.0.as_str()) && !gateway.contains(package));
    assert!(
        others.is_empty(),
        "{others:?}: cp Cargo.lock tests/fuzz/ && cargo metadata --manifest-path tests/fuzz/Cargo.toml"
    );
}
