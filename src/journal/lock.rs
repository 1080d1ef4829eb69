//! One writer per journal: an advisory lock (`flock`) on `NAME.lock`, which the kernel releases when the process ends,
//! however it ends. The lock file stays and its content is ignored, so a stale one locks no process out. The
//! active segment is locked, too: this refuses a second writer that opens the journal by another name (a hard link), or
//! after the lock file was removed.
//!
//! A store whose last handle was dropped closes in the background. Opening the journal again in the same process waits
//! for that instead of failing.

use std::{collections::HashMap, path::Path, sync::Arc};

use crate::{
    MiniStoreError, Result,
    io::{FileHandle, FileId, FileSystem, LockFile},
    journal::file_names::FileNames,
    sync::{AtomicBool, Condvar, Mutex, MutexGuard, OnceLock, Ordering, PoisonError, process_wide},
};

process_wide! {
    /// The locks of the process that first opened a journal.
    PROCESS_LOCKS: ProcessLocks;
}

/// The journal locks that one process holds.
#[derive(Debug)]
struct ProcessLocks {
    process: u32,
    /// The held locks, each with whether it will be released without another request.
    locks: Mutex<HashMap<FileId, Arc<AtomicBool>>>,
    /// Notified when an entry of `locks` changes.
    changed: Condvar,
    /// The locks of a forked child, which cannot use its parent's entry: no thread of the child releases those locks,
    /// and the mutex may be locked by a thread that the child does not have.
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
        let mut locks: &'static Self = &PROCESS_LOCKS;
        while locks.process != process {
            locks = locks.fork.get_or_init(|| Box::new(Self::of(process)));
        }
        locks
    }

    fn locks(&self) -> MutexGuard<'_, HashMap<FileId, Arc<AtomicBool>>> {
        self.locks.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The exclusive right to write a journal. Released on drop.
#[derive(Debug)]
pub(crate) struct JournalLock {
    releasing: PendingRelease,
    file: Box<dyn LockFile>,
    /// The active segment, once it is open.
    segment: Option<Arc<dyn FileHandle>>,
}

/// A flag of a lock: it will be released without another request, so an open may wait for it.
#[derive(Debug, Clone, Default)]
pub(crate) struct PendingRelease(Arc<AtomicBool>);

impl PendingRelease {
    pub(crate) fn mark_releasing(&self) {
        let process_locks = ProcessLocks::current();
        let _locks = process_locks.locks();
        self.0.store(true, Ordering::Relaxed);
        process_locks.changed.notify_all();
    }
}

impl JournalLock {
    /// Acquires the lock. Waits for a store of this process that is closing. `releasing` may be marked before this is
    /// called, if the caller that opens the journal has given up.
    ///
    /// # Errors
    ///
    /// [`MiniStoreError::Locked`] if another store holds the lock, or an error of the operating system.
    pub(crate) fn acquire(fs: &dyn FileSystem, names: &FileNames, releasing: PendingRelease) -> Result<Self> {
        let path = names.lock();
        let fail = |action| MiniStoreError::file(&path, action);
        let open = || fs.lock_file(&path).map_err(fail("open the lock file"));
        let locked = |pid| Err(MiniStoreError::Locked { path: names.active(), pid });
        let mut file = open()?;
        let process_locks = ProcessLocks::current();
        let mut locks = process_locks.locks();
        loop {
            while let Some(releasing) = locks.get(&file.id()) {
                if !releasing.load(Ordering::Relaxed) {
                    return locked(Some(process_locks.process));
                }
                locks = process_locks.changed.wait(locks).unwrap_or_else(PoisonError::into_inner);
            }
            if !file.try_lock().map_err(fail("lock"))? {
                return locked(file.holder());
            }
            // Since it was opened, another process may have removed the file, and a third one locked a new one.
            let current = open()?;
            if current.id() == file.id() {
                break;
            }
            file = current;
        }
        locks.insert(file.id(), Arc::clone(&releasing.0));
        Ok(Self { releasing, file, segment: None })
    }

    /// Locks a new active segment, and unlocks the one before.
    ///
    /// # Errors
    ///
    /// [`MiniStoreError::Locked`] if another store has it locked, or an error of the operating system.
    pub(crate) fn lock_segment(&mut self, path: &Path, segment: Arc<dyn FileHandle>) -> Result<()> {
        self.unlock_segment();
        if !segment.try_lock().map_err(MiniStoreError::file(path, "lock"))? {
            return Err(MiniStoreError::Locked { path: path.to_path_buf(), pid: None });
        }
        self.segment = Some(segment);
        Ok(())
    }

    /// Replaces the active segment by one that is locked already. Cannot fail.
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
        let process_locks = ProcessLocks::current();
        let mut locks = process_locks.locks();
        // Explicitly, because closing the file might not release the lock: a process that another thread is starting
        // has the file open, too, until its program is loaded.
        self.unlock_segment();
        if let Err(error) = self.file.unlock() {
            tracing::warn!(%error, "could not unlock the journal");
        }
        locks.remove(&self.file.id());
        process_locks.changed.notify_all();
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
