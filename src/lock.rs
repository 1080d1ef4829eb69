//! One writer per journal: an advisory lock (`flock`) on `NAME.lock`, which the kernel releases when the
//! process ends, however it ends. The file itself stays and holds nothing: what a process that is gone left in it
//! or beside it cannot keep anybody out. The active segment is locked, too, so that a second writer is refused who
//! comes by another name (a hard link), or after somebody removed the lock file.
//!
//! A store whose last handle was dropped closes in the background; opening the journal again in the same
//! process waits for that instead of failing.

use std::{collections::HashMap, path::Path, sync::Arc};

use crate::{
    MiniStoreError, Result,
    device::{Disk, DiskFile, FileId, LockFile},
    names::Names,
    sync::{AtomicBool, Condvar, Mutex, MutexGuard, Ordering, PoisonError, broken, process_wide},
};

process_wide! {
    /// The locks that this process holds, and whether each is about to be released.
    HELD: Mutex<HashMap<FileId, Arc<AtomicBool>>>;

    /// Told whenever something in [`HELD`] changes.
    CHANGED: Condvar;
}

/// The exclusive right to write a journal; released on drop.
#[derive(Debug)]
pub(crate) struct JournalLock {
    file: Box<dyn LockFile>,
    /// The active segment, once it is known.
    segment: Option<Arc<dyn DiskFile>>,
}

/// Says that a lock will be released without anybody asking again.
#[derive(Debug, Clone, Default)]
pub(crate) struct Releasing(Arc<AtomicBool>);

impl Releasing {
    pub(crate) fn announce(&self) {
        let _held = held();
        self.0.store(true, Ordering::Relaxed);
        CHANGED.notify_all();
    }
}

impl JournalLock {
    /// Takes the lock, after a store of this process that is closing has let go of it. `releasing` may be announced
    /// already: whoever asked for the lock gave up meanwhile.
    ///
    /// # Errors
    ///
    /// [`MiniStoreError::Locked`], or what the operating system says.
    pub(crate) fn acquire(disk: &dyn Disk, names: &Names, releasing: Releasing) -> Result<Self> {
        let path = names.lock();
        let fail = |action| MiniStoreError::file(&path, action);
        let open = || disk.lock_file(&path).map_err(fail("open the lock file"));
        let locked = |pid| Err(MiniStoreError::Locked { path: names.active(), pid });
        let mut file = open()?;
        let mut held = held();
        loop {
            while let Some(releasing) = held.get(&file.id()) {
                if !releasing.load(Ordering::Relaxed) {
                    return locked(Some(std::process::id()));
                }
                held = CHANGED.wait(held).unwrap_or_else(PoisonError::into_inner);
            }
            if !file.try_lock().map_err(fail("lock"))? {
                return locked(file.holder());
            }
            // Somebody may have removed the file, and somebody else locked a new one, since it was opened.
            let named = open()?;
            if named.id() == file.id() {
                break;
            }
            file = named;
        }
        held.insert(file.id(), Arc::clone(&releasing.0));
        Ok(Self { file, segment: None })
    }

    /// Locks the file that is the active segment from now on, and lets go of the one before.
    ///
    /// # Errors
    ///
    /// [`MiniStoreError::Locked`], or what the operating system says.
    pub(crate) fn cover(&mut self, path: &Path, segment: Arc<dyn DiskFile>) -> Result<()> {
        self.uncover();
        if !segment.try_lock().map_err(MiniStoreError::file(path, "lock"))? {
            return Err(MiniStoreError::Locked { path: path.to_path_buf(), pid: None });
        }
        self.segment = Some(segment);
        Ok(())
    }

    fn uncover(&mut self) {
        if let Some(Err(error)) = self.segment.take().map(|segment| segment.unlock()) {
            tracing::warn!(%error, "could not release the lock of a segment");
        }
    }
}

impl Drop for JournalLock {
    fn drop(&mut self) {
        let mut held = held();
        // Said explicitly: where another thread is starting a process, that process has this file open too until
        // its program is loaded, and closing it here alone would not release the lock.
        self.uncover();
        if let Err(error) = self.file.unlock() {
            tracing::warn!(%error, "could not release the journal's lock");
        }
        held.remove(&self.file.id());
        if !broken!(UnlocksSilently) {
            CHANGED.notify_all();
        }
    }
}

fn held() -> MutexGuard<'static, HashMap<FileId, Arc<AtomicBool>>> {
    HELD.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::device::real;

    #[test]
    fn a_second_lock_waits_for_one_that_is_being_released() {
        let dir = tempfile::tempdir().unwrap();
        let names = Names::resolve(&*real(), &dir.path().join("j")).unwrap();
        let releasing = Releasing::default();
        let first = JournalLock::acquire(&*real(), &names, releasing.clone()).unwrap();
        assert!(matches!(
            JournalLock::acquire(&*real(), &names, Releasing::default()),
            Err(MiniStoreError::Locked { pid: Some(pid), .. }) if pid == std::process::id()
        ));
        releasing.announce();
        let second = std::thread::spawn({
            let names = names.clone();
            move || JournalLock::acquire(&*real(), &names, Releasing::default()).map(drop)
        });
        drop(first);
        second.join().unwrap().unwrap();
    }
}
