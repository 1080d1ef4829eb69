//! The active segment: where its data ends, how far it is preallocated, and the buffer in which the next group is
//! encoded.

mod checks;
mod encoding;
mod write;

use std::{io, path::PathBuf, sync::Arc, time::Duration};

use self::encoding::{EncodedGroup, GroupEncoding, GroupStart, pad_to_multiple};
pub(super) use self::write::WriteKind;
use crate::{
    format::{Chain, Header},
    io::{BLOCK_BYTES, CommitBackend, CommitBuffer, CommitOptions, FileHandle, FileId},
    journal::close_segment::close_segment,
};

/// The initial capacity of the buffer.
const BUFFER_BYTES: usize = 256 << 10;

/// The capacity that the buffer shrinks to after a larger group.
const RETAINED_BUFFER_BYTES: usize = 4 << 20;

#[derive(Debug)]
pub(super) struct ActiveSegment {
    pub(super) file: Arc<dyn FileHandle>,
    id: Option<FileId>,
    /// The name that the file has now.
    pub(super) path: PathBuf,
    /// The name as a rotated segment, which the background thread gives to the file, or has given to it.
    pub(super) rotated_path: Option<PathBuf>,
    /// When the active name was last verified to be the open file, on the clock of the file system.
    name_checked_at: Option<Duration>,
    /// Records in the segment.
    pub(super) records: u64,
    /// The offset after the last seal, or after the last plain line.
    data_end: u64,
    /// The offset up to which the file is preallocated, durably.
    prepared_end: u64,
    /// Whether the header is written. Until then nothing is durable, and after that everything up to `data_end`.
    header_written: bool,
    checksummed: bool,
    preallocate: bool,
    chain: Chain,
    last_seal: Option<u32>,
    /// The offset of each write is a multiple of this: [`BLOCK_BYTES`] with direct I/O, otherwise 1.
    block: u64,
    /// The bytes of the file from `base` to `data_end`, which are written again with the next group.
    buffer: CommitBuffer,
    base: u64,
    /// During a write, the buffer of the group that follows: the bytes of its first block, and the group if it is
    /// encoded.
    next_buffer: CommitBuffer,
    next_encoded: Option<EncodedGroup>,
    /// Whether the file ends in LF, and perhaps the close marker, after `data_end`. They are truncated before the
    /// segment is preallocated.
    has_terminator: bool,
}

/// The state of a segment after recovery.
#[derive(Debug)]
pub(super) struct RecoveredSegment {
    pub(super) file: Arc<dyn FileHandle>,
    pub(super) path: PathBuf,
    pub(super) data_end: u64,
    pub(super) records: u64,
    pub(super) checksummed: bool,
    pub(super) chain: Chain,
    pub(super) last_seal: Option<u32>,
}

impl ActiveSegment {
    /// Returns the segment that recovery has opened.
    pub(super) fn recovered(recovered: RecoveredSegment, preallocate: bool) -> Self {
        let RecoveredSegment { file, path, data_end, records, checksummed, chain, last_seal } = recovered;
        Self {
            id: file.id().ok().flatten(),
            file,
            path,
            rotated_path: None,
            name_checked_at: None,
            records,
            data_end,
            prepared_end: data_end,
            header_written: true,
            checksummed,
            preallocate: preallocate && checksummed,
            chain,
            last_seal,
            block: 1,
            buffer: CommitBuffer::with_capacity(BUFFER_BYTES),
            base: data_end,
            next_buffer: CommitBuffer::with_capacity(BUFFER_BYTES),
            next_encoded: None,
            has_terminator: true,
        }
    }

    /// Returns a new segment that is preallocated up to `prepared_end` and has no header yet.
    pub(super) fn new_unwritten(
        file: Arc<dyn FileHandle>,
        path: PathBuf,
        prepared_end: u64,
        header: Header,
        preallocate: bool,
    ) -> Self {
        let text = header.encode();
        let mut buffer = CommitBuffer::with_capacity(BUFFER_BYTES);
        buffer.extend(&text);
        let checksummed = header != Header::Plain;
        Self {
            id: file.id().ok().flatten(),
            file,
            path,
            rotated_path: None,
            name_checked_at: None,
            records: 0,
            data_end: text.len() as u64,
            prepared_end,
            header_written: false,
            checksummed,
            preallocate: preallocate && checksummed,
            chain: Chain::from_header(&text),
            last_seal: None,
            block: 1,
            buffer,
            base: 0,
            next_buffer: CommitBuffer::with_capacity(BUFFER_BYTES),
            next_encoded: None,
            has_terminator: false,
        }
    }

