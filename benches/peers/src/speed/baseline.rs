//! Limits of the machine: bytes written durably on the caller's own thread, in place into a file that was written
//! beforehand, or to the end of a fresh file. Nothing is shared, counted or checked.

use std::{
    fs::{File, OpenOptions},
    os::unix::fs::{FileExt, OpenOptionsExt},
    path::Path,
    sync::Mutex,
};

use rustix::fs::OFlags;

use super::threads::{AppendFn, BlockingLog};
use crate::log_under_test::{LogError, LogResult};

pub const BLOCK: usize = 4096;

/// The size of the file; a caller that reaches its end starts again.
const FILE_BYTES: usize = 64 << 20;

pub const BULK_BYTES: usize = 1 << 20;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum WriteMethod {
    /// Writes whole blocks of 4 KiB with `O_DIRECT` and `O_DSYNC`; a block that is not full is rewritten with the
    /// next record.
    Direct,
    /// Writes only the bytes through the page cache, then calls `fdatasync`.
    Buffered,
}

/// A file written beforehand, and the position of the next write.
#[derive(Debug)]
pub struct InPlaceFile {
    file: File,
    way: WriteMethod,
    block: AlignedBuffer,
    /// The offset of the buffer in the file.
    offset: usize,
    /// The used length of the buffer.
    used: usize,
}

impl InPlaceFile {
    /// Writes the file and makes it durable.
    pub fn prepare(dir: &Path, way: WriteMethod, largest: usize) -> LogResult<Self> {
        let path = dir.join("in-place");
        let beforehand = File::create(&path)?;
        let spaces = vec![b' '; BULK_BYTES];
        for at in (0..FILE_BYTES).step_by(BULK_BYTES) {
            beforehand.write_all_at(&spaces, at as u64)?;
        }
        beforehand.sync_all()?;
        let flags = match way {
            WriteMethod::Direct => OFlags::DIRECT | OFlags::DSYNC,
            WriteMethod::Buffered => OFlags::empty(),
        };
        let flags = i32::try_from(flags.bits())?;
        let file = OpenOptions::new().write(true).custom_flags(flags).open(&path)?;
        let block = AlignedBuffer::new(largest + 2 * BLOCK);
        Ok(Self { file, way, block, offset: 0, used: 0 })
    }

    /// Writes `bytes` after the previous ones, durably.
    pub fn write(&mut self, bytes: &[u8]) -> LogResult<()> {
        if self.offset + self.used + bytes.len() + BLOCK > FILE_BYTES {
            (self.offset, self.used) = (0, 0);
        }
        let end = self.used + bytes.len();
        self.block.bytes()[self.used..end].copy_from_slice(bytes);
        match self.way {
            WriteMethod::Direct => self.write_blocks(end),
            WriteMethod::Buffered => self.write_bytes(end),
        }
        .map_err(LogError::from)
    }

    fn write_blocks(&mut self, end: usize) -> std::io::Result<()> {
        let whole = end.next_multiple_of(BLOCK);
        let bytes = self.block.bytes();
        bytes[end..whole].fill(b' ');
        self.file.write_all_at(&bytes[..whole], self.offset as u64)?;
        let full = end / BLOCK * BLOCK;
        bytes.copy_within(full..end, 0);
        self.offset += full;
        self.used = end - full;
        Ok(())
    }

    fn write_bytes(&mut self, end: usize) -> std::io::Result<()> {
        self.file.write_all_at(&self.block.bytes()[..end], self.offset as u64)?;
        self.offset += end;
        self.file.sync_data()
    }
}

/// A fresh file that grows with every write: whole blocks with `O_DIRECT` and `O_DSYNC`.
#[derive(Debug)]
pub struct GrowingFile {
    file: File,
    block: AlignedBuffer,
    len: u64,
}

impl GrowingFile {
    /// Creates the file. Each write appends `bytes`, which must be whole blocks.
    pub fn create(dir: &Path, bytes: &[u8]) -> LogResult<Self> {
        let flags = i32::try_from((OFlags::DIRECT | OFlags::DSYNC).bits())?;
        let file =
            OpenOptions::new().write(true).create_new(true).custom_flags(flags).open(dir.join("growing"))?;
        let mut block = AlignedBuffer::new(bytes.len());
        block.bytes().copy_from_slice(bytes);
        Ok(Self { file, block, len: 0 })
    }

    /// Appends the bytes, durably.
    pub fn append(&mut self) -> LogResult<()> {
        let bytes = self.block.bytes();
        self.file.write_all_at(bytes, self.len)?;
        self.len += bytes.len() as u64;
        Ok(())
    }
}

/// A buffer aligned to a block, as direct writes require.
#[derive(Debug)]
struct AlignedBuffer {
    bytes: Vec<u8>,
    start: usize,
    len: usize,
}

impl AlignedBuffer {
    fn new(len: usize) -> Self {
        let bytes = vec![0; len + BLOCK];
        let start = bytes.as_ptr().addr().wrapping_neg() % BLOCK;
        Self { bytes, start, len }
    }

    fn bytes(&mut self) -> &mut [u8] {
        &mut self.bytes[self.start..self.start + self.len]
    }
}

/// The baseline of one caller that serializes its records itself.
#[derive(Debug)]
pub struct Baseline(Mutex<Option<InPlaceFile>>);

impl Baseline {
    pub fn prepare(dir: &Path, way: WriteMethod, record_bytes: usize) -> LogResult<Self> {
        Ok(Self(Mutex::new(Some(InPlaceFile::prepare(dir, way, record_bytes + 1)?))))
    }
}

impl BlockingLog for Baseline {
    fn caller(&self, _: u32) -> LogResult<AppendFn<'_>> {
        let file = self.0.lock().ok().and_then(|mut file| file.take());
        let mut file = file.ok_or_else(|| LogError("the baseline supports one caller".into()))?;
        Ok(Box::new(move |record| {
            let mut line = record.to_bytes()?.into_owned();
            line.push(b'\n');
            file.write(&line)
        }))
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::{BLOCK, GrowingFile, InPlaceFile, WriteMethod};

    #[test]
    fn in_place_write_is_readable() {
        let dir = tempfile::tempdir_in(env!("CARGO_MANIFEST_DIR")).unwrap();
        for way in [WriteMethod::Direct, WriteMethod::Buffered] {
            let Ok(mut file) = InPlaceFile::prepare(dir.path(), way, 5000) else {
                assert_eq!(way, WriteMethod::Direct, "only direct writes may be refused");
                continue;
            };
            let mut expected = Vec::new();
            for number in 0..40_u8 {
                let bytes = vec![b'a' + number % 26; 1 + usize::from(number) * 120];
                file.write(&bytes).unwrap();
                expected.extend(bytes);
            }
            let found = std::fs::read(dir.path().join("in-place")).unwrap();
            assert_eq!(found[..expected.len()], expected[..]);
            assert!(found[expected.len()..].iter().all(|byte| *byte == b' '));
        }
    }

    #[test]
    fn growing_file_contains_every_write() {
        let dir = tempfile::tempdir_in(env!("CARGO_MANIFEST_DIR")).unwrap();
        // Direct writes may be refused.
        let Ok(mut file) = GrowingFile::create(dir.path(), &[b'a'; 2 * BLOCK]) else { return };
        file.append().unwrap();
        file.append().unwrap();
        assert_eq!(std::fs::read(dir.path().join("growing")).unwrap(), [b'a'; 4 * BLOCK]);
    }
}
