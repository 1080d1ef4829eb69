//! The loop of a follower: reads what is durable, and waits until there may be more.

use std::{
    path::{Path, PathBuf},
    sync::Arc,
};

use super::{
    super::{block_cursor::BlockSource, record::RecordPosition},
    journal::JournalFollower,
    stop_signal::StopSignal,
    wakeup::{Wakeup, WakeupSource},
    watch::{DirWatch, FsEvent},
};
use crate::{Result, format::scan::Block, io::FileSystem, journal::status::StoreStatus};

/// The journal to follow, and the first record.
#[derive(Debug, Clone)]
pub(crate) struct FollowTarget {
    pub(super) fs: Arc<dyn FileSystem>,
    pub(super) path: PathBuf,
    pub(super) from_seq: u64,
    /// The store that writes the journal; `None` if it is followed by path.
    pub(super) store: Option<Arc<StoreStatus>>,
}

impl FollowTarget {
    pub(crate) fn of_store(fs: &Arc<dyn FileSystem>, store: &Arc<StoreStatus>, from_seq: u64) -> Self {
        let (fs, store) = (Arc::clone(fs), Arc::clone(store));
        Self { fs, path: store.path.clone(), from_seq, store: Some(store) }
    }

    pub(super) fn of_path(fs: Arc<dyn FileSystem>, path: &Path, from_seq: u64) -> Self {
        Self { fs, path: path.to_path_buf(), from_seq, store: None }
    }

    /// Creates the signal that stops a follower of this target.
    pub(super) fn new_stop_signal(&self) -> Result<Arc<StopSignal>> {
        let stop = if self.store.is_some() { StopSignal::new() } else { StopSignal::with_event() };
        stop.map(Arc::new)
    }
}

/// Yields the blocks of a followed journal. They end when the follower is stopped or the store is closed.
#[derive(Debug)]
pub(super) struct FollowLoop {
    journal: JournalFollower,
    wakeups: WakeupSource,
    stop: Arc<StopSignal>,
}

impl FollowLoop {
    pub(super) fn new(target: FollowTarget, stop: Arc<StopSignal>) -> Result<Self> {
        let FollowTarget { fs, path, from_seq, store } = target;
        let wakeups = match store {
            Some(status) => {
                status.check_stable_seqs()?;
                WakeupSource::Store(status)
            }
            None => WakeupSource::DirWatch(DirWatch::new(Arc::clone(&fs), &path)?),
        };
        Ok(Self { journal: JournalFollower::new(fs, &path, from_seq), wakeups, stop })
    }

    /// Returns the next durable records, without waiting.
    pub(super) fn poll_now(&mut self, block: &mut Block) -> Result<Option<RecordPosition>> {
        // Events are drained before the files are read: a change after this point is either read now or reported by a
        // later event.
        if self.wakeups.drain_events() == FsEvent::DirEntries {
            self.journal.set_names_changed();
        }
        self.journal.fill(block, &self.wakeups.durability())
    }
}

impl BlockSource for FollowLoop {
    fn fill(&mut self, block: &mut Block) -> Result<Option<RecordPosition>> {
        while !self.stop.is_set() {
            if let Some(position) = self.poll_now(block)? {
                return Ok(Some(position));
            }
            match self.wakeups.wait(self.journal.next_seq(), &self.stop)? {
                Wakeup::Changed { names_changed: true } => self.journal.set_names_changed(),
                Wakeup::Changed { names_changed: false } => {}
                Wakeup::Closed => break,
            }
        }
        Ok(None)
    }
}
