//! Reads a whole journal and checks every seal and link.

use std::{io, path::Path};

use rustix::io::Errno;

use super::{Corruption, report::VerifyReport, verifier::Verifier};
use crate::{
    MiniStoreError, Result,
    io::{FileSystem, OpenMode, os_file_system},
    journal::file_names::FileNames,
    journal::holds,
    journal::segment_set::SegmentSet,
};

/// Reads the whole journal at `path` and checks every seal and every link between segments. Never writes, never takes a
/// lock; the journal may be open for writing.
///
/// # Errors
///
/// [`Io`](MiniStoreError::Io) where a file cannot be read, of kind `NotFound` where there is no journal. Corruption
/// inside the files is not an error here: it is in [`VerifyReport::faults`].
pub fn verify(path: impl AsRef<Path>) -> Result<VerifyReport> {
    verify_on(&*os_file_system(), path.as_ref())
}

/// As [`verify`], on the file system `fs`.
pub(crate) fn verify_on(fs: &dyn FileSystem, path: &Path) -> Result<VerifyReport> {
    let names = FileNames::resolve(fs, path)?;
    let SegmentSet { rotated, active } = SegmentSet::take(fs, &names)?;
    if rotated.is_empty() && active.is_none() {
        return Err(MiniStoreError::file(names.active(), "find the journal")(Errno::NOENT.into()));
    }
    let mut verifier = Verifier::default();
    for (_, path) in rotated {
        let file = match fs.open(&path, OpenMode::ReadOnly) {
            // Retention deletes the oldest segments at any time.
            Err(error) if error.kind() == io::ErrorKind::NotFound && verifier.report.segments.is_empty() => {
                continue;
            }
            opened => opened.map_err(MiniStoreError::file(&path, "open"))?,
        };
        verifier.segment(&path, &file, false).map_err(MiniStoreError::file(&path, "read"))?;
    }
    if let Some((path, file)) = active {
        verifier.segment(&path, &file, true).map_err(MiniStoreError::file(&path, "read"))?;
    }
    let mut report = verifier.finish();
    match holds::load(fs, &names) {
        Ok(holds) => report.holds = holds,
        Err(MiniStoreError::Corrupt { segment, offset, line, seq, reason }) => {
            report.faults.push(Corruption { segment, offset, line, seq, reason });
        }
        Err(error) => return Err(error),
    }
    Ok(report)
}
