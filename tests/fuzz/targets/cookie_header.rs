//! Fuzzes Cookie fields and the choice of the provider: see the check of the same name.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| behest_gateway_fuzz::cookie_header::check(data));
