//! Decides which files belong to a journal and which only have such a name, for the writer, recovery, retention and
//! readers.
//!
//! - A file with a lock file of its own (`FILE.lock`) is another journal. A rotated segment of this name is left out of
//!   every listing ([`FileNames::rotated_in`]), and rotation skips its number.
//! - A file that another store has locked, or that provably does not continue the chain, is not deleted, adopted or
//!   replaced. An operation that would do so fails with an error that names the file.
//! - Damage is no proof: a file that could be a damaged segment of the journal stays part of it.

use std::{
    ffi::OsString,
    io,
    path::{Path, PathBuf},
};

use crate::{
    MiniStoreError, Result,
    error::is_shortage,
    format::scan::read_header,
    format::{ChainLink, HeaderError, SegmentHeader},
    io::{FileHandle, FileSystem, OpenMode, is_at},
    journal::{
        adoption::is_accepted_by_name,
        chain::{ChainRelation, closing_seal, follows},
        file_names::{FileNames, FileRole},
    },
};

/// Checks whether a journal may be opened for writing. Called before the lock file is created, which would turn a file
/// of another journal into a journal of its own.
///
/// # Errors
///
/// [`MiniStoreError::NotOwned`] if its name is a file of another journal, or if another journal has a name that it
/// needs; or an error of the operating system.
pub(crate) fn check_before_opening(fs: &dyn FileSystem, names: &FileNames) -> Result<()> {
    if matches!(fs.id_at(&names.lock()), Ok(Some(_))) {
        // The directory may have many names, and recovery lists it.
        for path in companions(names) {
            let exists = || Ok(has_own_lock(fs, &path)? && fs.id_at(&path)?.is_some());
            if exists().map_err(MiniStoreError::file(&path, "stat"))? {
                return Err(in_the_way(names, &path));
            }
        }
        return Ok(());
    }
    let listed = match fs.list(names.dir()) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        listed => listed.map_err(MiniStoreError::file(names.dir(), "list the directory"))?,
    };
    check_name(fs, names, &listed)?;
    check_companions(names, &listed)
}

/// Checks the name again after the lock file was created: another store may have rotated to this name in between. On an
/// error the lock file, which is new, is removed.
///
/// # Errors
///
/// [`MiniStoreError::NotOwned`], or an error of the operating system.
pub(crate) fn check_after_locking(fs: &dyn FileSystem, names: &FileNames) -> Result<()> {
    let listed = fs.list(names.dir()).map_err(MiniStoreError::file(names.dir(), "list the directory"))?;
    check_name(fs, names, &listed).inspect_err(|_| {
        let _ = fs.remove(&names.lock());
    })
}

/// Checks that the name is not that of a segment of another journal, or of a file next to its segments.
fn check_name(fs: &dyn FileSystem, names: &FileNames, listed: &[OsString]) -> Result<()> {
    let Some((owner, role)) = names.owner() else { return Ok(()) };
    let path = names.active();
    let others: Vec<_> = owner.rotated_in(listed).into_iter().filter(|(_, other)| *other != path).collect();
    let has_own_lock = |path: &Path| is_listed(listed, &with_suffix(path, ".lock"));
    let is_in_use = |file: PathBuf| file != path && is_listed(listed, &file) && !has_own_lock(&file);
    let owner_exists =
        is_listed(listed, &owner.active()) || is_in_use(owner.lock()) || is_in_use(owner.next());
    let FileRole::Segment(number) = role else {
        if owner_exists || !others.is_empty() {
            let owner = owner.active();
            return Err(not_owned(
                &path,
                format!("it is a file of the journal {}: open that one", owner.display()),
            ));
        }
        return Ok(());
    };
    if !is_listed(listed, &path) {
        return Ok(());
    }
    let opened = fs.open_if_exists(&path).map_err(MiniStoreError::file(&path, "open"))?;
    let Some(file) = opened else { return Ok(()) };
    let before = others.iter().rev().find(|(other, _)| *other < number).map(|(_, path)| path.clone());
    let after = others.iter().find(|(other, _)| *other > number).map(|(_, path)| path.clone());
    let after = after
        .into_iter()
        .chain([owner.active(), owner.next()].into_iter().filter(|path| is_listed(listed, path)));
    let relation = || -> io::Result<ChainRelation> {
        let mut relation = ChainRelation::Unknown;
        if let Some(before) = &before {
            relation = relation.or(follows(&*fs.open(before, OpenMode::ReadOnly)?, &*file)?);
        }
        // A prepared segment has no header before it is used: its relation is unknown then.
        if let Some(after) = after.into_iter().next() {
            relation = relation.or(follows(&*file, &*fs.open(&after, OpenMode::ReadOnly)?)?);
        }
        Ok(relation)
    };
    let is_part = match relation().map_err(MiniStoreError::file(&path, "compare with its neighbours"))? {
        ChainRelation::Continues => true,
        ChainRelation::Unrelated => false,
        ChainRelation::Unknown => {
            let header = read_header(&*file).map_err(MiniStoreError::file(&path, "read"))?;
            let is_plain = header == Ok(SegmentHeader::Plain);
            owner_exists && (!is_plain || is_accepted_by_name(&owner, listed, &path))
        }
    };
    if !is_part {
        return Ok(());
    }
    let (owner, lock) = (owner.active(), names.lock());
    let reason = format!(
        "it is a rotated segment of the journal {}: open that one (if it is a journal of its own, say so with an empty \
         file {})",
        owner.display(),
        lock.display()
    );
    Err(not_owned(&path, reason))
}

