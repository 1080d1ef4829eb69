//! Which files belong to a journal, and which only look as if they did. The one place that decides it, for the writer,
//! recovery, retention and readers.
//!
//! - A file with a lock file of its own (`FILE.lock`) is another journal. A rotated segment of this name is left out of
//!   every listing ([`FileNames::rotated_in`]), and rotation skips its number.
//! - A file that another store holds locked, or that provably does not continue the chain, is not deleted, adopted or
//!   replaced. Whatever would do so fails with an error that names the file.
//! - Damage is no proof: a file that could be a damaged segment of the journal stays part of it.

use std::{
    ffi::OsString,
    io,
    path::{Path, PathBuf},
};

use crate::{
    MiniStoreError, Result,
    format::scan::read_header,
    format::{CLOSE_MARKER, ChainLink, Header, HeaderError, LF, SEAL_LEN, seal},
    io::{FileHandle, FileSystem, OpenMode, is_at, is_shortage},
    journal::file_names::{FileNames, Role},
    journal::segment_summary::scan_to_end,
};

/// Returns an error where a journal must not be opened for writing: its name is a file of another journal, or another
/// journal has a name that it needs. Called before the lock file is created, which would turn a file of another journal
/// into a journal of its own.
///
/// # Errors
///
/// [`MiniStoreError::NotOwned`], or what the operating system says.
pub(crate) fn check_before_opening(disk: &dyn FileSystem, names: &FileNames) -> Result<()> {
    let listed = match disk.list(names.dir()) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        listed => listed.map_err(MiniStoreError::file(names.dir(), "list the directory"))?,
    };
    if !is_listed(&listed, &names.lock()) {
        check_name(disk, names, &listed)?;
    }
    check_companions(names, &listed)
}

/// The same check of the name again, once the lock file was created: another store may have rotated to this name meanwhile.
/// A lock file that was not there before is removed then.
///
/// # Errors
///
/// [`MiniStoreError::NotOwned`], or what the operating system says.
pub(crate) fn check_after_locking(disk: &dyn FileSystem, names: &FileNames) -> Result<()> {
    let listed = disk.list(names.dir()).map_err(MiniStoreError::file(names.dir(), "list the directory"))?;
    check_name(disk, names, &listed).inspect_err(|_| {
        let _ = disk.remove(&names.lock());
    })
}

/// Returns an error where the name is that of a segment of another journal, or of a file next to its segments.
fn check_name(disk: &dyn FileSystem, names: &FileNames, listed: &[OsString]) -> Result<()> {
    let Some((owner, role)) = names.owner() else { return Ok(()) };
    let path = names.active();
    let others: Vec<_> = owner.rotated_in(listed).into_iter().filter(|(_, other)| *other != path).collect();
    let has_own_lock = |path: &Path| is_listed(listed, &with_suffix(path, ".lock"));
    let is_in_use = |file: PathBuf| file != path && is_listed(listed, &file) && !has_own_lock(&file);
    let is_owner_there =
        is_listed(listed, &owner.active()) || is_in_use(owner.lock()) || is_in_use(owner.next());
    let Role::Segment(number) = role else {
        if is_owner_there || !others.is_empty() {
            let owner = owner.active();
            return Err(refuse(
                &path,
                format!("it is a file of the journal {}: open that one", owner.display()),
            ));
        }
        return Ok(());
    };
    if !is_listed(listed, &path) {
        return Ok(());
    }
    let file = match disk.open(&path, OpenMode::ReadOnly) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        opened => opened.map_err(MiniStoreError::file(&path, "open"))?,
    };
    let before = others.iter().rev().find(|(other, _)| *other < number).map(|(_, path)| path.clone());
    let after = others.iter().find(|(other, _)| *other > number).map(|(_, path)| path.clone());
    let after = after
        .into_iter()
        .chain([owner.active(), owner.next()].into_iter().filter(|path| is_listed(listed, path)));
    let place = || -> io::Result<Place> {
        let mut place = Place::Unknown;
        if let Some(before) = &before {
            place = place.or(follows(&*disk.open(before, OpenMode::ReadOnly)?, &*file)?);
        }
        // A prepared file has no header before it is used.
        if let Some(after) = after.into_iter().next() {
            place = place.or(follows(&*file, &*disk.open(&after, OpenMode::ReadOnly)?)?);
        }
        Ok(place)
    };
    let is_part = match place().map_err(MiniStoreError::file(&path, "compare with its neighbours"))? {
        Place::Continues => true,
        Place::Elsewhere => false,
        Place::Unknown => is_owner_there,
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
    Err(refuse(&path, reason))
}

