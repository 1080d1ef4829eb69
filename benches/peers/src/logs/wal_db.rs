//! `wal-db` 1.1.0, segmented.
//!
//! Acknowledgement: `Wal::append_and_sync` returns `Ok`. Promise (crate documentation, "The durability contract"):
//! `sync` "returns only when every previously appended record is on stable storage and will survive a power loss";
//! `append_and_sync` is "`append` followed by a `sync` scoped to this record". After a failed sync (documentation of
//! `sync`): "treat it as fatal … The log does not remember the failure: a later `sync` can return `Ok` although the
//! operating system may have dropped the pages". Damage: by default the log is truncated at the first damaged record
//! "together with every intact record after it"; `OpenPolicy::Strict` returns an error instead, and "cannot tell
//! damage from a crash" where several appends are in flight together. `truncated_on_open` returns the number of
//! truncated bytes.

use std::path::Path;

use wal_db::{OpenPolicy, SegmentedStore, Wal, WalConfig};

use crate::log_under_test::{LogError, LogResult, LogUnderTest, Record, ReplayedItem};

#[derive(Debug)]
pub struct WalDbLog {
    wal: Wal<SegmentedStore>,
}

impl WalDbLog {
    pub fn open(dir: &Path, segment_bytes: u64, policy: OpenPolicy) -> LogResult<Self> {
        let config = WalConfig::new().with_open_policy(policy);
        let wal = Wal::open_segmented_with(dir, segment_bytes, config)?;
        Ok(Self { wal })
    }
}

impl LogUnderTest for WalDbLog {
    fn append(&self, record: &Record) -> LogResult<()> {
        self.wal.append_and_sync(&record.to_bytes()?).map(drop).map_err(LogError::from)
    }

    fn replay(&self) -> LogResult<Vec<ReplayedItem>> {
        let records = self.wal.iter()?;
        records
            .map(|record| record.map(|record| ReplayedItem::of_bytes(record.data())).map_err(LogError::from))
            .collect()
    }

    fn recovery_message(&self) -> Option<String> {
        let truncated = self.wal.truncated_on_open();
        (truncated > 0).then(|| format!("cut {truncated} bytes"))
    }
}
