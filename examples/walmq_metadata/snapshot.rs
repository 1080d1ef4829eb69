//! The metadata as it was after some record, in a file of its own. There is the old one or the new one, whenever the
//! power fails: never none, never half of one.

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
    /// The last record that it stands for. In one file with the metadata, so that they cannot part.
    pub seq: u64,
    pub metadata: Metadata,
}

impl Snapshot {
    /// Where there is none yet: nothing, after no record.
    pub fn load(dir: &Path) -> io::Result<Self> {
        match fs::read(dir.join(NAME)) {
            Ok(bytes) => Ok(serde_json::from_slice(&bytes)?),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Self::default()),
            Err(error) => Err(error),
        }
    }

    /// Durable when it returns.
    pub fn save(&self, dir: &Path) -> io::Result<()> {
        let temporary = dir.join(format!("{NAME}.tmp"));
        // Of one that a crash cut off nothing must be left: `create` empties it.
        let mut file = File::create(&temporary)?;
        file.write_all(&serde_json::to_vec(self)?)?;
        // Before it gets its name: else the name may be durable, and the bytes not.
        file.sync_all()?;
        fs::rename(&temporary, dir.join(NAME))?;
        // The name, too. Records may be deleted after this.
        File::open(dir)?.sync_all()
    }
}
