//! A journal that is followed: looks, hands out, and waits until there is more.

use std::{
    path::{Path, PathBuf},
    sync::Arc,
};

use super::{
    super::{cursor::Blocks, feed::Place},
    journal::Journal,
    source::{Source, Stop, Waited},
    watch::{Seen, Watch},
};
use crate::{Result, device::Disk, scan::Block, shared::Shared};

/// What is to be followed, and from where on.
#[derive(Debug, Clone)]
pub(super) struct Origin {
    pub(super) disk: Arc<dyn Disk>,
    pub(super) path: PathBuf,
    pub(super) from_seq: u64,
    /// The store that writes it, where it is known.
    pub(super) store: Option<Arc<Shared>>,
}

impl Origin {
    pub(super) fn of_store(disk: &Arc<dyn Disk>, store: &Arc<Shared>, from_seq: u64) -> Self {
        let (disk, store) = (Arc::clone(disk), Arc::clone(store));
        Self { disk, path: store.path.clone(), from_seq, store: Some(store) }
    }

    pub(super) fn of_path(disk: Arc<dyn Disk>, path: &Path, from_seq: u64) -> Self {
        Self { disk, path: path.to_path_buf(), from_seq, store: None }
    }

    /// What ends a follower of it.
    pub(super) fn stop(&self) -> Result<Arc<Stop>> {
        let stop = if self.store.is_some() { Stop::new() } else { Stop::with_event() };
        stop.map(Arc::new)
    }
}

/// A follower. Its blocks end where it is stopped, or the store is closed.
#[derive(Debug)]
pub(super) struct FollowLoop {
    journal: Journal,
    source: Source,
    stop: Arc<Stop>,
}

impl FollowLoop {
    pub(super) fn new(origin: Origin, stop: Arc<Stop>) -> Result<Self> {
        let Origin { disk, path, from_seq, store } = origin;
        let source = match store {
            Some(shared) => {
                shared.check_numbers()?;
                Source::Store(shared)
            }
            None => Source::Watch(Watch::new(Arc::clone(&disk), &path)?),
        };
        Ok(Self { journal: Journal::new(disk, &path, from_seq), source, stop })
    }

    /// The next records, if there are some now.
    pub(super) fn look(&mut self, block: &mut Block) -> Result<Option<Place>> {
        // What happens from here on is seen, or told later.
        if self.source.begin_look() == Seen::Names {
            self.journal.names_changed();
        }
        self.journal.fill(block, &self.source.durable())
    }
}

impl Blocks for FollowLoop {
    fn fill(&mut self, block: &mut Block) -> Result<Option<Place>> {
        while !self.stop.is_set() {
            if let Some(place) = self.look(block)? {
                return Ok(Some(place));
            }
            match self.source.wait(self.journal.next_seq(), &self.stop)? {
                Waited::Moved { names_changed: true } => self.journal.names_changed(),
                Waited::Moved { names_changed: false } => {}
                Waited::Ended => break,
            }
        }
        Ok(None)
    }
}
