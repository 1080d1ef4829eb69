//! Runs the bodies of the fuzz targets on the inputs in the corpus.

#![allow(clippy::print_stderr, reason = "tests")]

use std::{
    fs,
    panic::{AssertUnwindSafe, catch_unwind, resume_unwind},
    path::Path,
};

/// Runs the body of a target on all of its inputs.
fn replay(target: &str, body: impl Fn(&[u8])) {
    let fuzz = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz");
    if !fuzz.exists() {
        eprintln!("\nSKIPPED: the inputs of {target}: a published crate has no fuzz/");
        return;
    }
    let mut count = 0;
    for inputs in ["corpus", "crashes"] {
        let Ok(entries) = fs::read_dir(fuzz.join(inputs).join(target)) else { continue };
        let mut paths: Vec<_> = entries.map(|entry| entry.unwrap().path()).collect();
        paths.sort();
        for path in paths {
            let bytes = fs::read(&path).unwrap();
            if let Err(panic) = catch_unwind(AssertUnwindSafe(|| body(&bytes))) {
                eprintln!("\nreproduce with: cargo +nightly fuzz run {target} {}", path.display());
                resume_unwind(panic);
            }
            count += 1;
        }
    }
    assert!(count > 10, "{count} inputs of {target}: the corpus is missing");
}

#[test]
fn codec_corpus_passes() {
    replay("codec", super::codec);
}

#[test]
fn encode_corpus_passes() {
    replay("encode", super::encode);
}

#[test]
fn scan_corpus_passes() {
    replay("scan", super::scan);
}

/// Like [`replay`], for a body that needs a directory.
fn replay_in_directory(target: &str, body: impl Fn(&[u8], &Path)) {
    replay(target, |data| body(data, tempfile::tempdir().unwrap().path()));
}

#[test]
fn recovery_corpus_passes() {
    replay_in_directory("recovery", super::recovery);
}

#[test]
fn maintenance_corpus_passes() {
    replay_in_directory("maintenance", super::maintenance);
}

#[test]
fn reading_corpus_passes() {
    replay_in_directory("reading", super::reading);
}
