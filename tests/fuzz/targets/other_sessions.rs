//! Fuzzes the sessions of the other libraries, genuine and damaged: see the check of the same name.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| behest_gateway_fuzz::other_sessions::check(data));
