//! Owns how a measurement is read: a file, or standard input, that `bench --json` wrote.

use std::{
    fs,
    io::{self, Read},
    path::Path,
};

use serde::Deserialize;

use crate::{
    bench::outcome::{Outcome, SCHEMA},
    exit::{Code, Failure},
};

/// What has to be there before the rest is looked at.
#[derive(Debug, Deserialize)]
struct Head {
    schema: Option<String>,
}

pub(super) fn outcome(path: &Path) -> Result<Outcome, Failure> {
    let bytes = bytes(path).map_err(|error| Failure::file(path, "read", &error))?;
    let bad = |why: String| {
        Failure::new(Code::BadData, format_args!("{}: {why}", path.display()))
            .hint("what is compared is what 'ministore bench --json' writes")
    };
    let head: Head = serde_json::from_slice(&bytes).map_err(|error| bad(error.to_string()))?;
    match head.schema.as_deref() {
        Some(SCHEMA) => serde_json::from_slice(&bytes).map_err(|error| bad(error.to_string())),
        Some(other) => Err(bad(format!("its schema is {other:?}, not {SCHEMA:?}"))),
        None => Err(bad("it has no schema".to_owned())),
    }
}

fn bytes(path: &Path) -> io::Result<Vec<u8>> {
    if path == Path::new("-") {
        let mut bytes = Vec::new();
        io::stdin().lock().read_to_end(&mut bytes)?;
        return Ok(bytes);
    }
    fs::read(path)
}
