//! Handles the bad lines of all clients.

use std::{
    mem,
    path::PathBuf,
    sync::{Mutex, MutexGuard, PoisonError, atomic::Ordering},
};

use super::{metrics::ServiceMetrics, response::BadLineAction};
use crate::{
    exit::CliError,
    ingest::bad_lines::OnError,
    ownership::Ownership,
    quarantine::{BadLineOrigin, Quarantine},
};

/// Implements `--on-error`.
#[derive(Debug)]
pub(super) enum BadLinePolicy {
    /// Disconnects the client.
    Stop,
    Skip,
    /// Serialises the lines of all clients.
    Quarantine {
        path: PathBuf,
        /// Boxed, because the other variants are small.
        file: Box<Mutex<Quarantine>>,
        ownership: Ownership,
    },
}

impl BadLinePolicy {
    pub(super) fn open(policy: Option<&OnError>, ownership: Ownership) -> Result<Self, CliError> {
        Ok(match policy {
            None | Some(OnError::Stop) => Self::Stop,
            Some(OnError::Skip) => Self::Skip,
            Some(OnError::Quarantine(path)) => {
                let file = Box::new(Mutex::new(Quarantine::open(path, &ownership, None)?));
                Self::Quarantine { path: path.clone(), file, ownership }
            }
        })
    }

    /// Makes the quarantine file durable and opens it by its name again: it may have been renamed (`logrotate`). On an error
    /// the old file is used.
    pub(super) fn reopen(&self) -> Result<(), CliError> {
        if let Self::Quarantine { path, file, ownership } = self {
            let new = Quarantine::open(path, ownership, None)?;
            let mut old = mem::replace(&mut *lock(file), new);
            old.persist()?;
        }
        Ok(())
    }

    /// Handles a line without its LF. If it cannot be written to the quarantine, the client must be disconnected.
    pub(super) fn handle(
        &self,
        origin: BadLineOrigin<'_>,
        line: &[u8],
        metrics: &ServiceMetrics,
    ) -> Result<BadLineAction, CliError> {
        match self {
            Self::Stop => Ok(BadLineAction::Disconnect),
            Self::Skip => {
                metrics.skipped.fetch_add(1, Ordering::Relaxed);
                Ok(BadLineAction::Skip)
            }
            Self::Quarantine { file, .. } => {
                let mut file = lock(file);
                file.add(origin, line)?;
                file.flush()?;
                metrics.quarantined.fetch_add(1, Ordering::Relaxed);
                Ok(BadLineAction::Quarantine)
            }
        }
    }

    /// Makes the quarantine file durable.
    pub(super) fn sync(&self) -> Result<(), CliError> {
        match self {
            Self::Quarantine { file, .. } => lock(file).persist(),
            _ => Ok(()),
        }
    }
}

fn lock(file: &Mutex<Quarantine>) -> MutexGuard<'_, Quarantine> {
    file.lock().unwrap_or_else(PoisonError::into_inner)
}
