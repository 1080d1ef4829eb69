//! One segment that may be written while it is read: its verified records from a place on, as far as they are durable.

use std::{io, path::Path, sync::Arc};

use super::{super::feed, durable::Durable};
use crate::{
    MiniStoreError, Result,
    device::DiskFile,
    format::{Header, PADDING_STEP_BYTES},
    scan::{Behind, Block, Collect, LineReader, Place, Scanner, Step, Window, before_last_lf},
};

/// A block is handed on when it holds this many bytes.
const BLOCK_BYTES: usize = if cfg!(any(test, shuttle)) { 4 << 10 } else { 256 << 10 };

/// Bytes read of a segment whose newest groups are waited for: behind them is padding.
const WINDOW_BYTES_MIN: u64 = if cfg!(test) { 512 } else { 64 << 10 };

/// Bytes read of one that there is much of.
const WINDOW_BYTES_MAX: u64 = if cfg!(test) { 16 << 10 } else { 1 << 20 };

/// A segment, and how far it was read.
#[derive(Debug)]
pub(super) struct Growing {
    pub(super) path: Arc<Path>,
    pub(super) file: Arc<dyn DiskFile>,
    pub(super) header: Header,
    /// Its number among the archived segments, or the one it will get.
    pub(super) number: u64,
    /// The record that it begins with.
    pub(super) first_seq: u64,
    pub(super) next_seq: u64,
    next_record: u64,
    place: Place,
    window_bytes: u64,
    /// A group too large for a block, on its second reading.
    large: Option<LineReader<Arc<dyn DiskFile>>>,
    /// It was synced here.
    synced: bool,
    /// Another segment follows it: nothing is written into it any more, and all of it is durable.
    pub(super) complete: bool,
}

/// Groups that were verified, on their way into a block.
#[derive(Debug, Clone, Copy)]
struct Taken {
    /// Behind the last of them.
    place: Place,
    /// Records in them.
    records: u64,
    /// Before the last of them, and records before it.
    last: (Place, u64),
    /// The only one, which is too large for a block: where it begins and ends.
    large: Option<(u64, u64)>,
    /// Whether a group stands behind them.
    followed: bool,
}

