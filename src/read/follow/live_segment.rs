//! One segment that may be written while it is read: its verified records from a place on, as far as they are durable.

use std::{io, path::Path, sync::Arc};

use super::{super::journal_reader, durability::Durability};
use crate::{
    MiniStoreError, Result,
    format::scan::{
        Block, BoundedSource, LineReader, ProbeResult, ScanItem, ScanMode, ScanPosition, Scanner,
        last_newline_before,
    },
    format::{Header, PADDING_STEP_BYTES},
    io::FileHandle,
};

/// A block is handed on when it holds this many bytes.
const BLOCK_BYTES: usize = if cfg!(any(test, shuttle)) { 4 << 10 } else { 256 << 10 };

/// Bytes read of a segment whose newest groups are waited for: behind them is padding.
const WINDOW_BYTES_MIN: u64 = if cfg!(test) { 512 } else { 64 << 10 };

/// Bytes read of one that there is much of.
const WINDOW_BYTES_MAX: u64 = if cfg!(test) { 16 << 10 } else { 1 << 20 };

/// A segment, and how far it was read.
#[derive(Debug)]
pub(super) struct LiveSegment {
    pub(super) path: Arc<Path>,
    pub(super) file: Arc<dyn FileHandle>,
    pub(super) header: Header,
    /// Its number among the archived segments, or the one it will get.
    pub(super) number: u64,
    /// The record that it begins with.
    pub(super) first_seq: u64,
    pub(super) next_seq: u64,
    next_record: u64,
    position: ScanPosition,
    window_bytes: u64,
    /// A group too large for a block, on its second reading.
    large: Option<LineReader<Arc<dyn FileHandle>>>,
    /// It was synced here.
    synced: bool,
    /// Another segment follows it: nothing is written into it any more, and all of it is durable.
    pub(super) complete: bool,
}

/// Groups that were verified, on their way into a block.
#[derive(Debug, Clone, Copy)]
struct PendingGroups {
    /// Behind the last of them.
    position: ScanPosition,
    /// Records in them.
    records: u64,
    /// Before the last of them, and records before it.
    last: (ScanPosition, u64),
    /// The only one, which is too large for a block: where it begins and ends.
    large: Option<(u64, u64)>,
    /// Whether a group stands behind them.
    followed: bool,
}

impl LiveSegment {
    pub(super) fn new(
        path: Arc<Path>,
        file: Arc<dyn FileHandle>,
        (header, position): (Header, ScanPosition),
        number: u64,
        first_seq: u64,
    ) -> Self {
        Self {
            path,
            file,
            header,
            number,
            first_seq,
            next_seq: first_seq,
            next_record: 2,
            position,
            window_bytes: WINDOW_BYTES_MIN,
            large: None,
            synced: false,
            complete: false,
        }
    }

    /// The last seal of what was read.
    pub(super) fn last_seal(&self) -> Result<Option<u32>> {
        self.position.last_seal_now(&*self.file).map_err(|error| self.read_error(error))
    }

    pub(super) fn holds_records(&self) -> bool {
        self.next_seq > self.first_seq
    }

    /// The next records that are durable; `None` where there are none yet.
    pub(super) fn fill(
        &mut self,
        block: &mut Block,
        durable: &Durability,
    ) -> Result<Option<journal_reader::RecordPosition>> {
        let (seq, line) = (self.next_seq, self.next_record);
        self.fill_large(block).map_err(|error| self.read_error(error))?;
        // A large group may have ended with the block before: whoever is told that there is nothing goes to sleep.
        if block.len() == 0 && self.large.is_none() {
            self.fill_groups(block, durable)?;
            self.fill_large(block).map_err(|error| self.read_error(error))?;
        }
        let filled = block.len() as u64;
        (self.next_seq, self.next_record) = (seq + filled, line + filled);
        Ok((filled > 0).then(|| journal_reader::RecordPosition {
            segment: Arc::clone(&self.path),
            seq,
            line,
        }))
    }

    /// Whole groups, or the beginning of a large one.
    fn fill_groups(&mut self, block: &mut Block, durable: &Durability) -> Result<()> {
        if self.next_seq > durable.up_to() {
            return Ok(());
        }
        let failed = |error| self.read_error(error);
        let from = match self.position.probe_next(&*self.file).map_err(failed)? {
            ProbeResult::Nothing | ProbeResult::Mark(_) => return Ok(()),
            ProbeResult::Lf(from) | ProbeResult::Group(from) => from,
            ProbeResult::Foreign => {
                return Err(self.damage("the byte after a commit group is not what was written"));
            }
            ProbeResult::Lost => return Err(self.damage("it was changed before what was read of it")),
        };
        let Some(taken) = self.take(from, block, durable)? else { return Ok(()) };
        self.settle(from, taken, block, durable)
    }

