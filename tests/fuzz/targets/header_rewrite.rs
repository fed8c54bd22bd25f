//! Fuzzes header lists, rewritten in both directions: see the check of the same name.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| behest_gateway_fuzz::header_rewrite::check(data));