/// Returns an error where another journal has a name that this one needs for a file next to its segments.
///
/// # Errors
///
/// [`MiniStoreError::NotOwned`].
pub(crate) fn check_companions(names: &FileNames, listed: &[OsString]) -> Result<()> {
    for path in [names.next(), names.lock(), names.holds(), names.holds_next()] {
        let lock = with_suffix(&path, ".lock");
        if is_listed(listed, &path) && is_listed(listed, &lock) {
            let reason = format!(
                "it is in the way of the journal {}: the lock file {} makes it a journal of its own; move it away, or \
                 remove that lock file if it is not",
                names.active().display(),
                lock.display()
            );
            return Err(refuse(&path, reason));
        }
    }
    Ok(())
}

/// Returns an error where a file is left out of the journal for its lock file, and the oldest segment continues it.
///
/// # Errors
///
/// [`MiniStoreError::NotOwned`], or what the operating system says.
pub(crate) fn check_left_out(
    disk: &dyn FileSystem,
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
    let Ok(Header::Sealed(ChainLink { prev, first })) = header else { return Ok(()) };
    if prev == 0 || first <= 1 {
        return Ok(());
    }
    for (_, path) in left_out.into_iter().rev().filter(|(other, _)| *other < number) {
        let closing = match disk.open(&path, OpenMode::ReadOnly).and_then(|file| closing_seal(&*file)) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
            closing => closing.map_err(MiniStoreError::file(&path, "read"))?,
        };
        if closing == Some(prev) {
            let lock = with_suffix(&path, ".lock");
            let reason = format!(
                "it is a rotated segment of the journal {}, and the lock file {} makes it a journal of its own: remove \
                 that lock file",
                names.active().display(),
                lock.display()
            );
            return Err(refuse(&path, reason));
        }
    }
    Ok(())
}

/// Returns an error where another store holds a lock on this file. Nothing is locked where there is no such file.
///
/// # Errors
///
/// [`MiniStoreError::Locked`]; [`MiniStoreError::Io`] where a shortage keeps that from being found out.
pub(crate) fn check_unlocked(disk: &dyn FileSystem, path: &Path) -> Result<()> {
    let locked = match disk.open(path, OpenMode::ReadOnly) {
        Err(error) if is_shortage(&error) => Err(error),
        Err(_) => Ok(false),
        Ok(file) => is_locked(&*file),
    };
    if locked.map_err(MiniStoreError::file(path, "lock"))? {
        return Err(MiniStoreError::Locked { path: path.to_path_buf(), pid: None });
    }
    Ok(())
}

/// Returns whether another store writes this file. A file that cannot be locked is not known to be; a shortage is an error.
fn is_locked(file: &dyn FileHandle) -> io::Result<bool> {
    match file.try_lock() {
        Ok(true) => {
            let _ = file.unlock();
            Ok(false)
        }
        Ok(false) => Ok(true),
        Err(error) if is_shortage(&error) => Err(error),
        // Where locking needs a file that is open for writing.
        Err(_) => Ok(false),
    }
}

/// Returns why the oldest rotated segment must not be deleted, or else whether its successor continues it. `is_own`: it is
/// known to be of this journal, for it continues a segment that was; its successor may be missing then.
///
/// # Errors
///
/// What the operating system says.
pub(crate) fn check_deletion(
    segment: &dyn FileHandle,
    successor: Option<&dyn FileHandle>,
    is_own: bool,
) -> io::Result<std::result::Result<Place, &'static str>> {
    let place = match (read_header(segment)?, successor) {
        (Err(HeaderError::BadMagic), _) => return Ok(Err("it does not begin as a journal does")),
        (Ok(_), Some(successor)) => follows(segment, successor)?,
        _ => Place::Unknown,
    };
    if place == Place::Elsewhere && !is_own {
        return Ok(Err("the segment after it does not continue it: it is not of this journal"));
    }
    if is_locked(segment)? {
        return Ok(Err("another store has it open for writing"));
    }
    Ok(Ok(place))
}