    /// Verifies some groups, their lines into `block`.
    fn take(
        &mut self,
        from: ScanPosition,
        block: &mut Block,
        durable: &Durability,
    ) -> Result<Option<PendingGroups>> {
        loop {
            let failed = |error| self.read_error(error);
            let len = self.file.len().map_err(failed)?;
            let wide = from.offset().saturating_add(self.window_bytes);
            let mut end = wide.min(len);
            if from.is_plain() && !self.complete {
                end = last_newline_before(&self.file, from.offset(), end)
                    .map_err(failed)?
                    .unwrap_or(from.offset());
            }
            let mut scanned = self.scan(from, end, block, durable.up_to()).map_err(failed)?;
            if from.is_plain() && !self.complete && matches!(scanned, Err(None)) {
                scanned =
                    self.scan_last_plain(from, wide.min(len), block, durable.up_to()).map_err(failed)?;
            }
            match scanned {
                Ok(taken) => {
                    self.adapt_window(taken.position.data_end() - from.offset());
                    return Ok(Some(taken));
                }
                Err(_) if wide < len => self.window_bytes = self.window_bytes.saturating_mul(16),
                Err(Some(damage)) => return Err(self.damage(damage)),
                Err(None) => {
                    self.window_bytes = WINDOW_BYTES_MIN;
                    return Ok(None);
                }
            }
        }
    }

