//! Nothing is left of a secret in memory that was given back: this process reads its own.

#![cfg(target_os = "linux")]

use std::fs::File;
use std::os::unix::fs::FileExt as _;

use behest_gateway::clock::Clock;
use behest_gateway::config::Config;
use behest_gateway::generation::{Generation, Process};
use behest_gateway::secret::Secret;
use zeroize::Zeroizing;

use crate::support::sources;

/// What secrets are masked with, so that this test itself holds none.
const MASK: u8 = 0x5a;

/// What a secret consists of, over and over: a part that is left is enough to find it.
fn masked(name: &str) -> Vec<u8> {
    let hash = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, name.as_bytes());
    let letters = hash.as_ref().iter().map(|byte| b'A' + (byte & 15));
    letters.map(|byte| byte ^ MASK).collect()
}

/// Large enough that what is allocated later does not happen to cover a copy of it.
fn unmasked(masked: &[u8]) -> Zeroizing<String> {
    const TIMES: usize = 250;
    let mut text = Zeroizing::new(String::with_capacity(masked.len() * TIMES));
    let letters = masked.iter().map(|byte| char::from(byte ^ MASK));
    text.extend(letters.cycle().take(masked.len() * TIMES));
    text
}

/// How often a part of the secret stands in this process's writable memory.
fn copies(masked: &[u8]) -> usize {
    let maps = std::fs::read_to_string("/proc/self/maps").unwrap();
    let memory = File::open("/proc/self/mem").unwrap();
    let mut found = 0;
    for line in maps.lines().filter(|line| line.contains(" rw")) {
        let (range, _) = line.split_once(' ').unwrap();
        let (from, to) = range.split_once('-').unwrap();
        let [from, to] = [from, to].map(|at| u64::from_str_radix(at, 16).unwrap());
        // What is looked through must not be found in here.
        let mut bytes = Zeroizing::new(vec![0; usize::try_from(to - from).unwrap()]);
        // Some mappings, the kernel's own, cannot be read.
        if memory.read_exact_at(&mut bytes, from).is_err() {
            continue;
        }
        for at in memchr::memchr_iter(masked[0] ^ MASK, &bytes) {
            let here = bytes.get(at..at + masked.len());
            let is_it = |here: &[u8]| here.iter().zip(masked).all(|(a, b)| a ^ MASK == *b);
            found += usize::from(here.is_some_and(is_it));
        }
    }
    found
}

#[test]
fn a_configuration_that_is_dropped_leaves_no_secret_behind() {
    let names = ["key", "auth", "session id", "user hash"];
    let secrets = names.map(masked);
    let folder = tempfile::tempdir().unwrap();
    let [key, auth, session_id, _] = &secrets;
    let file = |name: &str, secret: &[u8], prefix: &str| {
        let path = folder.path().join(name);
        let text = Zeroizing::new([prefix.as_bytes(), unmasked(secret).as_bytes()].concat());
        std::fs::write(&path, &*text).unwrap();
        path.to_str().unwrap().to_owned()
    };
    let mut sources = sources(
        "https://acme.behest.app",
        &[
            ("BEHEST_KEY", ""),
            ("AUTH_SECRET", ""),
            ("BEHEST_KEY_FILE", &file("key", key, "behest_sk_")),
            ("AUTH_SECRET_FILE", &file("auth", auth, "")),
            ("GATEWAY_SESSION_ID__KEY_FILE", &file("sid", session_id, "")),
        ],
    );
    let given = unmasked(&secrets[3]);
    let user_hash = "GATEWAY_TELEMETRY__USER_HASH_KEY".to_owned();
    sources.env.insert(user_hash, given.as_str().to_owned());
    drop(given);
    let loaded = Config::load(sources).unwrap();
    let process = Process::new(Clock::system()).unwrap();
    let generation = Generation::build(loaded.config, &process, None).unwrap();
    for (name, secret) in names.iter().zip(&secrets) {
        assert!(copies(secret) > 0, "{name} is not where it is needed");
    }
    drop(generation);
    for (name, secret) in names.iter().zip(&secrets) {
        assert_eq!(copies(secret), 0, "copies of {name} are left");
    }
}

#[test]
fn a_secret_is_found_while_it_lives_and_not_after() {
    let masked = masked("alive");
    let secret = Secret::new(unmasked(&masked).as_bytes());
    let other = secret.clone();
    assert!(copies(&masked) >= 2);
    drop((secret, other));
    assert_eq!(copies(&masked), 0);
}
