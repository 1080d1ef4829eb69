//! Which files make up a journal at one moment, though it may be rotated at that moment.

use std::{ffi::OsString, io, path::PathBuf, sync::Arc};

use crate::{
    MiniStoreError, Result,
    format::scan::read_header,
    io::{FileHandle, FileSystem, OpenMode},
    journal::file_names::FileNames,
    journal::ownership::{check_left_out, has_own_lock},
};

/// A rotation takes far longer than looking twice; this many in a row do not happen.
const ATTEMPTS_MAX: u32 = 100;

/// The files of a journal.
#[derive(Debug)]
pub(crate) struct SegmentSet {
    /// Oldest first.
    pub(crate) rotated: Vec<(u64, PathBuf)>,
    /// Opened, so that a rotation does not take it away.
    pub(crate) active: Option<(PathBuf, Arc<dyn FileHandle>)>,
}

impl SegmentSet {
    /// Looks at the directory before and after the active file is opened: if no segment was archived in between,
    /// the file opened is the one that follows the newest archived segment.
    pub(crate) fn take(disk: &dyn FileSystem, names: &FileNames) -> Result<Self> {
        let mut before = list_rotated(disk, names)?;
        let mut attempts = 0;
        loop {
            let active = open_if_there(disk, names.active())?;
            let after = list_rotated(disk, names)?;
            attempts += 1;
            if before.last() == after.last() || attempts == ATTEMPTS_MAX {
                let active = match active {
                    Some(active) => Some(active),
                    None => unpublished_next_segment(disk, names)?,
                };
                let mut snapshot = Self { rotated: after, active };
                snapshot.leave_out_second_name(disk)?;
                return Ok(snapshot);
            }
            before = after;
        }
    }
}

impl SegmentSet {
    /// A rename by links gives the active file its archived name before it takes the active one away: one file.
    fn leave_out_second_name(&mut self, disk: &dyn FileSystem) -> Result<()> {
        let (Some((_, newest)), Some((path, file))) = (self.rotated.last(), &self.active) else {
            return Ok(());
        };
        let id = file.id().map_err(MiniStoreError::file(path, "stat"))?;
        let newest = disk.id_at(newest).map_err(MiniStoreError::file(newest, "stat"))?;
        if id.is_some() && id == newest {
            self.rotated.pop();
        }
        Ok(())
    }
}

/// Between the last two steps of a rotation (or after a power cut there) the newest records stand in `NAME.next`.
fn unpublished_next_segment(
    disk: &dyn FileSystem,
    names: &FileNames,
) -> Result<Option<(PathBuf, Arc<dyn FileHandle>)>> {
    let is_foreign = has_own_lock(disk, &names.next());
    let is_foreign = is_foreign.map_err(MiniStoreError::file(names.next(), "stat"))?;
    let next = if is_foreign { None } else { open_if_there(disk, names.next())? };
    let Some((path, file)) = next else {
        // It may just have got its name.
        return open_if_there(disk, names.active());
    };
    let header = read_header(&*file).map_err(MiniStoreError::file(&path, "read"))?;
    Ok(header.is_ok().then_some((path, file)))
}

fn list_rotated(disk: &dyn FileSystem, names: &FileNames) -> Result<Vec<(u64, PathBuf)>> {
    match disk.list(names.dir()) {
        Ok(listed) => {
            let rotated = names.rotated_in(&listed);
            check_left_out_of(disk, names, &listed, &rotated)?;
            Ok(rotated)
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Vec::new()),
        Err(error) => Err(MiniStoreError::file(names.dir(), "list the directory")(error)),
    }
}

/// No record of the journal may be left out silently. See [`check_left_out`].
fn check_left_out_of(
    disk: &dyn FileSystem,
    names: &FileNames,
    listed: &[OsString],
    rotated: &[(u64, PathBuf)],
) -> Result<()> {
    if names.foreign_in(listed).is_empty() {
        return Ok(());
    }
    let (number, oldest) = match rotated.first() {
        Some((number, path)) => (*number, open_if_there(disk, path.clone())?),
        None => (u64::MAX, open_if_there(disk, names.active())?),
    };
    check_left_out(disk, names, listed, oldest.as_ref().map(|(_, file)| &**file), number)
}

fn open_if_there(disk: &dyn FileSystem, path: PathBuf) -> Result<Option<(PathBuf, Arc<dyn FileHandle>)>> {
    match disk.open(&path, OpenMode::ReadOnly) {
        Ok(file) => Ok(Some((path, file))),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(MiniStoreError::file(path, "open")(error)),
    }
}
