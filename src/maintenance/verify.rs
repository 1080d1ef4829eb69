//! Reads a whole journal and checks every seal and link.

use std::{
    io,
    path::{Path, PathBuf},
    sync::Arc,
};

use rustix::io::Errno;

use super::{Corruption, report::VerifyReport, verifier::Verifier};
use crate::{
    MiniStoreError, Result,
    format::{SegmentHeader, scan::read_header},
    io::{FileHandle, FileSystem, OpenMode, is_at, os_file_system},
    journal::{
        chain::{ChainRelation, follows},
        file_names::{FileNames, RotatedSegments},
        holds,
        older_copy::find_original,
        ownership::has_own_lock,
        segment_set::SegmentSet,
    },
    recovery::is_without_content,
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
    for (_, path) in &rotated {
        let file = match fs.open(path, OpenMode::ReadOnly) {
            // Retention deletes the oldest segments at any time.
            Err(error)
                if error.kind() == io::ErrorKind::NotFound
                    && verifier.report.segments.is_empty()
                    && fs.id_at(path).is_ok_and(|found| found.is_none()) =>
            {
                continue;
            }
            opened => opened.map_err(MiniStoreError::file(path, "open"))?,
        };
        verifier.segment(path, &file, false).map_err(MiniStoreError::file(path, "read"))?;
    }
    if let Some((path, file)) = &active {
        match original_of(fs, file, &rotated).map_err(MiniStoreError::file(path, "read"))? {
            Some(original) => verifier.older_copy(path, file, &original),
            None => verifier.segment(path, file, true),
        }
        .map_err(MiniStoreError::file(path, "read"))?;
    }
    let next = names.next();
    if let Some(file) =
        stray_next(fs, &names, active.as_ref()).map_err(MiniStoreError::file(&next, "read"))?
    {
        verifier.stray_next(&next, &file).map_err(MiniStoreError::file(&next, "read"))?;
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

/// Returns the rotated segment of which the active one is an older copy.
fn original_of(
    fs: &dyn FileSystem,
    active: &Arc<dyn FileHandle>,
    rotated: &RotatedSegments,
) -> io::Result<Option<PathBuf>> {
    let Some((_, newest)) = rotated.last() else { return Ok(None) };
    let header = read_header(&**active)?;
    let Some(link) = header.ok().and_then(SegmentHeader::link) else { return Ok(None) };
    let continues = match fs.open_if_exists(newest)? {
        Some(newest) => follows(&*newest, &**active)? == ChainRelation::Continues,
        None => true,
    };
    if continues { Ok(None) } else { find_original(fs, &**active, link, rotated) }
}

/// Opens the prepared segment if it has content and is not the active one. A rotation gives it a header only after the active
/// segment has lost its name.
fn stray_next(
    fs: &dyn FileSystem,
    names: &FileNames,
    active: Option<&(PathBuf, Arc<dyn FileHandle>)>,
) -> io::Result<Option<Arc<dyn FileHandle>>> {
    let path = names.next();
    if has_own_lock(fs, &path)? || active.is_some_and(|(active, _)| *active == path) {
        return Ok(None);
    }
    let Some(next) = fs.open_if_exists(&path)? else { return Ok(None) };
    let is_stray = !active.is_some_and(|(_, file)| is_same(&next, file))
        && !is_without_content(&*next)?
        && match active {
            Some((active, file)) => is_at(fs, active, &**file)?,
            // A writer may be between the two renames of a rotation: then the set now has an active segment, or the file
            // that was opened has lost its name.
            None => SegmentSet::take(fs, names).map_err(io::Error::other)?.active.is_none(),
        }
        && is_at(fs, &path, &*next)?;
    Ok(is_stray.then_some(next))
}

/// A rename by links gives the prepared segment the active name before it loses its own.
fn is_same(one: &Arc<dyn FileHandle>, other: &Arc<dyn FileHandle>) -> bool {
    matches!((one.id(), other.id()), (Ok(Some(one)), Ok(Some(other))) if one == other)
}
