//! Owns the ways of a plain file: what it is written on, and what makes a write durable.

use std::{
    fs::{File, OpenOptions},
    io,
    os::unix::fs::{FileExt, OpenOptionsExt},
    path::Path,
};

use rustix::fs::{FallocateFlags, OFlags, fallocate};

use super::{SIZES, Way, block::Block};

/// How far a file is written before it begins anew.
const REGION_BYTES: u64 = 2 << 20;

/// What a write finds where it goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Ground {
    /// The end of the file: its size changes, too.
    Growing,
    /// Blocks that belong to the file and were never written: their being written is recorded, too.
    Allocated,
    /// Blocks that have been written before, as those of a journal that is written ahead.
    Written,
}

/// What makes a write durable.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Sync {
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

impl Sync {
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
pub(super) struct FileWay {
    file: File,
    block: Block,
    ground: Ground,
    sync: Sync,
    /// Where the next write goes.
    at: u64,
}

impl FileWay {
    pub(super) fn create(path: &Path, ground: Ground, sync: Sync) -> io::Result<Self> {
        let file = File::create_new(path)?;
        if ground == Ground::Written {
            file.write_all_at(&vec![b' '; usize::try_from(REGION_BYTES).map_err(io::Error::other)?], 0)?;
        }
        file.sync_all()?;
        let flags = i32::try_from(sync.flags().bits()).map_err(io::Error::other)?;
        let file = OpenOptions::new().write(true).custom_flags(flags).open(path)?;
        let largest = SIZES.into_iter().max().unwrap_or(0);
        let way = Self { file, block: Block::of(largest), ground, sync, at: 0 };
        way.begin_anew()?;
        Ok(way)
    }

    fn begin_anew(&self) -> io::Result<()> {
        if self.ground == Ground::Written {
            return Ok(());
        }
        self.file.set_len(0)?;
        if self.ground == Ground::Allocated {
            fallocate(&self.file, FallocateFlags::empty(), 0, REGION_BYTES)?;
        }
        self.file.sync_all()
    }
}

impl Way for FileWay {
    fn ready(&mut self, bytes: usize) -> io::Result<()> {
        // Direct writes go to multiples of their size.
        let bytes = bytes as u64;
        self.at = self.at.next_multiple_of(bytes);
        if self.at + bytes > REGION_BYTES {
            self.at = 0;
            self.begin_anew()?;
        }
        Ok(())
    }

    fn write(&mut self, bytes: usize) -> io::Result<()> {
        let block = self.block.first(bytes);
        self.file.write_all_at(block, self.at)?;
        self.at += block.len() as u64;
        match self.sync {
            Sync::Data => self.file.sync_data(),
            Sync::All => self.file.sync_all(),
            Sync::Never | Sync::Dsync | Sync::DirectOnly | Sync::Direct => Ok(()),
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
    fn a_file_begins_anew_where_its_region_ends() {
        let dir = tempfile::tempdir().unwrap();
        for (ground, len) in
            [(Ground::Growing, 65536), (Ground::Allocated, REGION_BYTES), (Ground::Written, REGION_BYTES)]
        {
            let path = dir.path().join(format!("{ground:?}"));
            let mut way = FileWay::create(&path, ground, Sync::Data).unwrap();
            for _ in 0..=REGION_BYTES / 65536 {
                way.ready(65536).unwrap();
                way.write(65536).unwrap();
            }
            assert_eq!((way.at, std::fs::metadata(&path).unwrap().len()), (65536, len), "{ground:?}");
        }
    }

    #[test]
    fn sizes_may_change_between_writes() {
        let dir = tempfile::tempdir().unwrap();
        let mut way = FileWay::create(&dir.path().join("file"), Ground::Written, Sync::Never).unwrap();
        for bytes in [4096, 65536, 4096] {
            way.ready(bytes).unwrap();
            way.write(bytes).unwrap();
        }
        assert_eq!(way.at, 2 * 65536 + 4096);
    }
}
