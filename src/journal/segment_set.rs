//! A consistent list of a journal's segments, even while it is being rotated.

use std::{
    ffi::OsString,
    io,
    path::{Path, PathBuf},
    sync::Arc,
};

use crate::{
    MiniStoreError, Result,
    format::scan::read_header,
    io::{FileHandle, FileSystem, is_at},
    journal::adoption::check_adoption,
    journal::file_names::{FileNames, RotatedSegments},
    journal::ownership::{check_left_out, has_own_lock},
};

/// An attempt takes some microseconds and a rotation takes milliseconds, so this many attempts do not fail in a row.
const ATTEMPTS_MAX: u32 = 100;

/// The segments of a journal.
#[derive(Debug)]
pub(crate) struct SegmentSet {
    /// Oldest first.
    pub(crate) rotated: RotatedSegments,
    /// The active segment, open, so that a rotation cannot replace it.
    pub(crate) active: Option<(PathBuf, Arc<dyn FileHandle>)>,
}

impl SegmentSet {
    /// Returns the segments of a journal at one moment, however fast it is rotated and however long a listing of its
    /// directory takes.
    ///
    /// If the active file has its name before and after the listing, no rotation came between. Otherwise the listing may
    /// lack segments, and those are found by their numbers, from each one listed to the next number without a file.
    /// If the active file still has its name after that, the set is complete: a rotation gives the active file the next
    /// number before another file gets the active name.
    pub(crate) fn take(fs: &dyn FileSystem, names: &FileNames) -> Result<Self> {
        let mut attempts = 0;
        loop {
            let mut active = open_active(fs, names)?;
            let (listed, mut rotated) = list_rotated(fs, names)?;
            let anchor = rotated.last().map(|(_, path)| path.clone());
            let mut is_complete = is_current(fs, names, active.as_ref())?;
            while !is_complete && attempts < ATTEMPTS_MAX {
                attempts += 1;
                active = open_active(fs, names)?;
                add_missed(fs, names, &mut rotated)?;
                if is_current(fs, names, active.as_ref())? {
                    // Segments are deleted oldest first: the ones after this one exist, too.
                    is_complete = match &anchor {
                        Some(path) => exists(fs, path)?,
                        None => false,
                    };
                    break;
                }
            }
            if is_complete || attempts == ATTEMPTS_MAX {
                check_left_out_of(fs, names, &listed, &rotated)?;
                check_adoption(fs, names, &listed, &rotated)?;
                let mut segments = Self { rotated, active };
                segments.remove_second_name(fs)?;
                return Ok(segments);
            }
        }
    }

    /// Removes the newest rotated segment if it is the active one under a second name: a rename by hard links adds the
    /// new name before it removes the active one.
    fn remove_second_name(&mut self, fs: &dyn FileSystem) -> Result<()> {
        let (Some((_, newest)), Some((path, file))) = (self.rotated.last(), &self.active) else {
            return Ok(());
        };
        let id = file.id().map_err(MiniStoreError::file(path, "stat"))?;
        let newest = fs.id_at(newest).map_err(MiniStoreError::file(newest, "stat"))?;
        if id.is_some() && id == newest {
            self.rotated.pop();
        }
        Ok(())
    }
}

/// Opens the active segment. Between the last two steps of a rotation, when no file has the active name, that is
/// `NAME.next`.
fn open_active(fs: &dyn FileSystem, names: &FileNames) -> Result<Option<(PathBuf, Arc<dyn FileHandle>)>> {
    match open_if_exists(fs, names.active())? {
        Some(active) => Ok(Some(active)),
        None => unpublished_next_segment(fs, names),
    }
}

/// Returns whether the active segment still is the one that was opened.
fn is_current(
    fs: &dyn FileSystem,
    names: &FileNames,
    active: Option<&(PathBuf, Arc<dyn FileHandle>)>,
) -> Result<bool> {
    let is_published = exists(fs, &names.active())?;
    match active {
        Some((path, file)) if is_published == (*path == names.active()) => {
            is_at(fs, path, &**file).map_err(MiniStoreError::file(path, "stat"))
        }
        Some(_) => Ok(false),
        None => Ok(!is_published),
    }
}

/// Adds the segments that a listing missed because they were rotated during it or after it: the ones before the oldest
/// listed segment, and the ones after each listed segment.
fn add_missed(fs: &dyn FileSystem, names: &FileNames, rotated: &mut RotatedSegments) -> Result<()> {
    let listed: Vec<u64> = rotated.iter().map(|(number, _)| *number).collect();
    if let Some(oldest) = listed.first() {
        add_numbered(fs, names, (1..*oldest).rev(), rotated)?;
    }
    let ends = listed.iter().copied().skip(1).chain([u64::MAX]);
    for (number, end) in listed.iter().zip(ends) {
        add_numbered(fs, names, number.saturating_add(1)..end, rotated)?;
    }
    rotated.sort();
    Ok(())
}

