//! The metadata after some record, in a separate file that is replaced atomically: after a power failure it contains
//! the old snapshot or the new one.

use std::{
    fs::{self, File},
    io::{self, Write},
    path::Path,
};

use serde::{Deserialize, Serialize};

use super::Metadata;

const NAME: &str = "metadata.snapshot";

#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Snapshot {
    /// The number of the last record it contains. It is in the same file as the metadata, so both are replaced
    /// together.
    pub seq: u64,
    pub metadata: Metadata,
}

impl Snapshot {
    /// Loads the snapshot. Returns an empty one if there is none.
    pub fn load(dir: &Path) -> io::Result<Self> {
        match fs::read(dir.join(NAME)) {
            Ok(bytes) => Ok(serde_json::from_slice(&bytes)?),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Self::default()),
            Err(error) => Err(error),
        }
    }

    /// Saves the snapshot. It is durable when this returns.
    pub fn save(&self, dir: &Path) -> io::Result<()> {
        let temporary = dir.join(format!("{NAME}.tmp"));
        // `create` truncates a file that a crash has left incomplete.
        let mut file = File::create(&temporary)?;
        file.write_all(&serde_json::to_vec(self)?)?;
        // Sync before the rename. Otherwise the name could become durable before the contents.
        file.sync_all()?;
        fs::rename(&temporary, dir.join(NAME))?;
        // Make the new directory entry durable before records are deleted.
        File::open(dir)?.sync_all()
    }
}
