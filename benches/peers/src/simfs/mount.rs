//! Mounts a [`SimDisk`] as a FUSE file system.

use std::{
    fs, io,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use fuser::{BackgroundSession, Config, MountOption, ReplyEmpty};

use super::{
    fuse::{FuseServer, SimFsState, SyncFaults},
    model::{NameDurability, SimDisk},
};

/// A mounted disk; it is unmounted when it is dropped.
#[derive(Debug)]
pub struct MountedSimFs {
    state: Arc<Mutex<SimFsState>>,
    session: Option<BackgroundSession>,
    path: PathBuf,
}

impl MountedSimFs {
    /// Mounts `disk` at `path`, which is created.
    ///
    /// # Errors
    ///
    /// FUSE is missing or not permitted.
    pub fn mount(disk: SimDisk, names: NameDurability, path: &Path) -> io::Result<Self> {
        fs::create_dir_all(path)?;
        let state = Arc::new(Mutex::new(SimFsState { disk, names, faults: SyncFaults::default() }));
        let mut config = Config::default();
        config.mount_options = vec![MountOption::FSName("volatile".to_string()), MountOption::NoAtime];
        let session = fuser::spawn_mount(FuseServer(Arc::clone(&state)), path, &config)?;
        Ok(Self { state, session: Some(session), path: path.to_path_buf() })
    }

    /// Returns the mount point.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    fn state(&self) -> MutexGuard<'_, SimFsState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Returns a copy of the current disk.
    #[must_use]
    pub fn disk(&self) -> SimDisk {
        self.state().disk.clone()
    }

    /// Returns the number of requested syncs of files.
    #[must_use]
    pub fn syncs(&self) -> u64 {
        self.state().faults.syncs
    }

    /// Lets `remaining` more syncs of files succeed, then one fail.
    pub fn fail_sync_after(&self, remaining: u64) {
        self.state().faults.syncs_until_failure = Some(remaining);
    }

    /// Returns whether the injected sync failure has happened.
    #[must_use]
    pub fn has_failed(&self) -> bool {
        self.state().faults.syncs_until_failure.is_none()
    }

    /// Leaves syncs of files unanswered from now on.
    pub fn block_syncs(&self) {
        self.state().faults.blocks_syncs = true;
    }

    /// Answers the blocked syncs, and all later ones.
    pub fn release_syncs(&self) {
        let blocked = {
            let mut state = self.state();
            state.faults.blocks_syncs = false;
            std::mem::take(&mut state.faults.blocked)
        };
        blocked.into_iter().for_each(ReplyEmpty::ok);
    }
}

impl Drop for MountedSimFs {
    fn drop(&mut self) {
        self.release_syncs();
        if let Some(session) = self.session.take() {
            // A mount that is still in use ends with the mount namespace.
            session.umount_and_join().ok();
        }
    }
}
