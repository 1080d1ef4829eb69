//! The tail block: the bytes of the file from the last block boundary on, which a direct write has to write again with
//! the next group, and the buffers in which groups are encoded.

use std::{io, mem};

use crate::{
    format::{
        DataEnd, EncodedGroup, GroupLayout, encode_group,
        group::{GroupBuffer, pad_to_multiple},
    },
    io::{CommitBackend, CommitBuffer, CommitError, FileHandle},
};

/// The initial capacity of a buffer.
const BUFFER_BYTES: usize = 256 << 10;

/// The capacity that a buffer shrinks to after a larger group.
const RETAINED_BUFFER_BYTES: usize = 4 << 20;

#[derive(Debug)]
pub(super) struct TailBlock {
    checksummed: bool,
    padded: bool,
    /// The offset of each write is a multiple of this: [`BLOCK_BYTES`](crate::io::BLOCK_BYTES) with direct I/O,
    /// otherwise 1.
    block: u64,
    /// The end of the data that is written.
    data_end: DataEnd,
    /// The bytes of the file from `base` to the end of the data, and the next group once it is encoded.
    buffer: CommitBuffer,
    base: u64,
    /// During a write, the buffer of the group that follows: the bytes of its first block, and the group if it is
    /// encoded.
    next_buffer: CommitBuffer,
    next_encoded: Option<EncodedGroup>,
}

impl TailBlock {
    /// Returns the tail block of a segment whose data ends at `data_end`. Writes go through the page cache.
    pub(super) fn new(data_end: DataEnd, checksummed: bool, padded: bool) -> Self {
        Self {
            checksummed,
            padded,
            block: 1,
            base: data_end.offset,
            data_end,
            buffer: CommitBuffer::with_capacity(BUFFER_BYTES),
            next_buffer: CommitBuffer::with_capacity(BUFFER_BYTES),
            next_encoded: None,
        }
    }

    /// Returns the tail block of an empty file. The first group is written together with this header.
    pub(super) fn with_header(header: &[u8], data_end: DataEnd, checksummed: bool, padded: bool) -> Self {
        let mut tail = Self { base: 0, ..Self::new(data_end, checksummed, padded) };
        tail.buffer.extend(header);
        tail
    }

    pub(super) fn set_block(&mut self, block: u64) {
        self.block = block;
    }

    /// Reads the bytes of the last block.
    pub(super) fn load(&mut self, file: &dyn FileHandle) -> io::Result<()> {
        self.base = self.block_start(self.data_end.offset);
        let mut bytes = vec![0; (self.data_end.offset - self.base) as usize];
        let mut filled = 0;
        while filled < bytes.len() {
            match file.read_at(&mut bytes[filled..], self.base + filled as u64)? {
                0 => return Err(io::ErrorKind::UnexpectedEof.into()),
                count => filled += count,
            }
        }
        self.buffer.clear();
        self.buffer.extend(&bytes);
        Ok(())
    }

    pub(super) fn data_end(&self) -> &DataEnd {
        &self.data_end
    }

    pub(super) fn is_checksummed(&self) -> bool {
        self.checksummed
    }

    pub(super) fn is_padded(&self) -> bool {
        self.padded
    }

    /// Encodes a group after the data, if it is not encoded yet.
    pub(super) fn encode<'a>(&mut self, pieces: impl Iterator<Item = &'a [u8]>) -> EncodedGroup {
        if let Some(encoded) = self.next_encoded.take() {
            return encoded;
        }
        let layout = self.layout();
        encode_group(&mut self.buffer, self.data_end, layout, pieces)
    }

    fn layout(&self) -> GroupLayout {
        GroupLayout { checksummed: self.checksummed, padded_to: self.padded.then_some(self.block) }
    }

    /// Returns the offset of the next write after data that ends at `data_end`.
    fn block_start(&self, data_end: u64) -> u64 {
        data_end - data_end % self.block
    }

    /// Discards a group that is encoded but will not be written.
    pub(super) fn discard_encoded(&mut self) {
        self.buffer.truncate((self.data_end.offset - self.base) as usize);
        self.next_encoded = None;
    }

    /// Pads the encoded group up to a multiple of `align`. Returns the number of bytes added.
    pub(super) fn pad_to(&mut self, align: u64) -> u64 {
        pad_to_multiple(&mut self.buffer, self.base, align.max(self.block))
    }

    /// Writes the buffer with the encoded group, durably. During the write it encodes `next_group`, which the next call
    /// of [`encode`](Self::encode) then returns.
    pub(super) fn write<'a>(
        &mut self,
        commit_backend: &mut dyn CommitBackend,
        encoded: EncodedGroup,
        next_group: Option<impl Iterator<Item = &'a [u8]>>,
    ) -> Result<(), CommitError> {
        let committed = match next_group {
            None => commit_backend.commit(&mut self.buffer, self.base),
            Some(pieces) => self.write_overlapped(commit_backend, encoded, pieces),
        };
        match committed {
            // Some file systems accept the flag `O_DIRECT` at open and then fail the write.
            Err(CommitError::Failed(error)) if commit_backend.is_direct() && is_unsupported(&error) => {
                self.next_encoded = None;
                commit_backend.fall_back_to_buffered().map_err(CommitError::Failed)?;
                self.block = 1;
                commit_backend.commit(&mut self.buffer, self.base)
            }
            outcome => outcome,
        }
    }

    fn write_overlapped<'a>(
        &mut self,
        commit_backend: &mut dyn CommitBackend,
        encoded: EncodedGroup,
        pieces: impl Iterator<Item = &'a [u8]>,
    ) -> Result<(), CommitError> {
        let (layout, start, mut pieces) = (self.layout(), encoded.data_end, Some(pieces));
        let next_base = self.block_start(start.offset);
        let Self { buffer, next_buffer, next_encoded, base, .. } = self;
        next_buffer.clear();
        next_buffer.extend(&buffer.bytes()[(next_base - *base) as usize..(start.offset - *base) as usize]);
        commit_backend.commit_overlapped(buffer, *base, &mut || {
            *next_encoded = pieces.take().map(|pieces| encode_group(next_buffer, start, layout, pieces));
        })
    }

    /// Makes the written group part of the data. Returns the offset after all bytes that were written.
    pub(super) fn advance(&mut self, encoded: EncodedGroup) -> u64 {
        debug_assert!(encoded.data_end.offset >= self.data_end.offset, "the data never shrinks");
        let written_end = self.base + self.buffer.len() as u64;
        self.data_end = encoded.data_end;
        let base = self.block_start(self.data_end.offset);
        if self.next_encoded.is_some() {
            mem::swap(&mut self.buffer, &mut self.next_buffer);
            self.next_buffer.clear();
        } else {
            self.buffer.truncate((self.data_end.offset - self.base) as usize);
            self.buffer.keep_from((base - self.base) as usize);
        }
        self.buffer.shrink_to(RETAINED_BUFFER_BYTES);
        self.next_buffer.shrink_to(RETAINED_BUFFER_BYTES);
        self.base = base;
        written_end
    }
}

fn is_unsupported(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::InvalidInput | io::ErrorKind::Unsupported)
}
