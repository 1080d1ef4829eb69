//! One writer per journal: an advisory lock (`flock`) on `NAME.lock`, which the kernel releases when the
//! process ends, however it ends. The file itself stays and holds nothing.
//!
//! A store whose last handle was dropped closes in the background; opening the journal again in the same
//! process waits for that instead of failing.

use std::{
    collections::HashMap,
    fs::{self, File, OpenOptions, TryLockError},
    os::unix::fs::MetadataExt,
    path::Path,
    sync::atomic::{AtomicBool, Ordering},
    sync::{Arc, Condvar, LazyLock, Mutex, MutexGuard, PoisonError},
};

use crate::{MiniStoreError, Result, names::Names};

/// A file, whatever its name: device and inode.
type FileId = (u64, u64);

/// The locks that this process holds, and whether each is about to be released.
static HELD: LazyLock<Mutex<HashMap<FileId, Arc<AtomicBool>>>> = LazyLock::new(Mutex::default);

/// Told whenever something in [`HELD`] changes.
static CHANGED: Condvar = Condvar::new();

/// The exclusive right to write a journal; released on drop.
#[derive(Debug)]
pub(crate) struct JournalLock {
    id: FileId,
    releasing: Releasing,
    file: Option<File>,
}

/// Says that a lock will be released without anybody asking again.
#[derive(Debug, Clone)]
pub(crate) struct Releasing(Arc<AtomicBool>);

impl Releasing {
    pub(crate) fn announce(&self) {
        let _held = held();
        self.0.store(true, Ordering::Relaxed);
        CHANGED.notify_all();
    }
}

impl JournalLock {
    /// Takes the lock, after a store of this process that is closing has let go of it.
    ///
    /// # Errors
    ///
    /// [`MiniStoreError::Locked`], or what the operating system says.
    pub(crate) fn acquire(names: &Names) -> Result<Self> {
        let path = names.lock();
        let fail = |action| MiniStoreError::file(&path, action);
        let mut options = OpenOptions::new();
        options.read(true).write(true).create(true).truncate(false);
        let file = options.open(&path).map_err(fail("open the lock file"))?;
        let meta = file.metadata().map_err(fail("look at the lock file"))?;
        let id = (meta.dev(), meta.ino());
        let locked = |pid| Err(MiniStoreError::Locked { path: names.active(), pid });

        let mut held = held();
        while let Some(releasing) = held.get(&id) {
            if !releasing.load(Ordering::Relaxed) {
                return locked(Some(std::process::id()));
            }
            held = CHANGED.wait(held).unwrap_or_else(PoisonError::into_inner);
        }
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => return locked(holder(id)),
            Err(TryLockError::Error(error)) => return Err(fail("lock")(error)),
        }
        let releasing = Releasing(Arc::default());
        held.insert(id, Arc::clone(&releasing.0));
        Ok(Self { id, releasing, file: Some(file) })
    }

    pub(crate) fn releasing(&self) -> Releasing {
        self.releasing.clone()
    }
}

impl Drop for JournalLock {
    fn drop(&mut self) {
        let mut held = held();
        // Said explicitly: where another thread is starting a process, that process has this file open too until
        // its program is loaded, and closing it here alone would not release the lock.
        if let Some(Err(error)) = self.file.take().map(|file| file.unlock()) {
            tracing::warn!(%error, "could not release the journal's lock");
        }
        held.remove(&self.id);
        CHANGED.notify_all();
    }
}

fn held() -> MutexGuard<'static, HashMap<FileId, Arc<AtomicBool>>> {
    HELD.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The process that holds the lock, as far as `/proc/locks` tells.
fn holder(id: FileId) -> Option<u32> {
    holder_in(&fs::read_to_string(Path::new("/proc/locks")).ok()?, id)
}

/// Reads lines like `1: FLOCK  ADVISORY  WRITE 4711 08:01:131090 0 EOF` (proc(5)).
fn holder_in(locks: &str, (dev, inode): FileId) -> Option<u32> {
    let device = (rustix::fs::major(dev), rustix::fs::minor(dev));
    locks.lines().find_map(|line| {
        let fields: Vec<_> = line.split_whitespace().collect();
        let [_, "FLOCK", _, "WRITE", pid, place, ..] = fields[..] else { return None };
        let [major, minor, ino] = place.split(':').collect::<Vec<_>>()[..] else { return None };
        let major = u32::from_str_radix(major, 16).ok()?;
        let minor = u32::from_str_radix(minor, 16).ok()?;
        ((major, minor) == device && ino.parse() == Ok(inode)).then(|| pid.parse().ok())?
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_holder_is_found_in_the_kernels_list() {
        let locks = "1: POSIX  ADVISORY  WRITE 1 08:01:77 0 EOF\n\
                     2: FLOCK  ADVISORY  READ  2 08:01:77 0 EOF\n\
                     3: FLOCK  ADVISORY  WRITE 4711 08:01:77 0 EOF\n";
        let dev = rustix::fs::makedev(8, 1);
        assert_eq!(holder_in(locks, (dev, 77)), Some(4711));
        assert_eq!(holder_in(locks, (dev, 78)), None);
    }

    #[test]
    fn a_second_lock_waits_for_one_that_is_being_released() {
        let dir = tempfile::tempdir().unwrap();
        let names = Names::resolve(&dir.path().join("j")).unwrap();
        let first = JournalLock::acquire(&names).unwrap();
        assert!(matches!(
            JournalLock::acquire(&names),
            Err(MiniStoreError::Locked { pid: Some(pid), .. }) if pid == std::process::id()
        ));
        first.releasing().announce();
        let second = std::thread::spawn({
            let names = names.clone();
            move || JournalLock::acquire(&names).map(drop)
        });
        drop(first);
        second.join().unwrap().unwrap();
    }
}
