//! Fuzzes JWTs in `Authorization`, and what is none: see the check of the same name.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| behest_gateway_fuzz::authorization::check(data));
