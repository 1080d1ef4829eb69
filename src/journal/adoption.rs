//! Numbered files that nothing proves to be segments: which of them a journal accepts by their names.
//!
//! A segment with checksums is proven by the chain: the next one continues it. A bare header proves nothing. Such a file
//! is accepted only if a writer of the journal could have made it: its name has the digits that a writer gives it, its
//! number is in the run without gaps up to the newest rotated segment, and a run that begins above 999 has at least six
//! digits.

use std::{
    cell::LazyCell,
    collections::HashSet,
    ffi::{OsStr, OsString},
    io,
    path::{Path, PathBuf},
};

use super::{
    chain::{ChainRelation, follows},
    file_names::FileNames,
};
use crate::{
    MiniStoreError, Result,
    format::{SegmentHeader, scan::read_header},
    io::FileSystem,
};

/// The number up to which a run may begin whatever its number of digits.
const SHORT_RUN_START_MAX: u64 = 999;

/// The fewest digits of a run that begins above [`SHORT_RUN_START_MAX`].
const LONG_DIGITS_MIN: usize = 6;

/// Returns an error if one of the rotated segments is accepted neither by its name nor by the chain. Opens no file where
/// the names are enough, as they are for a journal that no other file is named after.
///
/// # Errors
///
/// [`MiniStoreError::NotOwned`], or an error of the operating system.
pub(crate) fn check_adoption(
    fs: &dyn FileSystem,
    names: &FileNames,
    listed: &[OsString],
    rotated: &[(u64, PathBuf)],
) -> Result<()> {
    let runs = runs_of(names, listed, rotated);
    let active = names.active();
    for (index, run) in runs.iter().enumerate() {
        let is_newest = index + 1 == runs.len();
        for (position, segment) in run.iter().enumerate() {
            if is_newest && has_accepted_name(names, run, segment) {
                continue;
            }
            let (_, path) = segment;
            let is_proven = if is_newest {
                let next = run.get(position + 1).map_or(active.as_path(), |(_, path)| path);
                is_proven(fs, path, next)
            } else {
                // A gap in the chain is damage, which readers and recovery report.
                is_plain(fs, path).map(|is_plain| !is_plain)
            };
            if is_proven.map_err(MiniStoreError::file(path, "read"))? {
                // The chain proves the rest of the run, too.
                break;
            }
            return Err(refusal(names, segment, is_newest));
        }
    }
    Ok(())
}

/// Returns whether the journal accepts a file without a proof, by the names in the directory.
pub(crate) fn is_accepted_by_name(names: &FileNames, listed: &[OsString], path: &Path) -> bool {
    let rotated = names.rotated_in(listed);
    let runs = runs_of(names, listed, &rotated);
    let newest = runs.last().copied().unwrap_or_default();
    newest.iter().any(|segment| segment.1 == path && has_accepted_name(names, newest, segment))
}

/// Returns whether a writer could have given a segment of this run its name.
fn has_accepted_name(names: &FileNames, run: &[(u64, PathBuf)], (number, path): &(u64, PathBuf)) -> bool {
    let digits = names.digits_of(path);
    let is_short =
        run.first().is_some_and(|(first, _)| *first > SHORT_RUN_START_MAX) && digits < LONG_DIGITS_MIN;
    let is_padded = digits > number.checked_ilog10().unwrap_or(0) as usize + 1;
    let is_written = !is_padded || names.written_names(*number).contains(path);
    is_written && !is_short && digits >= 3
}

/// Returns whether the chain shows that a file is a segment of the journal. Damage is no reason to refuse it.
fn is_proven(fs: &dyn FileSystem, path: &Path, next: &Path) -> io::Result<bool> {
    let Some(file) = fs.open_if_exists(path)? else { return Ok(true) };
    if read_header(&*file)? == Ok(SegmentHeader::Plain) {
        return Ok(false);
    }
    match fs.open_if_exists(next)? {
        Some(next) => Ok(follows(&*file, &*next)? != ChainRelation::Unrelated),
        None => Ok(false),
    }
}

/// Returns whether a file has a bare header.
fn is_plain(fs: &dyn FileSystem, path: &Path) -> io::Result<bool> {
    Ok(match fs.open_if_exists(path)? {
        Some(file) => read_header(&*file)? == Ok(SegmentHeader::Plain),
        None => false,
    })
}

fn refusal(names: &FileNames, (number, path): &(u64, PathBuf), is_newest: bool) -> MiniStoreError {
    let journal = names.active();
    let remedy = if is_newest {
        format!("rename it to {} if it is one", names.rotated(*number).display())
    } else {
        "restore the segments between it and the newest one if it is one".to_owned()
    };
    let reason = format!(
        "nothing proves that it is a segment of the journal {}: move it away, or {remedy}; an empty file {}.lock makes it \
         a journal of its own",
        journal.display(),
        path.display()
    );
    MiniStoreError::NotOwned { path: path.clone(), reason }
}

/// Splits the rotated segments into runs of contiguous numbers, oldest first. A number that a lock file takes is no gap,
/// because rotation skips it.
fn runs_of<'a>(
    names: &FileNames,
    listed: &[OsString],
    rotated: &'a [(u64, PathBuf)],
) -> Vec<&'a [(u64, PathBuf)]> {
    // Most journals have no gaps, and the directory may have many other files.
    let listed: LazyCell<HashSet<&OsStr>, _> =
        LazyCell::new(|| listed.iter().map(OsString::as_os_str).collect());
    let is_taken = |number| {
        names.written_names(number).iter().any(|path| {
            let mut lock = path.file_name().unwrap_or_default().to_os_string();
            lock.push(".lock");
            listed.contains(lock.as_os_str())
        })
    };
    rotated.chunk_by(|(number, _), (next, _)| (number.saturating_add(1)..*next).all(is_taken)).collect()
}
