//! Fuzzes what answers say that they used, cut anywhere: see the check of the same name.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| behest_gateway_fuzz::usage_meter::check(data));
