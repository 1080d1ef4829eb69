//! The active segment: its file, and the tail block in which the next group is encoded.

mod segment_file;
mod tail_block;

use std::{io, path::PathBuf, sync::Arc};

use self::{segment_file::ActiveSegmentFile, tail_block::TailBlock};
use crate::{
    format::{DataEnd, EncodedGroup, SegmentHeader},
    io::{BLOCK_BYTES, CommitBackend, CommitError, CommitOptions, FileHandle},
    journal::close_segment::close_segment,
    recovery::RecoveredJournal,
};

#[derive(Debug)]
pub(super) struct ActiveSegment {
    pub(super) file: ActiveSegmentFile,
    tail: TailBlock,
    /// Records in the segment.
    pub(super) records: u64,
    /// How many bytes of padding may follow the data.
    pub(super) padding_max: u64,
}

/// Whether [`ActiveSegment::write`] extends the file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum WriteKind {
    /// The group is written over padding.
    InPlace,
    /// The write extends the file.
    Extending,
}

impl ActiveSegment {
    /// Returns the segment that recovery has opened.
    pub(super) fn recovered(recovered: &RecoveredJournal, path: PathBuf, preallocate: bool) -> Self {
        let &RecoveredJournal { ref file, header, data_end, records, checksummed, .. } = recovered;
        Self {
            file: ActiveSegmentFile::recovered(Arc::clone(file), path, data_end.offset),
            tail: TailBlock::new(data_end, checksummed, preallocate && checksummed),
            records,
            padding_max: header.padding_max(),
        }
    }

    /// Returns a new segment that is preallocated up to `prepared_end` and has no header yet.
    pub(super) fn new_unwritten(
        file: Arc<dyn FileHandle>,
        path: PathBuf,
        prepared_end: u64,
        header: SegmentHeader,
        preallocate: bool,
    ) -> Self {
        let text = header.encode();
        let data_end = DataEnd::after_header(&text);
        let checksummed = header != SegmentHeader::Plain;
        Self {
            file: ActiveSegmentFile::prepared(file, path, prepared_end),
            tail: TailBlock::with_header(&text, data_end, checksummed, preallocate && checksummed),
            records: 0,
            padding_max: header.padding_max(),
        }
    }

    /// Switches the commit backend to this segment, which the backend has opened and which has no data yet.
    pub(super) fn switch(&mut self, commit_backend: &mut dyn CommitBackend) {
        commit_backend.switch();
        self.set_block(commit_backend);
    }

    /// Opens this segment for commits.
    pub(super) fn attach(
        &mut self,
        commit_backend: &mut dyn CommitBackend,
        options: CommitOptions,
    ) -> io::Result<()> {
        commit_backend.attach(&self.file.path, options)?;
        self.set_block(commit_backend);
        if self.is_unwritten() { Ok(()) } else { self.tail.load(&*self.file.handle) }
    }

    fn set_block(&mut self, commit_backend: &dyn CommitBackend) {
        self.tail.set_block(if commit_backend.is_direct() { BLOCK_BYTES } else { 1 });
    }

    /// Encodes a group after the data. Without lines it is only the header of a segment that has none.
    pub(super) fn encode_group<'a>(&mut self, pieces: impl Iterator<Item = &'a [u8]>) -> EncodedGroup {
        self.tail.encode(pieces)
    }

    /// Discards a group that is encoded but will not be written.
    pub(super) fn discard_encoded(&mut self) {
        self.tail.discard_encoded();
    }

    /// Pads the encoded group up to a multiple of `align`, before a write that extends the file. Returns the number of
    /// bytes added.
    pub(super) fn pad_to(&mut self, align: u64) -> u64 {
        self.tail.pad_to(align)
    }

    /// Writes the encoded group. During the write it encodes `next_group`, which the next call of
    /// [`encode_group`](Self::encode_group) then returns.
    pub(super) fn write<'a>(
        &mut self,
        commit_backend: &mut dyn CommitBackend,
        encoded: EncodedGroup,
        kind: WriteKind,
        next_group: Option<impl Iterator<Item = &'a [u8]>>,
    ) -> Result<(), CommitError> {
        if kind == WriteKind::Extending && self.is_preallocated() {
            self.file.truncate_terminator().map_err(CommitError::Failed)?;
        }
        self.tail.write(commit_backend, encoded, next_group)?;
        let written_end = self.tail.advance(encoded);
        self.file.on_written(self.data_end(), written_end, !self.is_preallocated());
        Ok(())
    }

    /// Discards the encoded group, and truncates the part of it that was written before the disk was full.
    pub(super) fn truncate_failed_group(&mut self) -> io::Result<()> {
        self.tail.discard_encoded();
        self.file.truncate_failed_group()
    }

    /// Truncates the padding and writes the close marker.
    pub(super) fn close(&mut self) -> io::Result<()> {
        close_segment(&*self.file.handle, self.data_end(), self.is_checksummed())
    }

    pub(super) fn data_end(&self) -> u64 {
        self.tail.data_end().offset
    }

    /// Returns the offset of the next line, after the LF that ends the previous one.
    pub(super) fn next_offset(&self) -> u64 {
        self.data_end() + 1
    }

    pub(super) fn prepared_end(&self) -> u64 {
        self.file.prepared_end()
    }

    pub(super) fn is_unwritten(&self) -> bool {
        self.file.is_unwritten()
    }

    pub(super) fn is_checksummed(&self) -> bool {
        self.tail.is_checksummed()
    }

    pub(super) fn is_preallocated(&self) -> bool {
        self.tail.is_padded()
    }

    pub(super) fn last_seal(&self) -> Option<u32> {
        self.tail.data_end().last_seal
    }
}