    /// Switches the commit backend to this segment, which the backend has opened and which has no data yet.
    pub(super) fn switch(&mut self, commit_backend: &mut dyn CommitBackend) {
        commit_backend.switch();
        self.block = if commit_backend.is_direct() { BLOCK_BYTES } else { 1 };
    }

    /// Opens this segment for commits.
    pub(super) fn attach(
        &mut self,
        commit_backend: &mut dyn CommitBackend,
        options: CommitOptions,
    ) -> io::Result<()> {
        commit_backend.attach(&self.path, options)?;
        self.block = if commit_backend.is_direct() { BLOCK_BYTES } else { 1 };
        if self.header_written {
            self.load_tail_block()?;
        }
        Ok(())
    }

    /// Reads the bytes of the last block, which must be written again with the next group.
    fn load_tail_block(&mut self) -> io::Result<()> {
        self.base = self.block_start(self.data_end);
        let mut bytes = vec![0; (self.data_end - self.base) as usize];
        let mut filled = 0;
        while filled < bytes.len() {
            match self.file.read_at(&mut bytes[filled..], self.base + filled as u64)? {
                0 => return Err(io::ErrorKind::UnexpectedEof.into()),
                count => filled += count,
            }
        }
        self.buffer.clear();
        self.buffer.extend(&bytes);
        Ok(())
    }

    /// Encodes a group after the data. Without lines it is only the header of a segment that has none.
    pub(super) fn encode_group<'a>(&mut self, lines: impl Iterator<Item = &'a [u8]>) -> EncodedGroup {
        if let Some(encoded) = self.next_encoded.take() {
            return encoded;
        }
        debug_assert_eq!(
            self.base + self.buffer.len() as u64,
            self.data_end,
            "the buffer ends at the end of the data"
        );
        let start = GroupStart { base: self.base, chain: self.chain, last_seal: self.last_seal };
        self.encoding().encode_group(&mut self.buffer, start, lines)
    }

    fn encoding(&self) -> GroupEncoding {
        GroupEncoding { checksummed: self.checksummed, preallocate: self.preallocate, block: self.block }
    }

    /// Returns the offset of the next write after data that ends at `data_end`.
    fn block_start(&self, data_end: u64) -> u64 {
        data_end - data_end % self.block
    }

    /// Discards a group that is encoded but will not be written.
    pub(super) fn discard_encoded(&mut self) {
        self.buffer.truncate((self.data_end - self.base) as usize);
        self.next_encoded = None;
    }

    /// Pads the encoded group up to a multiple of `align`, before a write that extends the file. Returns the number of
    /// bytes added.
    pub(super) fn pad_to(&mut self, align: u64) -> u64 {
        pad_to_multiple(&mut self.buffer, self.base, align.max(self.block))
    }

    /// Records that the background thread has written padding.
    pub(super) fn on_preallocated(&mut self, prepared_end: u64) {
        self.prepared_end = self.prepared_end.max(prepared_end);
        self.has_terminator = false;
    }

    /// Truncates the padding and writes the close marker.
    pub(super) fn close(&mut self) -> io::Result<()> {
        close_segment(&*self.file, self.data_end, self.checksummed)
    }

    pub(super) fn data_end(&self) -> u64 {
        self.data_end
    }

    /// Returns the offset of the next line, after the LF that ends the previous one.
    pub(super) fn next_offset(&self) -> u64 {
        self.data_end + 1
    }

    /// Returns the offset up to which the contents are durable: 0 without a header.
    fn durable_end(&self) -> u64 {
        if self.header_written { self.data_end } else { 0 }
    }

    pub(super) fn prepared_end(&self) -> u64 {
        self.prepared_end
    }

    pub(super) fn is_unwritten(&self) -> bool {
        !self.header_written
    }

    pub(super) fn is_checksummed(&self) -> bool {
        self.checksummed
    }

    pub(super) fn is_preallocated(&self) -> bool {
        self.preallocate
    }

    /// Returns the offset at which the background thread must truncate the file before it writes padding.
    pub(super) fn truncate_before_padding(&self) -> Option<u64> {
        self.has_terminator.then_some(self.data_end)
    }

    pub(super) fn last_seal(&self) -> Option<u32> {
        self.last_seal
    }
}
