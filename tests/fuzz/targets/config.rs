//! Fuzzes configurations from a file and an environment: see the check of the same name.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| behest_gateway_fuzz::config::check(data));
