//! Methods that write a plain file; they differ in the layout of the file and in the sync method.

use std::{fs::File, io, os::unix::fs::FileExt, path::Path};

use rustix::fs::{FallocateFlags, OFlags, fallocate};

use super::{SIZES, WriteMethod, block::AlignedBlock};
use crate::paths::open_with;

/// The size after which writing restarts at the beginning.
const REGION_BYTES: u64 = 2 << 20;

/// The state of the blocks that are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum FileLayout {
    /// The end of the file: the size changes, too.
    Growing,
    /// Allocated blocks that were never written: the file system records the first write, too.
    Allocated,
    /// Blocks that were written before, as in a preallocated journal.
    Written,
}

/// The way a write is made durable.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum SyncMethod {
    Never,
    /// `fdatasync`.
    Data,
    /// `fsync`.
    All,
    /// The file is open with `O_DSYNC`.
    Dsync,
    /// The file is open with `O_DIRECT` alone.
    DirectOnly,
    /// The file is open with both.
    Direct,
}

impl SyncMethod {
    fn flags(self) -> OFlags {
        match self {
            Self::Never | Self::Data | Self::All => OFlags::empty(),
            Self::Dsync => OFlags::DSYNC,
            Self::DirectOnly => OFlags::DIRECT,
            Self::Direct => OFlags::DIRECT | OFlags::DSYNC,
        }
    }
}

#[derive(Debug)]
pub(super) struct FileMethod {
    file: File,
    block: AlignedBlock,
    layout: FileLayout,
    sync: SyncMethod,
    /// The offset of the next write.
    at: u64,
}

impl FileMethod {
    pub(super) fn create(path: &Path, layout: FileLayout, sync: SyncMethod) -> io::Result<Self> {
        let file = File::create_new(path)?;
        if layout == FileLayout::Written {
            file.write_all_at(&vec![b' '; usize::try_from(REGION_BYTES).map_err(io::Error::other)?], 0)?;
        }
        file.sync_all()?;
        let file = open_with(path, OFlags::WRONLY | sync.flags())?;
        let largest = SIZES.into_iter().max().unwrap_or(0);
        let method = Self { file, block: AlignedBlock::of(largest), layout, sync, at: 0 };
        method.restart()?;
        Ok(method)
    }

    fn restart(&self) -> io::Result<()> {
        if self.layout == FileLayout::Written {
            return Ok(());
        }
        self.file.set_len(0)?;
        if self.layout == FileLayout::Allocated {
            fallocate(&self.file, FallocateFlags::empty(), 0, REGION_BYTES)?;
        }
        self.file.sync_all()
    }
}

impl WriteMethod for FileMethod {
    fn ready(&mut self, bytes: usize) -> io::Result<()> {
        // Direct writes go to multiples of their size.
        let bytes = bytes as u64;
        self.at = self.at.next_multiple_of(bytes);
        if self.at + bytes > REGION_BYTES {
            self.at = 0;
            self.restart()?;
        }
        Ok(())
    }

    fn write(&mut self, bytes: usize) -> io::Result<()> {
        let block = self.block.first(bytes);
        self.file.write_all_at(block, self.at)?;
        self.at += block.len() as u64;
        match self.sync {
            SyncMethod::Data => self.file.sync_data(),
            SyncMethod::All => self.file.sync_all(),
            SyncMethod::Never | SyncMethod::Dsync | SyncMethod::DirectOnly | SyncMethod::Direct => Ok(()),
        }
    }

    fn end(self: Box<Self>) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn file_restarts_at_the_end_of_its_region() {
        let dir = tempfile::tempdir().unwrap();
        for (layout, len) in [
            (FileLayout::Growing, 65536),
            (FileLayout::Allocated, REGION_BYTES),
            (FileLayout::Written, REGION_BYTES),
        ] {
            let path = dir.path().join(format!("{layout:?}"));
            let mut method = FileMethod::create(&path, layout, SyncMethod::Data).unwrap();
            for _ in 0..=REGION_BYTES / 65536 {
                method.ready(65536).unwrap();
                method.write(65536).unwrap();
            }
            assert_eq!((method.at, std::fs::metadata(&path).unwrap().len()), (65536, len), "{layout:?}");
        }
    }

    #[test]
    fn sizes_may_change_between_writes() {
        let dir = tempfile::tempdir().unwrap();
        let mut method =
            FileMethod::create(&dir.path().join("file"), FileLayout::Written, SyncMethod::Never).unwrap();
        for bytes in [4096, 65536, 4096] {
            method.ready(bytes).unwrap();
            method.write(bytes).unwrap();
        }
        assert_eq!(method.at, 2 * 65536 + 4096);
    }
}