/// How two segments stand to each other.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Place {
    /// The second continues the first.
    Continues,
    /// It provably does not.
    Elsewhere,
    /// One of them does not say: it has no checksums, or is damaged.
    Unknown,
}

impl Place {
    fn or(self, other: Self) -> Self {
        if self == Self::Unknown { other } else { self }
    }
}

/// Compares the last seal of a segment with what the next one's header says of it. Reads the first to its end only where
/// its last bytes do not show it.
pub(crate) fn follows(segment: &dyn FileHandle, next: &dyn FileHandle) -> io::Result<Place> {
    let Ok(Header::Sealed(link)) = read_header(next)? else { return Ok(Place::Unknown) };
    let last_seal = match closing_seal(segment)? {
        Some(seal) => seal,
        None => match scan_to_end(segment)? {
            Ok(scanned) if scanned.end.tail.is_none() => scanned.end.last_seal.unwrap_or(0),
            _ => return Ok(Place::Unknown),
        },
    };
    Ok(if last_seal == link.prev { Place::Continues } else { Place::Elsewhere })
}

/// Returns the seal of a file that ends as a closed one does.
pub(crate) fn closing_seal(file: &dyn FileHandle) -> io::Result<Option<u32>> {
    let mut closing = [0; SEAL_LEN + 2];
    let Some(offset) = file.len()?.checked_sub(closing.len() as u64) else { return Ok(None) };
    if file.read_at(&mut closing, offset)? != closing.len() || !closing.ends_with(&[CLOSE_MARKER, LF]) {
        return Ok(None);
    }
    Ok(seal::decode(&closing))
}

/// Returns the file that keeps a rotated segment from getting this name: one that has it, or its lock file.
pub(crate) fn in_the_way(disk: &dyn FileSystem, path: &Path) -> io::Result<Option<PathBuf>> {
    for taken in [path.to_path_buf(), with_suffix(path, ".lock")] {
        if disk.id_at(&taken)?.is_some() {
            return Ok(Some(taken));
        }
    }
    Ok(None)
}

/// Returns whether there is a lock file that makes this file a journal of its own. Where that cannot be found out there is
/// none; a shortage is an error.
pub(crate) fn has_own_lock(disk: &dyn FileSystem, path: &Path) -> io::Result<bool> {
    match disk.id_at(&with_suffix(path, ".lock")) {
        Err(error) if is_shortage(&error) => Err(error),
        found => Ok(matches!(found, Ok(Some(_)))),
    }
}

/// Removes a file that this store created, unless another file has its name by now.
pub(crate) fn remove_own(disk: &dyn FileSystem, path: &Path, file: &dyn FileHandle) -> io::Result<()> {
    if !is_at(disk, path, file)? {
        return Ok(());
    }
    match disk.remove(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        removed => removed,
    }
}

/// Removes the file of this name if it is empty and not locked: one that a failed attempt to create it may have
/// left.
pub(crate) fn remove_empty(disk: &dyn FileSystem, path: &Path) -> io::Result<()> {
    let file = match disk.open(path, OpenMode::ReadOnly) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        opened => opened?,
    };
    if file.len()? == 0 && !has_own_lock(disk, path)? && !is_locked(&*file)? {
        return remove_own(disk, path, &*file);
    }
    Ok(())
}

/// The active segment does not have the name any more that it should have.
pub(crate) fn moved_away(path: &Path) -> io::Error {
    let path = path.display();
    io::Error::other(format!(
        "the active segment is no longer at {path}: moved, deleted or replaced by another process"
    ))
}

pub(crate) fn refuse(path: &Path, reason: String) -> MiniStoreError {
    MiniStoreError::NotOwned { path: path.to_path_buf(), reason }
}

fn is_listed(listed: &[OsString], path: &Path) -> bool {
    listed.iter().any(|name| path.file_name() == Some(name))
}

fn with_suffix(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_os_string();
    name.push(suffix);
    name.into()
}
