//! Samples the free space of the file system that the journal is on.

use std::{path::Path, time::Duration};

use tokio::task::spawn_blocking;

use super::{health::every, service::Service};
use crate::paths::directory_of;

const SAMPLE_INTERVAL: Duration = Duration::from_secs(5);

/// Samples as long as the service runs, on a thread of its own: a file system that hangs must not block the clients.
pub(super) async fn run(service: &Service) {
    let mut ticks = every(SAMPLE_INTERVAL);
    loop {
        ticks.tick().await;
        let journal = service.store.path().to_owned();
        let sampled = spawn_blocking(move || sample(&journal)).await;
        service.free_bytes.send_replace(sampled.ok().flatten());
    }
}

/// Returns the bytes that are available to processes without root privileges, if they are known.
pub(super) fn sample(journal: &Path) -> Option<u64> {
    let found = rustix::fs::statvfs(directory_of(journal)).ok()?;
    Some(found.f_bavail.saturating_mul(found.f_frsize))
}
