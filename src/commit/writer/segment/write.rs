//! Writing an encoded group to the segment.

use std::{io, mem};

use super::{
    ActiveSegment, RETAINED_BUFFER_BYTES,
    encoding::{EncodedGroup, GroupStart},
};
use crate::{
    format::LF,
    io::{CommitBackend, CommitError},
    seeded_bugs::{Bug, seeded},
};

/// Whether [`ActiveSegment::write`] extends the file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::commit::writer) enum WriteKind {
    /// The group is written over padding.
    InPlace,
    /// The write extends the file.
    Extending,
}

impl ActiveSegment {
    /// Writes the encoded group. During the write it encodes `next_group`, which the next call of
    /// [`encode_group`](Self::encode_group) then returns.
    pub(in crate::commit::writer) fn write<'a>(
        &mut self,
        commit_backend: &mut dyn CommitBackend,
        encoded: EncodedGroup,
        kind: WriteKind,
        next_group: Option<impl Iterator<Item = &'a [u8]>>,
    ) -> Result<(), CommitError> {
        if kind == WriteKind::Extending && self.has_terminator && self.preallocate {
            self.truncate_terminator().map_err(CommitError::Failed)?;
        }
        let committed = match next_group {
            None => commit_backend.commit(&mut self.buffer, self.base),
            Some(lines) => self.write_overlapped(commit_backend, encoded, lines),
        };
        match committed {
            Err(CommitError::Failed(error)) if commit_backend.is_direct() && is_unsupported(&error) => {
                self.next_encoded = None;
                self.fall_back_to_buffered(commit_backend).map_err(CommitError::Failed)?;
                commit_backend.commit(&mut self.buffer, self.base)?;
            }
            outcome => outcome?,
        }
        self.advance(encoded);
        Ok(())
    }

    fn write_overlapped<'a>(
        &mut self,
        commit_backend: &mut dyn CommitBackend,
        encoded: EncodedGroup,
        lines: impl Iterator<Item = &'a [u8]>,
    ) -> Result<(), CommitError> {
        let (encoding, base, mut lines) = (self.encoding(), self.block_start(encoded.data_end), Some(lines));
        let Self { buffer, next_buffer, next_encoded, base: write_offset, .. } = self;
        next_buffer.clear();
        next_buffer.extend(
            &buffer.bytes()[(base - *write_offset) as usize..(encoded.data_end - *write_offset) as usize],
        );
        let start = GroupStart { base, chain: encoded.chain, last_seal: encoded.last_seal };
        commit_backend.commit_overlapped(buffer, *write_offset, &mut || {
            *next_encoded = lines.take().map(|lines| encoding.encode_group(next_buffer, start, lines));
        })
    }

    /// Makes the written group part of the segment.
    fn advance(&mut self, encoded: EncodedGroup) {
        debug_assert!(encoded.data_end >= self.data_end, "the data never shrinks");
        self.data_end = encoded.data_end;
        self.chain = encoded.chain;
        self.last_seal = encoded.last_seal;
        self.prepared_end = self.prepared_end.max(self.base + self.buffer.len() as u64);
        self.header_written = true;
        self.has_terminator = !self.preallocate;
        let base = self.block_start(self.data_end);
        if self.next_encoded.is_some() {
            mem::swap(&mut self.buffer, &mut self.next_buffer);
            self.next_buffer.clear();
        } else {
            self.buffer.truncate((self.data_end - self.base) as usize);
            self.buffer.keep_from((base - self.base) as usize);
        }
        self.buffer.shrink_to(RETAINED_BUFFER_BYTES);
        self.next_buffer.shrink_to(RETAINED_BUFFER_BYTES);
        self.base = base;
    }

    /// Continues with buffered writes: some file systems accept the flag `O_DIRECT` at open and then fail the write.
    fn fall_back_to_buffered(&mut self, commit_backend: &mut dyn CommitBackend) -> io::Result<()> {
        commit_backend.fall_back_to_buffered()?;
        self.block = 1;
        Ok(())
    }

    /// Truncates the file to its data after a write for which the disk had no space, and makes that durable. The part
    /// that was not written may be only padding: a rejected group must not be found complete after a power failure.
    pub(in crate::commit::writer) fn truncate_failed_group(&mut self) -> io::Result<()> {
        self.discard_encoded();
        let durable_end = self.durable_end();
        self.prepared_end = durable_end;
        if seeded(Bug::NoTruncateAfterStorageFull) {
            return Ok(());
        }
        if self.has_terminator {
            // The LF first: a plain line is complete only with it, and the space for it is already allocated.
            self.file.write_at(&[LF], durable_end)?;
        }
        self.file.set_len(durable_end + u64::from(self.has_terminator))?;
        self.file.sync()
    }

    /// Removes the LF and the close marker, because padding must not follow them.
    fn truncate_terminator(&mut self) -> io::Result<()> {
        self.file.set_len(self.data_end)?;
        self.has_terminator = false;
        Ok(())
    }
}

fn is_unsupported(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::InvalidInput | io::ErrorKind::Unsupported)
}
