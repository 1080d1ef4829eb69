//! Encoding groups without a disk: for the feature `_bench`.

use std::{io, path::Path};

use super::segment::{ActiveSegment, WriteKind};
use crate::{
    SyncKind,
    format::{ChainLink, Header},
    io::{CommitBackend, CommitBuffer, CommitError, CommitMethod, CommitOptions, OpenMode, os_file_system},
};

/// A segment that is never written.
#[derive(Debug)]
pub struct GroupEncoder(ActiveSegment);

/// A commit backend that writes nothing.
#[derive(Debug)]
struct NullBackend;

impl GroupEncoder {
    /// Creates an empty file.
    pub fn new(path: &Path) -> io::Result<Self> {
        let file = os_file_system().open(path, OpenMode::CreateNew)?;
        let header = Header::Checksummed(ChainLink { first_seq: 1, prev_seal: 0 });
        Ok(Self(ActiveSegment::new_unwritten(file, path.into(), 0, header, true)))
    }

    /// Encodes a group. It counts as written.
    pub fn group(&mut self, lines: &[&[u8]]) -> bool {
        let encoded = self.0.encode_group(lines.iter().copied());
        let next_group = None::<std::iter::Empty<&[u8]>>;
        self.0.write(&mut NullBackend, encoded, WriteKind::InPlace, next_group).is_ok()
    }
}

impl CommitBackend for NullBackend {
    fn attach(&mut self, _: &Path, _: CommitOptions) -> io::Result<()> {
        Ok(())
    }

    fn method(&self) -> CommitMethod {
        CommitMethod { direct: true, sync: SyncKind::Dsync, trusted: true }
    }

    fn prepare(&mut self, _: &Path, _: CommitOptions) -> io::Result<()> {
        Ok(())
    }

    fn switch(&mut self) {}

    fn fall_back_to_buffered(&mut self) -> io::Result<()> {
        Ok(())
    }

    fn commit(&mut self, _: &mut CommitBuffer, _: u64) -> Result<(), CommitError> {
        Ok(())
    }
}
