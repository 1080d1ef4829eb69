//! The active segment as the writer sees it: where its data ends, how far it is written ahead, and the buffer in
//! which the next group is laid out.

use std::{io, mem, path::PathBuf, sync::Arc, time::Duration};

use crate::{
    format::{Chain, Header, LF, PADDING, seal},
    io::{
        BLOCK_BYTES, CommitBackend, CommitBuffer, CommitError, CommitOptions, FileHandle, FileId, FileSystem,
        has_id, is_shortage,
    },
    journal::close_segment::close_segment,
    journal::ownership::moved_away,
    seeded_bugs::{Bug, seeded},
};

/// Room that the buffer starts with.
const BUFFER_BYTES: usize = 256 << 10;

/// Room that the buffer shrinks back to after a larger group.
const BUFFER_BYTES_KEPT: usize = 4 << 20;

/// How often a commit checks that the active name is still the open file. A check before every commit took 9 % of the rate of
/// 16 callers; what a deletion and a replacement leave (a file without a name) is checked each time at a fraction of that.
const NAME_CHECK_INTERVAL: Duration = Duration::from_secs(1);

#[derive(Debug)]
pub(super) struct ActiveSegment {
    /// When the active name was last found to be the open file, on the clock of the disk.
    name_checked: Option<Duration>,
    pub(super) file: Arc<dyn FileHandle>,
    id: Option<FileId>,
    /// The name it has now.
    pub(super) path: PathBuf,
    /// The name it is being given, or has been given meanwhile.
    pub(super) archived_as: Option<PathBuf>,
    /// Records in it.
    pub(super) records: u64,
    /// Behind its last seal, or plain line.
    data_end: u64,
    /// Up to here it is written ahead, durably.
    prepared_end: u64,
    /// What of it is durable: all up to `data_end`, or nothing while it is unborn.
    header_written: bool,
    sealed: bool,
    preallocate: bool,
    chain: Chain,
    last_seal: Option<u32>,
    /// Offsets of writes are multiples of this: [`BLOCK_BYTES`] where they bypass the page cache, else 1.
    block: u64,
    /// What stands in the file from `base` to `data_end`, to be written again with the next group.
    buffer: CommitBuffer,
    base: u64,
    /// The buffer of the next group: the next image, and perhaps the group, laid out already.
    next: CommitBuffer,
    next_encoded: Option<EncodedGroup>,
    /// The file ends in LF (and perhaps the closed mark) behind `data_end`, to be cut before it is written ahead.
    has_terminator: bool,
}

/// A group as it will stand in the file.
#[derive(Debug, Clone, Copy)]
pub(super) struct EncodedGroup {
    /// Behind its seal.
    data_end: u64,
    /// Behind the bytes written with it.
    pub(super) end: u64,
    chain: Chain,
    last_seal: Option<u32>,
}

/// What a group is laid out behind.
#[derive(Debug, Clone, Copy)]
struct LayoutStart {
    base: u64,
    chain: Chain,
    last_seal: Option<u32>,
}

/// How a segment's groups are laid out.
#[derive(Debug, Clone, Copy)]
struct LayoutParams {
    sealed: bool,
    preallocate: bool,
    block: u64,
}

