//! Reads a segment: splits bytes into lines ([`lines`]), verifies lines as commit groups ([`scanner`]), and classifies the end of
//! the file ([`tail`]). Never writes, never locks, and does not know which segment of which journal it reads.

mod block;
mod group;
mod header_line;
mod lines;
mod live;
mod position;
mod resync;
mod scanner;
mod stored_seal;
mod tail;
#[cfg(test)]
mod tests;

use std::{fs::File, io, os::unix::fs::FileExt, sync::Arc};

pub(crate) use block::Block;
#[cfg(any(test, feature = "unstable-internals"))]
pub(crate) use group::VerifiedGroup;
pub(crate) use header_line::{has_magic, read_header};
pub(crate) use lines::LineReader;
pub(crate) use live::{BoundedSource, ProbeResult, last_newline_before};
pub(crate) use position::{IndexPoint, ScanPosition};
pub(crate) use resync::ResyncScanner;
pub(crate) use scanner::{ScanItem, ScanMode, Scanner, SegmentEnd};
pub(crate) use tail::Tail;

use crate::options::ReadLimits;

/// The source of a scan.
#[allow(unreachable_pub, reason = "only the module `internals` exports it")]
pub trait ReadAt {
    /// Reads some bytes at `offset` and returns their number; 0 at the end.
    fn read_at(&self, into: &mut [u8], offset: u64) -> io::Result<usize>;

    /// Returns the sizes in which it is read.
    fn read_limits(&self) -> ReadLimits {
        ReadLimits::default()
    }
}

impl ReadAt for File {
    fn read_at(&self, into: &mut [u8], offset: u64) -> io::Result<usize> {
        FileExt::read_at(self, into, offset)
    }
}

impl ReadAt for [u8] {
    fn read_at(&self, into: &mut [u8], offset: u64) -> io::Result<usize> {
        let rest = usize::try_from(offset).ok().and_then(|at| self.get(at..)).unwrap_or_default();
        let count = rest.len().min(into.len());
        into[..count].copy_from_slice(&rest[..count]);
        Ok(count)
    }
}

impl<T: ReadAt + ?Sized> ReadAt for &T {
    fn read_at(&self, into: &mut [u8], offset: u64) -> io::Result<usize> {
        (**self).read_at(into, offset)
    }

    fn read_limits(&self) -> ReadLimits {
        (**self).read_limits()
    }
}

impl<T: ReadAt + ?Sized> ReadAt for Arc<T> {
    fn read_at(&self, into: &mut [u8], offset: u64) -> io::Result<usize> {
        (**self).read_at(into, offset)
    }

    fn read_limits(&self) -> ReadLimits {
        (**self).read_limits()
    }
}
