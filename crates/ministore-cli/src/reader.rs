//! Opens a journal for reading from the command line.

use std::path::Path;

use ministore_uring::{Reader, maintenance};

use crate::exit::CliError;

pub(crate) fn open(journal: &Path) -> Result<Reader, CliError> {
    Reader::open(journal).map_err(|error| CliError::store(journal, &error))
}

/// Opens a journal that must exist. To the library a missing journal is an empty one; here the name may be mistyped.
pub(crate) fn open_existing(journal: &Path) -> Result<Reader, CliError> {
    let failed = |error| CliError::store(journal, &error);
    let reader = open(journal)?;
    // During a rotation the active segment has no name for a moment: then rotated segments exist.
    if !journal.exists() && reader.raw_records().next_record().map_err(failed)?.is_none() {
        maintenance::verify(journal).map_err(failed)?;
    }
    Ok(reader)
}
