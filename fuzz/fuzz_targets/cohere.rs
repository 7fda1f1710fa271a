//! Bodies of Cohere's API.
#![no_main]

use portcullis::speech::Dialect;

libfuzzer_sys::fuzz_target!(|data: &[u8]| portcullis_fuzz::judge_json(Dialect::Cohere, data));
