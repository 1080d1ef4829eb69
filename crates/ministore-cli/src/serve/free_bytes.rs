//! Samples the free space of the file system that the journal is on.

use std::{
    path::Path,
    sync::atomic::{AtomicU64, Ordering},
    time::Duration,
};

use tokio::task::spawn_blocking;

use super::{health::every, service::Service};
use crate::paths::directory_of;

const SAMPLE_INTERVAL: Duration = Duration::from_secs(5);

/// The last sample; `u64::MAX`: none yet.
#[derive(Debug)]
pub(super) struct FreeBytes {
    bytes: AtomicU64,
}

impl FreeBytes {
    pub(super) fn of(journal: &Path) -> Self {
        Self { bytes: AtomicU64::new(sample(journal).unwrap_or(u64::MAX)) }
    }

    /// Returns the bytes that are available to processes without root privileges, if they are known.
    pub(super) fn get(&self) -> Option<u64> {
        Some(self.bytes.load(Ordering::Relaxed)).filter(|&bytes| bytes != u64::MAX)
    }

    /// Samples as long as the service runs, on a thread of its own: a file system that hangs must not block the clients.
    pub(super) async fn run(service: &Service) {
        let mut ticks = every(SAMPLE_INTERVAL);
        loop {
            ticks.tick().await;
            let journal = service.store.path().to_owned();
            let sampled = spawn_blocking(move || sample(&journal)).await;
            service.free_bytes.bytes.store(sampled.ok().flatten().unwrap_or(u64::MAX), Ordering::Relaxed);
        }
    }
}

fn sample(journal: &Path) -> Option<u64> {
    let found = rustix::fs::statvfs(directory_of(journal)).ok()?;
    Some(found.f_bavail.saturating_mul(found.f_frsize))
}
