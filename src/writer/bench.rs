//! Laying groups out, without a disk: for the feature `_bench`.

use std::{io, path::Path};

use super::segment::{Growth, Segment};
use crate::{
    SyncKind,
    device::{self, CommitBuffer, CommitError, CommitMethod, CommitOptions, Lane, Open},
    format::{Header, Link},
};

/// A segment that is never written.
#[derive(Debug)]
pub struct Layout(Segment);

/// Takes whatever it is given.
#[derive(Debug)]
struct Nowhere;

impl Layout {
    /// Creates an empty file.
    pub fn new(path: &Path) -> io::Result<Self> {
        let file = device::real().open(path, Open::New)?;
        let header = Header::Sealed(Link { first: 1, prev: 0 });
        Ok(Self(Segment::unborn(file, path.into(), 0, header, true)))
    }

    /// Lays a group out, and takes it for written.
    pub fn group(&mut self, lines: &[&[u8]]) -> bool {
        let layout = self.0.lay_out(lines.iter().copied());
        let following = None::<std::iter::Empty<&[u8]>>;
        self.0.write(&mut Nowhere, layout, Growth::Within, following).is_ok()
    }
}

impl Lane for Nowhere {
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

    fn leave_direct(&mut self) -> io::Result<()> {
        Ok(())
    }

    fn commit(&mut self, _: &mut CommitBuffer, _: u64) -> Result<(), CommitError> {
        Ok(())
    }
}