    /// One pass over the file up to `end`. Where it holds no whole group: what is damaged, if something is.
    fn scan(
        &self,
        from: ScanPosition,
        end: u64,
        block: &mut Block,
        up_to: u64,
    ) -> io::Result<std::result::Result<PendingGroups, Option<&'static str>>> {
        let mut window = BoundedSource { source: Arc::clone(&self.file), end };
        let mut scanner = Scanner::resume(window.clone(), from, ScanMode::Read);
        let mut taken =
            PendingGroups { position: from, records: 0, last: (from, 0), large: None, followed: false };
        loop {
            let before = (scanner.position(), taken.records);
            if block.byte_len() >= BLOCK_BYTES || self.next_seq.saturating_add(taken.records) > up_to {
                return Ok(Ok(taken));
            }
            let group = match scanner.next(block)? {
                ScanItem::Group(group) => group,
                ScanItem::End(_) if taken.records > 0 => return Ok(Ok(taken)),
                ScanItem::End(end) => {
                    return Ok(Err(end.tail.filter(|tail| tail.damaged).map(|tail| tail.reason)));
                }
            };
            if group.seal.is_none() && self.next_seq + taken.records + group.records - 1 > up_to {
                // Lines without a seal are all of one group here, durable or not: once more, fewer of them.
                window.end = behind_lines(&self.file, from.offset(), up_to + 1 - self.next_seq)?;
                block.clear();
                scanner = Scanner::resume(window.clone(), from, ScanMode::Read);
                taken = PendingGroups {
                    position: from,
                    records: 0,
                    last: (from, 0),
                    large: None,
                    followed: false,
                };
                continue;
            }
            if group.is_too_large && taken.records > 0 {
                return Ok(Ok(PendingGroups { followed: true, ..taken }));
            }
            taken.position = scanner.position();
            taken.records += group.records;
            taken.last = before;
            if group.is_too_large {
                return Ok(Ok(PendingGroups { large: Some((group.offset, group.end)), ..taken }));
            }
        }
    }

    /// The last line of a plain segment that was opened for writing: its seal stands behind it, and padding in the place of
    /// the LF.
    fn scan_last_plain(
        &self,
        from: ScanPosition,
        end: u64,
        block: &mut Block,
        up_to: u64,
    ) -> io::Result<std::result::Result<PendingGroups, Option<&'static str>>> {
        match self.scan(from, end, block, up_to)? {
            Ok(taken) if !taken.position.is_plain() => Ok(Ok(taken)),
            // A line that is still being written, or its seal.
            _ => {
                block.clear();
                Ok(Err(None))
            }
        }
    }

    /// Makes what was taken the newest that was read, as far as it is durable.
    fn settle(
        &mut self,
        from: ScanPosition,
        mut taken: PendingGroups,
        block: &mut Block,
        durable: &Durability,
    ) -> Result<()> {
        if !self.is_durable(&taken, durable)? {
            let (position, records) = taken.last;
            if records > 0 && !position.is_plain() {
                // It is the last one that is there: it waits for the next look, and perhaps for one that follows it.
                block.truncate(records as usize);
                taken = PendingGroups { position, records, large: None, ..taken };
            } else if self.make_durable(from, &taken, durable)? {
                self.synced = true;
            } else {
                block.clear();
                return Ok(());
            }
        }
        if let Some((start, end)) = taken.large {
            self.large = Some(LineReader::with_limit(Arc::clone(&self.file), start, end));
        }
        self.position = taken.position;
        Ok(())
    }

    /// Whether all that was taken is known to be durable.
    fn is_durable(&self, taken: &PendingGroups, durable: &Durability) -> Result<bool> {
        if durable.is_bounded() || self.complete || taken.followed {
            return Ok(true);
        }
        let behind = taken.position.probe_next(&*self.file).map_err(|error| self.read_error(error))?;
        Ok(!taken.position.is_plain() && matches!(behind, ProbeResult::Group(_) | ProbeResult::Mark(_)))
    }

    /// Nobody says that it is durable: it is made so. `false` where it is not all there yet, or not any more.
    fn make_durable(&self, from: ScanPosition, taken: &PendingGroups, durable: &Durability) -> Result<bool> {
        if !is_settled(&*self.file, &taken.position).map_err(|error| self.read_error(error))? {
            return Ok(false);
        }
        durable.ensure(&*self.file, &self.path, !self.synced)?;
        if self.synced {
            return Ok(true);
        }
        // A writer may have failed to sync this before the file was opened here. Then only the page cache has it, and
        // nobody is told any more.
        self.file.drop_page_cache(from.data_end(), taken.position.data_end() - from.data_end());
        self.is_there(from, taken).map_err(|error| self.read_error(error))
    }

    /// Whether what was taken is found once more.
    fn is_there(&self, from: ScanPosition, taken: &PendingGroups) -> io::Result<bool> {
        let window = BoundedSource { source: Arc::clone(&self.file), end: taken.position.offset() };
        let mut scanner = Scanner::resume(window, from, ScanMode::VerifyOnly);
        let mut nothing = Block::default();
        let mut records = 0;
        while records < taken.records {
            match scanner.next(&mut nothing)? {
                ScanItem::Group(group) => records += group.records,
                ScanItem::End(_) => return Ok(false),
            }
        }
        let again = scanner.position();
        Ok((again.data_end(), again.last_seal()) == (taken.position.data_end(), taken.position.last_seal()))
    }

    /// Some more of a large group.
    fn fill_large(&mut self, block: &mut Block) -> io::Result<()> {
        while let Some(lines) = &mut self.large
            && block.byte_len() < BLOCK_BYTES
        {
            if !lines.push_some(block)? {
                self.large = None;
            }
        }
        Ok(())
    }

    /// Much is read at once where there is much, and little where groups come one by one.
    fn adapt_window(&mut self, taken_bytes: u64) {
        let much = taken_bytes >= self.window_bytes.min(BLOCK_BYTES as u64) / 2;
        self.window_bytes = if much { WINDOW_BYTES_MAX } else { WINDOW_BYTES_MIN };
    }

    pub(super) fn damage(&self, reason: &str) -> MiniStoreError {
        MiniStoreError::Corrupt {
            segment: self.path.to_path_buf(),
            offset: self.position.data_end(),
            line: self.next_record,
            seq: Some(self.next_seq),
            reason: reason.into(),
        }
    }

    pub(super) fn read_error(&self, error: io::Error) -> MiniStoreError {
        MiniStoreError::file(self.path.to_path_buf(), "read")(error)
    }
}

/// Whether a last group was written to its end: with the LF that ends it, or with all of its padding. One that was not may
/// find no room for the rest, and be cut away again; then its numbers are given to others.
fn is_settled(file: &dyn FileHandle, position: &ScanPosition) -> io::Result<bool> {
    let len = file.len()?;
    Ok(match position.probe_next(file)? {
        ProbeResult::Lf(_) | ProbeResult::Group(_) | ProbeResult::Mark(_) => true,
        ProbeResult::Nothing => len >= position.data_end() && len.is_multiple_of(PADDING_STEP_BYTES),
        ProbeResult::Foreign | ProbeResult::Lost => false,
    })
}

/// Behind so many lines.
fn behind_lines(file: &Arc<dyn FileHandle>, offset: u64, lines: u64) -> io::Result<u64> {
    let mut reader = LineReader::new(Arc::clone(file), offset);
    for _ in 0..lines {
        if reader.next()?.is_none() {
            break;
        }
    }
    Ok(reader.position())
}
