#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| tacit_tests::fuzz::sealed_seed(bytes));
