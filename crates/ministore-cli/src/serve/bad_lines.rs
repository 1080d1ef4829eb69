//! Handles the bad lines of all clients.

use std::sync::{Mutex, PoisonError};

use super::{metrics::ServiceMetrics, response::BadLineAction};
use crate::{
    exit::CliError,
    ingest::bad_lines::{OnError, Quarantine},
};

/// Implements `--on-error`.
#[derive(Debug)]
pub(super) enum BadLinePolicy {
    /// Disconnects the client.
    Stop,
    Skip,
    /// Serialises the lines of all clients.
    Quarantine(Mutex<Quarantine>),
}

impl BadLinePolicy {
    pub(super) fn open(policy: Option<&OnError>) -> Result<Self, CliError> {
        Ok(match policy {
            None | Some(OnError::Stop) => Self::Stop,
            Some(OnError::Skip) => Self::Skip,
            Some(OnError::Quarantine(file)) => Self::Quarantine(Mutex::new(Quarantine::open(file, None)?)),
        })
    }

    /// Handles a line without its LF. If it cannot be written to the quarantine, the client must be disconnected.
    pub(super) fn handle(&self, line: &[u8], metrics: &ServiceMetrics) -> Result<BadLineAction, CliError> {
        match self {
            Self::Stop => Ok(BadLineAction::Disconnect),
            Self::Skip => {
                metrics.count_bad(|counts| counts.skipped += 1);
                Ok(BadLineAction::Skip)
            }
            Self::Quarantine(quarantine) => {
                quarantine.lock().unwrap_or_else(PoisonError::into_inner).write_line(line)?;
                metrics.count_bad(|counts| counts.quarantined += 1);
                Ok(BadLineAction::Quarantine)
            }
        }
    }

    /// Makes the quarantine file durable.
    pub(super) fn sync(&self) -> Result<(), CliError> {
        match self {
            Self::Quarantine(quarantine) => {
                quarantine.lock().unwrap_or_else(PoisonError::into_inner).persist()
            }
            _ => Ok(()),
        }
    }
}
