//! `wal-db` 1.1.0, segmented.
//!
//! Acknowledgement: `Wal::append_and_sync` returns `Ok`. Promise (crate documentation, "The durability contract"): `sync`
//! "returns only when every previously appended record is on stable storage and will survive a power loss";
//! `append_and_sync` is "`append` followed by a `sync` scoped to this record". After a failed sync (documentation of `sync`):
//! "treat it as fatal … The log does not remember the failure: a later `sync` can return `Ok` although the operating system
//! may have dropped the pages". Damage: by default the log is cut at the first damaged record "together with every intact
//! record after it"; `OpenPolicy::Strict` refuses instead, and "cannot tell damage from a crash" where several appends are in
//! flight together. `truncated_on_open` tells how much was cut.

use std::path::Path;

use wal_db::{OpenPolicy, SegmentedStore, Wal, WalConfig};

use crate::contestant::{Answer, Contestant, Found, Record, Refusal, Settings};

/// What opening does with damage.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Policy {
    /// `OpenPolicy::TruncateTail`, the default.
    Default,
    /// `OpenPolicy::Strict`.
    Strict,
}

/// An open log.
#[derive(Debug)]
pub struct Log {
    wal: Wal<SegmentedStore>,
}

impl Log {
    /// Opens or creates it.
    ///
    /// # Errors
    ///
    /// What the crate says.
    pub fn open(dir: &Path, settings: Settings, policy: Policy) -> Answer<Self> {
        let config = match policy {
            Policy::Default => WalConfig::new(),
            Policy::Strict => WalConfig::new().with_open_policy(OpenPolicy::Strict),
        };
        let wal = Wal::open_segmented_with(dir, settings.segment_bytes, config).map_err(Refusal::of)?;
        Ok(Self { wal })
    }
}

impl Contestant for Log {
    fn append(&self, record: &Record) -> Answer<()> {
        self.wal.append_and_sync(&record.to_bytes()?).map(drop).map_err(Refusal::of)
    }

    fn append_many(&self, records: &[Record]) -> Answer<()> {
        for record in records {
            self.wal.append(&record.to_bytes()?).map(drop).map_err(Refusal::of)?;
        }
        self.wal.sync().map_err(Refusal::of)
    }

    fn replay(&self) -> Answer<Vec<Found>> {
        let records = self.wal.iter().map_err(Refusal::of)?;
        records
            .map(|record| record.map(|record| Found::of_bytes(record.data())).map_err(Refusal::of))
            .collect()
    }

    fn told(&self) -> Option<String> {
        let cut = self.wal.truncated_on_open();
        (cut > 0).then(|| format!("cut {cut} bytes"))
    }

    fn close(self: Box<Self>) -> Answer<()> {
        Ok(())
    }
}
