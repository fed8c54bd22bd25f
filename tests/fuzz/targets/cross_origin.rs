//! Fuzzes the cross-origin decision: see the check of the same name.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| behest_gateway_fuzz::cross_origin::check(data));
