//! Fuzzes paths, and routes that configuration adds: see the check of the same name.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| behest_gateway_fuzz::route_table::check(data));
