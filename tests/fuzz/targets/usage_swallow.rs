//! Fuzzes streams out of which the usage that only the gateway asked for is taken: see the check of the same name.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| behest_gateway_fuzz::usage_swallow::check(data));