/// Adds the segments that have these numbers, up to the first number without a file.
fn add_numbered(
    fs: &dyn FileSystem,
    names: &FileNames,
    numbers: impl Iterator<Item = u64>,
    rotated: &mut RotatedSegments,
) -> Result<()> {
    for number in numbers {
        match find_rotated(fs, names, number)? {
            NumberedFile::Segment(path) => rotated.push((number, path)),
            NumberedFile::OtherJournal => {}
            NumberedFile::Missing => break,
        }
    }
    Ok(())
}

/// What has the number of a rotated segment.
enum NumberedFile {
    Segment(PathBuf),
    /// Another journal has the number, or its lock file does: rotation skips it.
    OtherJournal,
    Missing,
}

fn find_rotated(fs: &dyn FileSystem, names: &FileNames, number: u64) -> Result<NumberedFile> {
    for path in names.written_names(number) {
        if has_own_lock(fs, &path).map_err(MiniStoreError::file(&path, "stat"))? {
            return Ok(NumberedFile::OtherJournal);
        }
        if exists(fs, &path)? {
            return Ok(NumberedFile::Segment(path));
        }
    }
    Ok(NumberedFile::Missing)
}

fn exists(fs: &dyn FileSystem, path: &Path) -> Result<bool> {
    Ok(fs.id_at(path).map_err(MiniStoreError::file(path, "stat"))?.is_some())
}

/// Opens `NAME.next` if it has a header: between the last two steps of a rotation (or after a power cut there) it
/// contains the newest records.
fn unpublished_next_segment(
    fs: &dyn FileSystem,
    names: &FileNames,
) -> Result<Option<(PathBuf, Arc<dyn FileHandle>)>> {
    let is_foreign = has_own_lock(fs, &names.next());
    let is_foreign = is_foreign.map_err(MiniStoreError::file(names.next(), "stat"))?;
    let next = if is_foreign { None } else { open_if_exists(fs, names.next())? };
    let Some((path, file)) = next else {
        // A rotation may just have given it the active name.
        return open_if_exists(fs, names.active());
    };
    let header = read_header(&*file).map_err(MiniStoreError::file(&path, "read"))?;
    Ok(header.is_ok().then_some((path, file)))
}

/// Returns the names in the directory, and the rotated segments among them.
fn list_rotated(fs: &dyn FileSystem, names: &FileNames) -> Result<(Vec<OsString>, RotatedSegments)> {
    match fs.list(names.dir()) {
        Ok(listed) => {
            let rotated = names.rotated_in(&listed);
            Ok((listed, rotated))
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok((Vec::new(), Vec::new())),
        Err(error) => Err(MiniStoreError::file(names.dir(), "list the directory")(error)),
    }
}

/// Returns an error instead of leaving out records of the journal. See [`check_left_out`].
fn check_left_out_of(
    fs: &dyn FileSystem,
    names: &FileNames,
    listed: &[OsString],
    rotated: &[(u64, PathBuf)],
) -> Result<()> {
    if names.foreign_in(listed).is_empty() {
        return Ok(());
    }
    let (number, oldest) = match rotated.first() {
        Some((number, path)) => (*number, open_if_exists(fs, path.clone())?),
        None => (u64::MAX, open_if_exists(fs, names.active())?),
    };
    check_left_out(fs, names, listed, oldest.as_ref().map(|(_, file)| &**file), number)
}

fn open_if_exists(fs: &dyn FileSystem, path: PathBuf) -> Result<Option<(PathBuf, Arc<dyn FileHandle>)>> {
    let opened = fs.open_if_exists(&path).map_err(MiniStoreError::file(&path, "open"))?;
    Ok(opened.map(|file| (path, file)))
}

#[cfg(test)]
mod tests {
    use std::fs::write;

    use tempfile::TempDir;

    use super::{FileNames, RotatedSegments, add_missed};
    use crate::io::OsFileSystem;

    #[test]
    fn segments_missed_anywhere_are_found() {
        let dir = TempDir::new().unwrap();
        let fs = OsFileSystem::default();
        let names = FileNames::resolve(&fs, &dir.path().join("j")).unwrap();
        let path = |number| names.rotated(number);
        for number in 3..=9 {
            write(path(number), "").unwrap();
        }
        write(dir.path().join("j.005.lock"), "").unwrap();
        let segments = |numbers: &[u64]| -> RotatedSegments {
            numbers.iter().map(|number| (*number, path(*number))).collect()
        };
        for listed in [&[3, 4, 6, 7, 8, 9][..], &[3], &[9], &[6], &[3, 9], &[4, 6, 8]] {
            let mut rotated = segments(listed);
            add_missed(&fs, &names, &mut rotated).unwrap();
            assert_eq!(rotated, segments(&[3, 4, 6, 7, 8, 9]), "listed: {listed:?}");
        }
    }
}
