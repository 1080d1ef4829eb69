//! A journal that is followed: looks, hands out, and waits until there is more.

use std::{
    path::{Path, PathBuf},
    sync::Arc,
};

use super::{
    super::{block_cursor::BlockSource, journal_reader::RecordPosition},
    journal::JournalFollower,
    wakeup::{StopSignal, Wakeup, WakeupSource},
    watch::{DirWatch, FsEvent},
};
use crate::{Result, format::scan::Block, io::FileSystem, journal::status::StoreStatus};

/// What is to be followed, and from where on.
#[derive(Debug, Clone)]
pub(crate) struct FollowTarget {
    pub(super) disk: Arc<dyn FileSystem>,
    pub(super) path: PathBuf,
    pub(super) from_seq: u64,
    /// The store that writes it, where it is known.
    pub(super) store: Option<Arc<StoreStatus>>,
}

impl FollowTarget {
    pub(crate) fn of_store(disk: &Arc<dyn FileSystem>, store: &Arc<StoreStatus>, from_seq: u64) -> Self {
        let (disk, store) = (Arc::clone(disk), Arc::clone(store));
        Self { disk, path: store.path.clone(), from_seq, store: Some(store) }
    }

    pub(super) fn of_path(disk: Arc<dyn FileSystem>, path: &Path, from_seq: u64) -> Self {
        Self { disk, path: path.to_path_buf(), from_seq, store: None }
    }

    /// What ends a follower of it.
    pub(super) fn stop(&self) -> Result<Arc<StopSignal>> {
        let stop = if self.store.is_some() { StopSignal::new() } else { StopSignal::with_event() };
        stop.map(Arc::new)
    }
}

/// A follower. Its blocks end where it is stopped, or the store is closed.
#[derive(Debug)]
pub(super) struct FollowLoop {
    journal: JournalFollower,
    source: WakeupSource,
    stop: Arc<StopSignal>,
}

impl FollowLoop {
    pub(super) fn new(origin: FollowTarget, stop: Arc<StopSignal>) -> Result<Self> {
        let FollowTarget { disk, path, from_seq, store } = origin;
        let source = match store {
            Some(status) => {
                status.check_stable_seqs()?;
                WakeupSource::Store(status)
            }
            None => WakeupSource::DirWatch(DirWatch::new(Arc::clone(&disk), &path)?),
        };
        Ok(Self { journal: JournalFollower::new(disk, &path, from_seq), source, stop })
    }

    /// The next records, if there are some now.
    pub(super) fn poll_now(&mut self, block: &mut Block) -> Result<Option<RecordPosition>> {
        // What happens from here on is seen, or told later.
        if self.source.drain_events() == FsEvent::DirEntries {
            self.journal.names_changed();
        }
        self.journal.fill(block, &self.source.durable())
    }
}

impl BlockSource for FollowLoop {
    fn fill(&mut self, block: &mut Block) -> Result<Option<RecordPosition>> {
        while !self.stop.is_set() {
            if let Some(position) = self.poll_now(block)? {
                return Ok(Some(position));
            }
            match self.source.wait(self.journal.next_seq(), &self.stop)? {
                Wakeup::Changed { names_changed: true } => self.journal.names_changed(),
                Wakeup::Changed { names_changed: false } => {}
                Wakeup::Closed => break,
            }
        }
        Ok(None)
    }
}
