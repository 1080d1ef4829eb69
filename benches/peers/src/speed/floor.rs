//! A limit: bytes written in place, into a file that was written beforehand and is durable, made durable on the caller's
//! own thread. Nothing is shared, counted or checked.

use std::{
    fs::{File, OpenOptions},
    os::unix::fs::{FileExt, OpenOptionsExt},
    path::Path,
    sync::Mutex,
};

use rustix::fs::OFlags;

use super::threads::{Blocking, Caller};
use crate::contestant::{Answer, Refusal};

const BLOCK: usize = 4096;

/// How large the file is; a caller that reaches its end begins again.
const FILE_BYTES: usize = 64 << 20;

/// Bytes written at once in bulk.
pub const BULK_BYTES: usize = 1 << 20;

/// How the bytes are made durable.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Way {
    /// Whole blocks of 4 KiB, `O_DIRECT` and `O_DSYNC`: a block that is not full yet is written again with the next record.
    Direct,
    /// The bytes alone through the page cache, then `fdatasync`.
    Buffered,
}

/// A file written beforehand, and where the next bytes go.
#[derive(Debug)]
pub struct InPlace {
    file: File,
    way: Way,
    block: AlignedBuffer,
    /// Where in the file the buffer begins.
    offset: usize,
    /// How much of the buffer is in use.
    used: usize,
}

impl InPlace {
    /// Writes the file, and makes it durable.
    ///
    /// # Errors
    ///
    /// What the operating system says; no `O_DIRECT`, for one.
    pub fn prepare(dir: &Path, way: Way, largest: usize) -> Answer<Self> {
        let path = dir.join("in-place");
        let beforehand = File::create(&path).map_err(Refusal::of)?;
        let spaces = vec![b' '; BULK_BYTES];
        for at in (0..FILE_BYTES).step_by(BULK_BYTES) {
            beforehand.write_all_at(&spaces, at as u64).map_err(Refusal::of)?;
        }
        beforehand.sync_all().map_err(Refusal::of)?;
        let flags = match way {
            Way::Direct => OFlags::DIRECT | OFlags::DSYNC,
            Way::Buffered => OFlags::empty(),
        };
        let flags = i32::try_from(flags.bits()).map_err(Refusal::of)?;
        let file = OpenOptions::new().write(true).custom_flags(flags).open(&path).map_err(Refusal::of)?;
        let block = AlignedBuffer::new(largest + 2 * BLOCK);
        Ok(Self { file, way, block, offset: 0, used: 0 })
    }

    /// Writes `bytes` behind what was written before, durably.
    ///
    /// # Errors
    ///
    /// What the operating system says.
    pub fn write(&mut self, bytes: &[u8]) -> Answer<()> {
        if self.offset + self.used + bytes.len() + BLOCK > FILE_BYTES {
            (self.offset, self.used) = (0, 0);
        }
        let end = self.used + bytes.len();
        self.block.bytes()[self.used..end].copy_from_slice(bytes);
        match self.way {
            Way::Direct => self.write_blocks(end),
            Way::Buffered => self.write_bytes(end),
        }
        .map_err(Refusal::of)
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

/// Bytes that begin where a block of memory does, as direct writes must.
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

/// The floor of one caller that serializes its records itself.
#[derive(Debug)]
pub struct Floor(Mutex<Option<InPlace>>);

impl Floor {
    /// Writes the file beforehand.
    ///
    /// # Errors
    ///
    /// What the operating system says.
    pub fn prepare(dir: &Path, way: Way, record_bytes: usize) -> Answer<Self> {
        Ok(Self(Mutex::new(Some(InPlace::prepare(dir, way, record_bytes + 1)?))))
    }
}

impl Blocking for Floor {
    fn caller(&self, _: u32) -> Answer<Caller<'_>> {
        let taken = self.0.lock().ok().and_then(|mut file| file.take());
        let mut file = taken.ok_or_else(|| Refusal("the floor is for one caller".into()))?;
        Ok(Box::new(move |record| {
            let mut line = record.to_bytes()?;
            line.push(b'\n');
            file.write(&line)
        }))
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::{InPlace, Way};

    #[test]
    fn in_place_write_is_readable() {
        let dir = tempfile::tempdir_in(env!("CARGO_MANIFEST_DIR")).unwrap();
        for way in [Way::Direct, Way::Buffered] {
            let Ok(mut file) = InPlace::prepare(dir.path(), way, 5000) else {
                assert_eq!(way, Way::Direct, "only direct writes may be refused");
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
}
