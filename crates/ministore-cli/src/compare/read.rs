//! Reads a report of `bench --json` from a file or standard input.

use std::{
    fs,
    io::{self, Read},
    path::Path,
};

use serde::Deserialize;

use crate::{
    bench::report::{BenchReport, SCHEMA},
    exit::{CliError, ExitStatus},
    ingest::line::BYTE_ORDER_MARK,
    input::Input,
};

/// The field that is checked first.
#[derive(Debug, Deserialize)]
struct SchemaHeader {
    schema: Option<String>,
}

pub(super) fn report(path: &Path) -> Result<BenchReport, CliError> {
    let bytes = bytes(path).map_err(|error| CliError::file(path, "read", &error))?;
    // Shells of other systems write a byte order mark.
    let bytes = bytes.strip_prefix(BYTE_ORDER_MARK).unwrap_or(&bytes);
    let bad = |why: String| {
        CliError::about(path, ExitStatus::BadData, why)
            .hint("compare reads reports of 'ministore bench --json'")
    };
    let head: SchemaHeader = serde_json::from_slice(bytes).map_err(|error| bad(error.to_string()))?;
    match head.schema.as_deref() {
        Some(SCHEMA) => serde_json::from_slice(bytes).map_err(|error| bad(error.to_string())),
        Some(other) => Err(bad(format!("the schema is '{other}', expected '{SCHEMA}'"))),
        None => Err(bad("the schema is missing".to_owned())),
    }
}

fn bytes(path: &Path) -> io::Result<Vec<u8>> {
    if path == Path::new("-") {
        Input::Stdin.announce_terminal();
        let mut bytes = Vec::new();
        io::stdin().lock().read_to_end(&mut bytes)?;
        return Ok(bytes);
    }
    fs::read(path)
}