impl LayoutParams {
    /// Adds `LF lines seal` to the image in `buffer`, and an LF where nothing is written ahead.
    fn encode_group<'a>(
        self,
        buffer: &mut CommitBuffer,
        from: LayoutStart,
        lines: impl Iterator<Item = &'a [u8]>,
    ) -> EncodedGroup {
        let LayoutStart { base, mut chain, mut last_seal } = from;
        let mut lines_at = buffer.len() + 1;
        for line in lines {
            buffer.extend(&[LF]);
            buffer.extend(line);
            if seeded(Bug::SplitBatch)
                && self.sealed
                && let Some(first_len) = line.iter().position(|byte| *byte == LF)
            {
                buffer.truncate(buffer.len() - line.len() + first_len);
                chain.push(&buffer.bytes()[lines_at..]);
                let value = chain.seal();
                chain = Chain::from_seal(value);
                buffer.extend(&seal::encode(value));
                lines_at = buffer.len() + 1;
                buffer.extend(&line[first_len..]);
            }
        }
        if buffer.len() >= lines_at {
            chain.push(&buffer.bytes()[lines_at..]);
            if self.sealed {
                let value = chain.seal();
                buffer.extend(&seal::encode(value));
                chain = Chain::from_seal(value);
                last_seal = Some(value);
            }
        }
        let data_end = base + buffer.len() as u64;
        if self.preallocate {
            fill_to_block(buffer, base, self.block);
        } else {
            buffer.extend(&[LF]);
        }
        EncodedGroup { data_end, end: base + buffer.len() as u64, chain, last_seal }
    }
}

/// Lays out the rest of the last block, too: what lies behind it is then padding, whole. Says how much that was.
fn fill_to_block(buffer: &mut CommitBuffer, base: u64, block: u64) -> u64 {
    let data_end = base + buffer.len() as u64;
    let end = data_end.next_multiple_of(block);
    buffer.fill_to((end - base) as usize, PADDING);
    end - data_end
}

/// How [`ActiveSegment::write`] meets the end of the file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum WriteKind {
    /// The group lies within what is written ahead.
    InPlace,
    /// The write extends the file.
    Extending,
}

/// What a segment starts from.
#[derive(Debug)]
pub(super) struct RecoveredSegment {
    pub(super) file: Arc<dyn FileHandle>,
    pub(super) path: PathBuf,
    pub(super) data_end: u64,
    pub(super) records: u64,
    pub(super) sealed: bool,
    pub(super) chain: Chain,
    pub(super) last_seal: Option<u32>,
}

impl ActiveSegment {
    /// One that recovery made ready.
    pub(super) fn recovered(origin: RecoveredSegment, preallocate: bool) -> Self {
        let RecoveredSegment { file, path, data_end, records, sealed, chain, last_seal } = origin;
        Self {
            id: file.id().ok().flatten(),
            name_checked: None,
            file,
            path,
            archived_as: None,
            records,
            data_end,
            prepared_end: data_end,
            header_written: true,
            sealed,
            preallocate: preallocate && sealed,
            chain,
            last_seal,
            block: 1,
            buffer: CommitBuffer::with_capacity(BUFFER_BYTES),
            base: data_end,
            next: CommitBuffer::with_capacity(BUFFER_BYTES),
            next_encoded: None,
            has_terminator: true,
        }
    }

