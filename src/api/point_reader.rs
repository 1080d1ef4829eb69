//! The reader that all handles of a store share.

use std::{path::Path, sync::Arc};

use crate::{Reader, io::FileSystem, journal::fork::ForkGuard, read::ReadPool};

/// The reader and the threads that all handles of a store share for random reads.
#[derive(Debug)]
pub(crate) struct PointReader {
    pub(super) reader: Reader,
    pub(super) pool: ReadPool,
}

impl PointReader {
    pub(crate) fn new(fs: Arc<dyn FileSystem>, path: &Path, fork_guard: ForkGuard) -> Self {
        Self { reader: Reader::new(fs, path), pool: ReadPool::new(fork_guard) }
    }
}
