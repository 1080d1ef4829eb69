//! Owns what becomes of the bad lines of all clients.

use std::sync::{Mutex, PoisonError};

use super::{counts::Counts, say::Then};
use crate::{
    exit::Failure,
    ingest::bad::{Policy, Quarantine},
};

/// Carries `--on-error` out.
#[derive(Debug)]
pub(super) enum Aside {
    /// Whoever sends one is disconnected.
    Stop,
    Skip,
    /// One line at a time, whoever sent it.
    Quarantine(Mutex<Quarantine>),
}

impl Aside {
    pub(super) fn open(policy: Option<&Policy>) -> Result<Self, Failure> {
        Ok(match policy {
            None | Some(Policy::Stop) => Self::Stop,
            Some(Policy::Skip) => Self::Skip,
            Some(Policy::Quarantine(file)) => Self::Quarantine(Mutex::new(Quarantine::open(file, None)?)),
        })
    }

    /// A line without its LF. Where it cannot be kept, its client is told so and disconnected.
    pub(super) fn take(&self, line: &[u8], counts: &Counts) -> Result<Then, Failure> {
        match self {
            Self::Stop => Ok(Then::Closed),
            Self::Skip => {
                counts.put_aside(|aside| aside.skipped += 1);
                Ok(Then::Skipped)
            }
            Self::Quarantine(quarantine) => {
                quarantine.lock().unwrap_or_else(PoisonError::into_inner).take(line)?;
                counts.put_aside(|aside| aside.quarantined += 1);
                Ok(Then::Quarantined)
            }
        }
    }

    /// What was put aside is made durable.
    pub(super) fn sync(&self) -> Result<(), Failure> {
        match self {
            Self::Quarantine(quarantine) => {
                quarantine.lock().unwrap_or_else(PoisonError::into_inner).persist()
            }
            _ => Ok(()),
        }
    }
}