    /// One that was prepared up to `prepared_end`. Its header is still to be written.
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
        let sealed = header != Header::Plain;
        Self {
            id: file.id().ok().flatten(),
            name_checked: None,
            file,
            path,
            archived_as: None,
            records: 0,
            data_end: text.len() as u64,
            prepared_end,
            header_written: false,
            sealed,
            preallocate: preallocate && sealed,
            chain: Chain::from_header(&text),
            last_seal: None,
            block: 1,
            buffer,
            base: 0,
            next: CommitBuffer::with_capacity(BUFFER_BYTES),
            next_encoded: None,
            has_terminator: false,
        }
    }

    /// Switches the lane to this segment, which it prepared and which has no data yet.
    pub(super) fn switch(&mut self, commit_backend: &mut dyn CommitBackend) {
        commit_backend.switch();
        self.block = if commit_backend.is_direct() { BLOCK_BYTES } else { 1 };
    }

    /// Turns the lane to this segment.
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

    /// Reads back what must be written again with the next group.
    fn load_tail_block(&mut self) -> io::Result<()> {
        self.base = self.block_start(self.data_end);
        let mut image = vec![0; (self.data_end - self.base) as usize];
        let mut filled = 0;
        while filled < image.len() {
            match self.file.read_at(&mut image[filled..], self.base + filled as u64)? {
                0 => return Err(io::ErrorKind::UnexpectedEof.into()),
                count => filled += count,
            }
        }
        self.buffer.clear();
        self.buffer.extend(&image);
        Ok(())
    }

    /// Lays a group out behind the data. Without lines, only the header of an unborn segment.
    pub(super) fn encode_group<'a>(&mut self, lines: impl Iterator<Item = &'a [u8]>) -> EncodedGroup {
        if let Some(encoded) = self.next_encoded.take() {
            return encoded;
        }
        debug_assert_eq!(
            self.base + self.buffer.len() as u64,
            self.data_end,
            "the image ends where the data does"
        );
        let from = LayoutStart { base: self.base, chain: self.chain, last_seal: self.last_seal };
        self.layout_params().encode_group(&mut self.buffer, from, lines)
    }

    fn layout_params(&self) -> LayoutParams {
        LayoutParams { sealed: self.sealed, preallocate: self.preallocate, block: self.block }
    }

    /// Writes what was laid out. Lays out the group that follows it meanwhile: what [`encode_group`](Self::encode_group) is called
    /// for next.
    pub(super) fn write<'a>(
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
        let (layout_params, base, mut lines) =
            (self.layout_params(), self.block_start(encoded.data_end), Some(lines));
        let Self { buffer, next, next_encoded, base: written_at, .. } = self;
        next.clear();
        next.extend(
            &buffer.bytes()[(base - *written_at) as usize..(encoded.data_end - *written_at) as usize],
        );
        let from = LayoutStart { base, chain: encoded.chain, last_seal: encoded.last_seal };
        commit_backend.commit_overlapped(buffer, *written_at, &mut || {
            *next_encoded = lines.take().map(|lines| layout_params.encode_group(next, from, lines));
        })
    }

    /// Where writes begin behind data that ends here.
    fn block_start(&self, data_end: u64) -> u64 {
        data_end - data_end % self.block
    }

    /// Makes the group just written part of the segment.
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
            mem::swap(&mut self.buffer, &mut self.next);
            self.next.clear();
        } else {
            self.buffer.truncate((self.data_end - self.base) as usize);
            self.buffer.keep_from((base - self.base) as usize);
        }
        self.buffer.shrink_to(BUFFER_BYTES_KEPT);
        self.next.shrink_to(BUFFER_BYTES_KEPT);
        self.base = base;
    }

    /// Some file systems take the open flag and refuse the write: then the same bytes go through the page cache.
    fn fall_back_to_buffered(&mut self, commit_backend: &mut dyn CommitBackend) -> io::Result<()> {
        commit_backend.fall_back_to_buffered()?;
        self.block = 1;
        Ok(())
    }

    /// Discards a group that was laid out and is not going to be written.
    pub(super) fn discard_encoded(&mut self) {
        self.buffer.truncate((self.data_end - self.base) as usize);
        self.next_encoded = None;
    }

    /// After a write that found no room: nothing of it may be left behind the data, durably. What is missing of it may
    /// be padding only, and a group that was refused must not be found whole after a power cut.
    pub(super) fn truncate_failed_group(&mut self) -> io::Result<()> {
        self.discard_encoded();
        let durable_end = if self.header_written { self.data_end } else { 0 };
        self.prepared_end = durable_end;
        if seeded(Bug::NoTruncateAfterStorageFull) {
            return Ok(());
        }
        if self.has_terminator {
            // The LF first: a plain line is whole only with it, and where it stands there is room for it.
            self.file.write_at(&[LF], durable_end)?;
        }
        self.file.set_len(durable_end + u64::from(self.has_terminator))?;
        self.file.sync()
    }

    /// Removes LF and closed mark, for padding must not follow them.
    fn truncate_terminator(&mut self) -> io::Result<()> {
        self.file.set_len(self.data_end)?;
        self.has_terminator = false;
        Ok(())
    }

    /// Pads what was laid out up to a multiple of `align`, before a write that extends the file; says by how much.
    pub(super) fn pad_to(&mut self, align: u64) -> u64 {
        fill_to_block(&mut self.buffer, self.base, align.max(self.block))
    }

    /// Takes note of padding that the housekeeper wrote.
    pub(super) fn prepared(&mut self, prepared_end: u64) {
        self.prepared_end = self.prepared_end.max(prepared_end);
        self.has_terminator = false;
    }

    /// Fails where another process deleted, replaced or truncated the file, or moved it: the last is noticed within
    /// [`NAME_CHECK_INTERVAL`]. Called before each commit.
    pub(super) fn check_before_commit(&mut self, disk: &dyn FileSystem) -> Result<(), CommitError> {
        let now = disk.elapsed();
        if self.name_checked.is_none_or(|at| now.saturating_sub(at) >= NAME_CHECK_INTERVAL) {
            self.check_not_replaced(disk)?;
            self.name_checked = Some(now);
            return Ok(());
        }
        match self.file.len_if_linked().map_err(not_looked)? {
            Some(len) => self.check_len(len),
            None => Err(CommitError::Failed(moved_away(&self.path))),
        }
    }

    /// Fails where another process deleted, moved, replaced or truncated the file: what is written into it then is not
    /// found. One look at the name is enough, as long as the file has the active one; the background thread may be giving it
    /// its archived name. Where a shortage keeps that from being found out, nothing is written.
    pub(super) fn check_not_replaced(&self, disk: &dyn FileSystem) -> Result<(), CommitError> {
        match disk.named(&self.path) {
            Ok(Some((id, len))) if self.id == Some(id) => return self.check_len(len),
            Err(error) if is_shortage(&error) => return Err(not_looked(error)),
            _ => {}
        }
        match self.file.len_if_linked().map_err(not_looked)? {
            None => return Err(CommitError::Failed(moved_away(&self.path))),
            Some(len) => self.check_len(len)?,
        }
        for path in [Some(&self.path), self.archived_as.as_ref()].into_iter().flatten() {
            if has_id(disk, path, self.id).map_err(not_looked)? {
                return Ok(());
            }
        }
        Err(CommitError::Failed(moved_away(&self.path)))
    }

    fn check_len(&self, len: u64) -> Result<(), CommitError> {
        let expected = if self.header_written { self.data_end } else { 0 };
        if len >= expected {
            return Ok(());
        }
        Err(CommitError::Failed(io::Error::other(format!(
            "another program truncated the active segment: it has {len} bytes, and {expected} were written"
        ))))
    }

    /// Marks it as complete. Its padding is cut.
    pub(super) fn close(&mut self) -> io::Result<()> {
        close_segment(&*self.file, self.data_end, self.sealed)
    }

    pub(super) fn data_end(&self) -> u64 {
        self.data_end
    }

    /// Where the next line begins: behind the LF that ends the one before.
    pub(super) fn next_offset(&self) -> u64 {
        self.data_end + 1
    }

    pub(super) fn prepared_end(&self) -> u64 {
        self.prepared_end
    }

    pub(super) fn is_unwritten(&self) -> bool {
        !self.header_written
    }

    pub(super) fn is_sealed(&self) -> bool {
        self.sealed
    }

    pub(super) fn is_preallocated(&self) -> bool {
        self.preallocate
    }

    /// Where the housekeeper must cut the file before it pads it.
    pub(super) fn cut_before_padding(&self) -> Option<u64> {
        self.has_terminator.then_some(self.data_end)
    }

    pub(super) fn last_seal(&self) -> Option<u32> {
        self.last_seal
    }
}

/// A shortage passes; after any other error the file system is not known to work.
fn not_looked(source: io::Error) -> CommitError {
    if is_shortage(&source) {
        return CommitError::NotBegun { action: "stat the active segment", source };
    }
    CommitError::Failed(source)
}

fn is_unsupported(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::InvalidInput | io::ErrorKind::Unsupported)
}
