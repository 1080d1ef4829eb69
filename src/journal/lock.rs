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
    io::{FileHandle, FileId, FileSystem, LockFile},
    journal::file_names::FileNames,
    seeded_bugs::{Bug, seeded},
    sync::{AtomicBool, Condvar, Mutex, MutexGuard, OnceLock, Ordering, PoisonError, process_wide},
};

process_wide! {
    /// Of the process that first opened a journal.
    FIRST: ProcessLocks;
}

/// What one process holds.
#[derive(Debug)]
struct ProcessLocks {
    process: u32,
    /// Whether each lock is about to be released.
    locks: Mutex<HashMap<FileId, Arc<AtomicBool>>>,
    /// Told whenever something in `locks` changes.
    changed: Condvar,
    /// A fork finds here what its parent held, and begins anew behind it: nobody releases those locks in the fork,
    /// and the mutex may have been locked by a thread that is not there.
    fork: OnceLock<Box<ProcessLocks>>,
}

impl Default for ProcessLocks {
    fn default() -> Self {
        Self::of(std::process::id())
    }
}

impl ProcessLocks {
    fn of(process: u32) -> Self {
        Self { process, locks: Mutex::default(), changed: Condvar::new(), fork: OnceLock::new() }
    }

    fn current() -> &'static Self {
        let process = std::process::id();
        let mut held: &'static Self = &FIRST;
        while held.process != process {
            held = held.fork.get_or_init(|| Box::new(Self::of(process)));
        }
        held
    }

    fn locks(&self) -> MutexGuard<'_, HashMap<FileId, Arc<AtomicBool>>> {
        self.locks.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The exclusive right to write a journal; released on drop.
#[derive(Debug)]
pub(crate) struct JournalLock {
    releasing: PendingRelease,
    file: Box<dyn LockFile>,
    /// The active segment, once it is known.
    segment: Option<Arc<dyn FileHandle>>,
}

/// Says that a lock will be released without anybody asking again.
#[derive(Debug, Clone, Default)]
pub(crate) struct PendingRelease(Arc<AtomicBool>);

impl PendingRelease {
    pub(crate) fn mark_releasing(&self) {
        let held = ProcessLocks::current();
        let _locks = held.locks();
        self.0.store(true, Ordering::Relaxed);
        held.changed.notify_all();
    }
}

impl JournalLock {
    /// Takes the lock, after a store of this process that is closing has let go of it. `releasing` may be announced
    /// already: whoever asked for the lock gave up meanwhile.
    ///
    /// # Errors
    ///
    /// [`MiniStoreError::Locked`], or what the operating system says.
    pub(crate) fn acquire(
        disk: &dyn FileSystem,
        names: &FileNames,
        releasing: PendingRelease,
    ) -> Result<Self> {
        let path = names.lock();
        let fail = |action| MiniStoreError::file(&path, action);
        let open = || disk.lock_file(&path).map_err(fail("open the lock file"));
        let locked = |pid| Err(MiniStoreError::Locked { path: names.active(), pid });
        let mut file = open()?;
        let held = ProcessLocks::current();
        let mut locks = held.locks();
        loop {
            while let Some(releasing) = locks.get(&file.id()) {
                if !releasing.load(Ordering::Relaxed) {
                    return locked(Some(held.process));
                }
                locks = held.changed.wait(locks).unwrap_or_else(PoisonError::into_inner);
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
        locks.insert(file.id(), Arc::clone(&releasing.0));
        Ok(Self { releasing, file, segment: None })
    }

    /// Locks the file that is the active segment from now on, and lets go of the one before.
    ///
    /// # Errors
    ///
    /// [`MiniStoreError::Locked`], or what the operating system says.
    pub(crate) fn lock_segment(&mut self, path: &Path, segment: Arc<dyn FileHandle>) -> Result<()> {
        self.unlock_segment();
        if !segment.try_lock().map_err(MiniStoreError::file(path, "lock"))? {
            return Err(MiniStoreError::Locked { path: path.to_path_buf(), pid: None });
        }
        self.segment = Some(segment);
        Ok(())
    }

    /// As [`lock_segment`](Self::lock_segment), with a file that is locked already. Cannot fail.
    pub(crate) fn lock_segment_with(&mut self, segment: Arc<dyn FileHandle>) {
        self.unlock_segment();
        self.segment = Some(segment);
    }

    pub(crate) fn releasing(&self) -> &PendingRelease {
        &self.releasing
    }

    fn unlock_segment(&mut self) {
        if let Some(Err(error)) = self.segment.take().map(|segment| segment.unlock()) {
            tracing::warn!(%error, "could not unlock a segment");
        }
    }
}

impl Drop for JournalLock {
    fn drop(&mut self) {
        let held = ProcessLocks::current();
        let mut locks = held.locks();
        // Said explicitly: where another thread is starting a process, that process has this file open too until
        // its program is loaded, and closing it here alone would not release the lock.
        self.unlock_segment();
        if let Err(error) = self.file.unlock() {
            tracing::warn!(%error, "could not unlock the journal");
        }
        locks.remove(&self.file.id());
        if !seeded(Bug::UnlockWithoutNotify) {
            held.changed.notify_all();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::io::os_file_system;

    #[test]
    fn second_lock_waits_for_pending_unlock() {
        let dir = tempfile::tempdir().unwrap();
        let names = FileNames::resolve(&*os_file_system(), &dir.path().join("j")).unwrap();
        let releasing = PendingRelease::default();
        let first = JournalLock::acquire(&*os_file_system(), &names, releasing.clone()).unwrap();
        assert!(matches!(
            JournalLock::acquire(&*os_file_system(), &names, PendingRelease::default()),
            Err(MiniStoreError::Locked { pid: Some(pid), .. }) if pid == std::process::id()
        ));
        releasing.mark_releasing();
        let second = std::thread::spawn({
            let names = names.clone();
            move || JournalLock::acquire(&*os_file_system(), &names, PendingRelease::default()).map(drop)
        });
        drop(first);
        second.join().unwrap().unwrap();
    }
}
