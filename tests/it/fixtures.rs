//! Journals of earlier days, checked in: whatever becomes of the engine, it reads and continues them.

use std::{fs, path::Path};

use serde_json::{Value, json};

use crate::support::{Files, Journal, NAME, for_each_backend, numbered, original_replay};

fn fixture(name: &str) -> Files {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures").join(name);
    let entries = fs::read_dir(dir).unwrap().map(|entry| entry.unwrap());
    entries.map(|entry| (entry.file_name().into_string().unwrap(), fs::read(entry.path()).unwrap())).collect()
}