impl Growing {
    pub(super) fn new(
        path: Arc<Path>,
        file: Arc<dyn DiskFile>,
        (header, place): (Header, Place),
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
            place,
            window_bytes: WINDOW_BYTES_MIN,
            large: None,
            synced: false,
            complete: false,
        }
    }

    /// The last seal of what was read.
    pub(super) fn last_seal(&self) -> Result<Option<u32>> {
        self.place.last_seal_now(&*self.file).map_err(|error| self.read_error(error))
    }

    pub(super) fn holds_records(&self) -> bool {
        self.next_seq > self.first_seq
    }

    /// The next records that are durable; `None` where there are none yet.
    pub(super) fn fill(&mut self, block: &mut Block, durable: &Durable) -> Result<Option<feed::Place>> {
        let (seq, line) = (self.next_seq, self.next_record);
        self.fill_large(block).map_err(|error| self.read_error(error))?;
        // A large group may have ended with the block before: whoever is told that there is nothing goes to sleep.
        if block.len() == 0 && self.large.is_none() {
            self.fill_groups(block, durable)?;
            self.fill_large(block).map_err(|error| self.read_error(error))?;
        }
        let filled = block.len() as u64;
        (self.next_seq, self.next_record) = (seq + filled, line + filled);
        Ok((filled > 0).then(|| feed::Place { segment: Arc::clone(&self.path), seq, line }))
    }

    /// Whole groups, or the beginning of a large one.
    fn fill_groups(&mut self, block: &mut Block, durable: &Durable) -> Result<()> {
        if self.next_seq > durable.up_to() {
            return Ok(());
        }
        let failed = |error| self.read_error(error);
        let from = match self.place.look_behind(&*self.file).map_err(failed)? {
            Behind::Nothing | Behind::Mark(_) => return Ok(()),
            Behind::Lf(from) | Behind::Group(from) => from,
            Behind::Foreign => {
                return Err(self.damage("the byte after a commit group is not what was written"));
            }
            Behind::Lost => return Err(self.damage("it was changed before what was read of it")),
        };
        let Some(taken) = self.take(from, block, durable)? else { return Ok(()) };
        self.settle(from, taken, block, durable)
    }

    /// Verifies some groups, their lines into `block`.
    fn take(&mut self, from: Place, block: &mut Block, durable: &Durable) -> Result<Option<Taken>> {
        loop {
            let failed = |error| self.read_error(error);
            let len = self.file.len().map_err(failed)?;
            let wide = from.offset().saturating_add(self.window_bytes);
            let mut end = wide.min(len);
            if from.is_plain() && !self.complete {
                end =
                    before_last_lf(&self.file, from.offset(), end).map_err(failed)?.unwrap_or(from.offset());
            }
            let mut scanned = self.scan(from, end, block, durable.up_to()).map_err(failed)?;
            if from.is_plain() && !self.complete && matches!(scanned, Err(None)) {
                scanned =
                    self.scan_last_plain(from, wide.min(len), block, durable.up_to()).map_err(failed)?;
            }
            match scanned {
                Ok(taken) => {
                    self.adapt_window(taken.place.data_end() - from.offset());
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
        from: Place,
        end: u64,
        block: &mut Block,
        up_to: u64,
    ) -> io::Result<std::result::Result<Taken, Option<&'static str>>> {
        let mut window = Window { source: Arc::clone(&self.file), end };
        let mut scanner = Scanner::resume(window.clone(), from, Collect::Lines);
        let mut taken = Taken { place: from, records: 0, last: (from, 0), large: None, followed: false };
        loop {
            let before = (scanner.place(), taken.records);
            if block.byte_len() >= BLOCK_BYTES || self.next_seq.saturating_add(taken.records) > up_to {
                return Ok(Ok(taken));
            }
            let group = match scanner.next(block)? {
                Step::Group(group) => group,
                Step::End(_) if taken.records > 0 => return Ok(Ok(taken)),
                Step::End(end) => {
                    return Ok(Err(end.tail.filter(|tail| tail.damaged).map(|tail| tail.reason)));
                }
            };
            if group.seal.is_none() && self.next_seq + taken.records + group.records - 1 > up_to {
                // Lines without a seal are all of one group here, durable or not: once more, fewer of them.
                window.end = behind_lines(&self.file, from.offset(), up_to + 1 - self.next_seq)?;
                block.clear();
                scanner = Scanner::resume(window.clone(), from, Collect::Lines);
                taken = Taken { place: from, records: 0, last: (from, 0), large: None, followed: false };
                continue;
            }
            if group.on_disk && taken.records > 0 {
                return Ok(Ok(Taken { followed: true, ..taken }));
            }
            taken.place = scanner.place();
            taken.records += group.records;
            taken.last = before;
            if group.on_disk {
                return Ok(Ok(Taken { large: Some((group.offset, group.end)), ..taken }));
            }
        }
    }

    /// The last line of a plain segment that was opened for writing: its seal stands behind it, and padding in the place of
    /// the LF.
    fn scan_last_plain(
        &self,
        from: Place,
        end: u64,
        block: &mut Block,
        up_to: u64,
    ) -> io::Result<std::result::Result<Taken, Option<&'static str>>> {
        match self.scan(from, end, block, up_to)? {
            Ok(taken) if !taken.place.is_plain() => Ok(Ok(taken)),
            // A line that is still being written, or its seal.
            _ => {
                block.clear();
                Ok(Err(None))
            }
        }
    }

    /// Makes what was taken the newest that was read, as far as it is durable.
    fn settle(&mut self, from: Place, mut taken: Taken, block: &mut Block, durable: &Durable) -> Result<()> {
        if !self.is_durable(&taken, durable)? {
            let (place, records) = taken.last;
            if records > 0 && !place.is_plain() {
                // It is the last one that is there: it waits for the next look, and perhaps for one that follows it.
                block.truncate(records as usize);
                taken = Taken { place, records, large: None, ..taken };
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
        self.place = taken.place;
        Ok(())
    }

    /// Whether all that was taken is known to be durable.
    fn is_durable(&self, taken: &Taken, durable: &Durable) -> Result<bool> {
        if durable.is_bounded() || self.complete || taken.followed {
            return Ok(true);
        }
        let behind = taken.place.look_behind(&*self.file).map_err(|error| self.read_error(error))?;
        Ok(!taken.place.is_plain() && matches!(behind, Behind::Group(_) | Behind::Mark(_)))
    }

    /// Nobody says that it is durable: it is made so. `false` where it is not all there yet, or not any more.
    fn make_durable(&self, from: Place, taken: &Taken, durable: &Durable) -> Result<bool> {
        if !is_settled(&*self.file, &taken.place).map_err(|error| self.read_error(error))? {
            return Ok(false);
        }
        durable.make(&*self.file, &self.path, !self.synced)?;
        if self.synced {
            return Ok(true);
        }
        // A writer may have failed to sync this before the file was opened here. Then only the page cache has it, and
        // nobody is told any more.
        self.file.forget_cached(from.data_end(), taken.place.data_end() - from.data_end());
        self.is_there(from, taken).map_err(|error| self.read_error(error))
    }

    /// Whether what was taken is found once more.
    fn is_there(&self, from: Place, taken: &Taken) -> io::Result<bool> {
        let window = Window { source: Arc::clone(&self.file), end: taken.place.offset() };
        let mut scanner = Scanner::resume(window, from, Collect::Nothing);
        let mut nothing = Block::default();
        let mut records = 0;
        while records < taken.records {
            match scanner.next(&mut nothing)? {
                Step::Group(group) => records += group.records,
                Step::End(_) => return Ok(false),
            }
        }
        let again = scanner.place();
        Ok((again.data_end(), again.last_seal()) == (taken.place.data_end(), taken.place.last_seal()))
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
            offset: self.place.data_end(),
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
fn is_settled(file: &dyn DiskFile, place: &Place) -> io::Result<bool> {
    let len = file.len()?;
    Ok(match place.look_behind(file)? {
        Behind::Lf(_) | Behind::Group(_) | Behind::Mark(_) => true,
        Behind::Nothing => len >= place.data_end() && len.is_multiple_of(PADDING_STEP_BYTES),
        Behind::Foreign | Behind::Lost => false,
    })
}

/// Behind so many lines.
fn behind_lines(file: &Arc<dyn DiskFile>, offset: u64, lines: u64) -> io::Result<u64> {
    let mut reader = LineReader::new(Arc::clone(file), offset);
    for _ in 0..lines {
        if reader.next()?.is_none() {
            break;
        }
    }
    Ok(reader.position())
}