/// Checks that no other journal has a name that this one needs for a file next to its segments.
///
/// # Errors
///
/// [`MiniStoreError::NotOwned`] if one has.
pub(crate) fn check_companions(names: &FileNames, listed: &[OsString]) -> Result<()> {
    for path in companions(names) {
        if is_listed(listed, &path) && is_listed(listed, &with_suffix(&path, ".lock")) {
            return Err(in_the_way(names, &path));
        }
    }
    Ok(())
}

/// Returns the names that a journal needs for files next to its segments.
fn companions(names: &FileNames) -> [PathBuf; 4] {
    [names.next(), names.lock(), names.holds(), names.holds_next()]
}

/// Returns the error for another journal that has one of these names.
fn in_the_way(names: &FileNames, path: &Path) -> MiniStoreError {
    let reason = format!(
        "it is in the way of the journal {}: the lock file {} makes it a journal of its own; move it away, or remove that \
         lock file if it is not",
        names.active().display(),
        with_suffix(path, ".lock").display()
    );
    not_owned(path, reason)
}

/// Checks that no file with a lock file of its own is a segment of this journal: that the oldest segment continues
/// none.
///
/// # Errors
///
/// [`MiniStoreError::NotOwned`] if it continues one, or an error of the operating system.
pub(crate) fn check_left_out(
    fs: &dyn FileSystem,
    names: &FileNames,
    listed: &[OsString],
    oldest: Option<&dyn FileHandle>,
    number: u64,
) -> Result<()> {
    let left_out = names.foreign_in(listed);
    if left_out.is_empty() {
        return Ok(());
    }
    let Some(oldest) = oldest else { return Ok(()) };
    let header = read_header(oldest).map_err(MiniStoreError::file(names.active(), "read"))?;
    let link = header.ok().and_then(SegmentHeader::link);
    let Some(ChainLink { prev_seal, first_seq }) = link else { return Ok(()) };
    if prev_seal == 0 || first_seq <= 1 {
        return Ok(());
    }
    for (_, path) in left_out.into_iter().rev().filter(|(other, _)| *other < number) {
        let closing = match fs.open(&path, OpenMode::ReadOnly).and_then(|file| closing_seal(&*file)) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
            closing => closing.map_err(MiniStoreError::file(&path, "read"))?,
        };
        if closing == Some(prev_seal) {
            let lock = with_suffix(&path, ".lock");
            let reason = format!(
                "it is a rotated segment of the journal {}, and the lock file {} makes it a journal of its own: remove \
                 that lock file",
                names.active().display(),
                lock.display()
            );
            return Err(not_owned(&path, reason));
        }
    }
    Ok(())
}

