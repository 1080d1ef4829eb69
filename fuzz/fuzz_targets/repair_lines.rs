#![no_main]

//! `ministore import --repair`. The program is no library: the target compiles the module, which imports nothing of the program.

#[allow(dead_code, unused_imports, reason = "the program uses the rest")]
#[path = "../../crates/ministore-cli/src/transfer/repair/lines/mod.rs"]
mod lines;

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    let is_record = |value: &[u8]| ministore_uring::JsonBatch::new().push(value).is_ok();
    lines::properties::check_fuzzed(data, is_record);
});
