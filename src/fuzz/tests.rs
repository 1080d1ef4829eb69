//! Every input that a fuzzer ever found worth keeping, once more.

#![allow(clippy::print_stderr, reason = "tests")]

use std::{
    fs,
    panic::{AssertUnwindSafe, catch_unwind, resume_unwind},
    path::Path,
};

/// Puts all kept inputs of a target through its body.
fn replay(target: &str, body: impl Fn(&[u8])) {
    let fuzz = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz");
    if !fuzz.exists() {
        eprintln!("\nSKIPPED: the inputs of {target}: a published crate has no fuzz/");
        return;
    }
    let mut count = 0;
    for kept in ["corpus", "crashes"] {
        let Ok(entries) = fs::read_dir(fuzz.join(kept).join(target)) else { continue };
        let mut paths: Vec<_> = entries.map(|entry| entry.unwrap().path()).collect();
        paths.sort();
        for path in paths {
            let bytes = fs::read(&path).unwrap();
            if let Err(panic) = catch_unwind(AssertUnwindSafe(|| body(&bytes))) {
                eprintln!("\n*** once more: cargo +nightly fuzz run {target} {}", path.display());
                resume_unwind(panic);
            }
            count += 1;
        }
    }
    assert!(count > 10, "{count} inputs of {target}: the corpus is missing");
}

#[test]
fn kept_inputs_of_codec_hold() {
    replay("codec", super::codec);
}

#[test]
fn kept_inputs_of_encode_hold() {
    replay("encode", super::encode);
}

#[test]
fn kept_inputs_of_scan_hold() {
    replay("scan", super::scan);
}

/// As above, for a body that needs a directory.
fn replay_in_directory(target: &str, body: impl Fn(&[u8], &Path)) {
    replay(target, |data| body(data, tempfile::tempdir().unwrap().path()));
}

#[test]
fn kept_inputs_of_recovery_hold() {
    replay_in_directory("recovery", super::recovery);
}

#[test]
fn kept_inputs_of_maintenance_hold() {
    replay_in_directory("maintenance", super::maintenance);
}

#[test]
fn kept_inputs_of_reading_hold() {
    replay_in_directory("reading", super::reading);
}
