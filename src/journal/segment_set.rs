//! A consistent list of a journal's segments, even while it is being rotated.

use std::{ffi::OsString, io, path::PathBuf, sync::Arc};

use crate::{
    MiniStoreError, Result,
    format::scan::read_header,
    io::{FileHandle, FileSystem, OpenMode},
    journal::file_names::FileNames,
    journal::ownership::{check_left_out, has_own_lock},
};

/// A rotation takes much longer than two listings, so this many attempts do not fail in a row.
const ATTEMPTS_MAX: u32 = 100;

/// The segments of a journal.
#[derive(Debug)]
pub(crate) struct SegmentSet {
    /// Oldest first.
    pub(crate) rotated: Vec<(u64, PathBuf)>,
    /// The active segment, open, so that a rotation cannot replace it.
    pub(crate) active: Option<(PathBuf, Arc<dyn FileHandle>)>,
}

impl SegmentSet {
    /// Lists the directory before and after it opens the active file. If no segment was rotated in between, that file
    /// follows the newest rotated segment.
    pub(crate) fn take(fs: &dyn FileSystem, names: &FileNames) -> Result<Self> {
        let mut before = list_rotated(fs, names)?;
        let mut attempts = 0;
        loop {
            let active = open_if_exists(fs, names.active())?;
            let after = list_rotated(fs, names)?;
            attempts += 1;
            if before.last() == after.last() || attempts == ATTEMPTS_MAX {
                let active = match active {
                    Some(active) => Some(active),
                    None => unpublished_next_segment(fs, names)?,
                };
                let mut segments = Self { rotated: after, active };
                segments.remove_second_name(fs)?;
                return Ok(segments);
            }
            before = after;
        }
    }
}

impl SegmentSet {
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

fn list_rotated(fs: &dyn FileSystem, names: &FileNames) -> Result<Vec<(u64, PathBuf)>> {
    match fs.list(names.dir()) {
        Ok(listed) => {
            let rotated = names.rotated_in(&listed);
            check_left_out_of(fs, names, &listed, &rotated)?;
            Ok(rotated)
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Vec::new()),
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
    match fs.open(&path, OpenMode::ReadOnly) {
        Ok(file) => Ok(Some((path, file))),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(MiniStoreError::file(path, "open")(error)),
    }
}