/// Checks that no other store has this file locked. A file that does not exist is not locked.
///
/// # Errors
///
/// [`MiniStoreError::Locked`] if it is locked; [`MiniStoreError::Io`] if a shortage prevents the check.
pub(crate) fn check_unlocked(fs: &dyn FileSystem, path: &Path) -> Result<()> {
    let locked = match fs.open(path, OpenMode::ReadOnly) {
        Err(error) if is_shortage(&error) => Err(error),
        Err(_) => Ok(false),
        Ok(file) => is_locked(&*file),
    };
    if locked.map_err(MiniStoreError::file(path, "lock"))? {
        return Err(MiniStoreError::Locked { path: path.to_path_buf(), pid: None });
    }
    Ok(())
}

/// Returns whether another store has this file locked. Any error but a shortage counts as not locked.
fn is_locked(file: &dyn FileHandle) -> io::Result<bool> {
    match file.try_lock() {
        Ok(true) => {
            let _ = file.unlock();
            Ok(false)
        }
        Ok(false) => Ok(true),
        Err(error) if is_shortage(&error) => Err(error),
        // Some file systems lock only files that are open for writing.
        Err(_) => Ok(false),
    }
}

/// Returns why the oldest rotated segment must not be deleted, or its relation to its successor if it may be.
///
/// `is_own` states that it continues a segment of this journal, and so belongs to it even if its successor is missing.
///
/// # Errors
///
/// An error of the operating system.
pub(crate) fn check_deletion(
    segment: &dyn FileHandle,
    successor: Option<&dyn FileHandle>,
    is_own: bool,
) -> io::Result<std::result::Result<ChainRelation, &'static str>> {
    let relation = match (read_header(segment)?, successor) {
        (Err(HeaderError::BadMagic), _) => return Ok(Err("it does not begin as a journal does")),
        (Ok(_), Some(successor)) => follows(segment, successor)?,
        _ => ChainRelation::Unknown,
    };
    if relation == ChainRelation::Unrelated && !is_own {
        return Ok(Err("the segment after it does not continue it: it is not of this journal"));
    }
    if is_locked(segment)? {
        return Ok(Err("another store has it open for writing"));
    }
    Ok(Ok(relation))
}

/// Returns the file that prevents a rename to this name: one that has it, or the lock file that reserves it.
pub(crate) fn conflicting_file(fs: &dyn FileSystem, path: &Path) -> io::Result<Option<PathBuf>> {
    for taken in [path.to_path_buf(), with_suffix(path, ".lock")] {
        if fs.id_at(&taken)?.is_some() {
            return Ok(Some(taken));
        }
    }
    Ok(None)
}

/// Returns whether a lock file makes this file a journal of its own. Any error but a shortage counts as no lock file.
pub(crate) fn has_own_lock(fs: &dyn FileSystem, path: &Path) -> io::Result<bool> {
    match fs.id_at(&with_suffix(path, ".lock")) {
        Err(error) if is_shortage(&error) => Err(error),
        found => Ok(matches!(found, Ok(Some(_)))),
    }
}

/// Removes a file that this store created, unless another file has its name.
pub(crate) fn remove_own(fs: &dyn FileSystem, path: &Path, file: &dyn FileHandle) -> io::Result<()> {
    if !is_at(fs, path, file)? {
        return Ok(());
    }
    match fs.remove(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        removed => removed,
    }
}

/// Removes the file of this name, which a failed attempt to create it may have left, if it is empty and not locked.
pub(crate) fn remove_empty(fs: &dyn FileSystem, path: &Path) -> io::Result<()> {
    let Some(file) = fs.open_if_exists(path)? else { return Ok(()) };
    if file.len()? == 0 && !has_own_lock(fs, path)? && !is_locked(&*file)? {
        return remove_own(fs, path, &*file);
    }
    Ok(())
}

/// Returns the error for an active segment that no longer has its name.
pub(crate) fn moved_away(path: &Path) -> io::Error {
    let path = path.display();
    io::Error::other(format!(
        "the active segment is no longer at {path}: moved, deleted or replaced by another process"
    ))
}

pub(crate) fn not_owned(path: &Path, reason: String) -> MiniStoreError {
    MiniStoreError::NotOwned { path: path.to_path_buf(), reason }
}

fn is_listed(listed: &[OsString], path: &Path) -> bool {
    let wanted = path.file_name();
    listed.iter().any(|name| wanted == Some(name))
}

fn with_suffix(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_os_string();
    name.push(suffix);
    name.into()
}
