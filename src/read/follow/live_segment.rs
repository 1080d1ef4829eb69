//! Reads one segment that may be written at the same time: its verified and durable records, from a position on.

mod accept;

use std::{io, path::Path, sync::Arc};

use super::{super::record::RecordPosition, durability::Durability};
use crate::{
    MiniStoreError, Result,
    format::SegmentHeader,
    format::scan::{
        Block, BoundedSource, LineReader, ProbeResult, ScanItem, ScanMode, ScanPosition, Scanner,
        last_newline_before,
    },
    io::FileHandle,
    options::ReadLimits,
};

/// A segment, and the position up to which it was read.
#[derive(Debug)]
pub(super) struct LiveSegment {
    pub(super) path: Arc<Path>,
    pub(super) file: Arc<dyn FileHandle>,
    pub(super) header: SegmentHeader,
    /// The number in its file name, or the one that it will get at its rotation.
    pub(super) number: u64,
    /// The sequence number of its first record.
    pub(super) first_seq: u64,
    pub(super) next_seq: u64,
    next_record: u64,
    position: ScanPosition,
    limits: ReadLimits,
    /// The bytes that are read at the end of the segment, where new groups are expected: after them is padding.
    window_bytes: u64,
    /// The lines of a group that is too large for a block. It was verified; this reads it again.
    large: Option<LineReader<Arc<dyn FileHandle>>>,
    /// This follower has synced the file and its directory entry.
    synced: bool,
    /// Another segment follows, so this one is no longer written and is durable.
    pub(super) complete: bool,
}

/// Groups that were verified and whose lines are in the block, but that may not be durable yet.
#[derive(Debug, Clone, Copy)]
struct PendingGroups {
    /// The position after the last of them.
    position: ScanPosition,
    /// The number of records in them.
    records: u64,
    /// The position before the last of them, and the number of records before it.
    before_last: (ScanPosition, u64),
    /// The start and end offsets of the only one, if it is too large for a block.
    large: Option<(u64, u64)>,
    /// Whether another group follows them.
    followed: bool,
}

impl LiveSegment {
    pub(super) fn new(
        path: Arc<Path>,
        file: Arc<dyn FileHandle>,
        (header, position): (SegmentHeader, ScanPosition),
        number: u64,
        first_seq: u64,
    ) -> Self {
        let limits = file.read_limits();
        Self {
            path,
            file,
            header,
            number,
            first_seq,
            next_seq: first_seq,
            next_record: 2,
            position,
            window_bytes: limits.follow_bytes_min,
            limits,
            large: None,
            synced: false,
            complete: false,
        }
    }

    /// Returns the last seal that was read.
    pub(super) fn last_seal(&self) -> Result<Option<u32>> {
        self.position.last_seal_now(&*self.file).map_err(|error| self.read_error(error))
    }

    pub(super) fn has_records(&self) -> bool {
        self.next_seq > self.first_seq
    }

    /// Appends the next durable records to `block`; `None` where there are none yet.
    pub(super) fn fill(
        &mut self,
        block: &mut Block,
        durability: &Durability,
    ) -> Result<Option<RecordPosition>> {
        let (seq, line) = (self.next_seq, self.next_record);
        self.fill_large(block).map_err(|error| self.read_error(error))?;
        // A large group may have ended exactly with the previous block. Returning `None` would make the follower wait
        // although more groups may be there.
        if block.len() == 0 && self.large.is_none() {
            self.fill_groups(block, durability)?;
            self.fill_large(block).map_err(|error| self.read_error(error))?;
        }
        let filled = block.len() as u64;
        (self.next_seq, self.next_record) = (seq + filled, line + filled);
        Ok((filled > 0).then(|| RecordPosition { segment: Arc::clone(&self.path), seq, line }))
    }

    /// Appends whole groups to `block`, or sets `large` to a large one.
    fn fill_groups(&mut self, block: &mut Block, durability: &Durability) -> Result<()> {
        if self.next_seq > durability.up_to() {
            return Ok(());
        }
        let failed = |error| self.read_error(error);
        let from = match self.position.probe_next(&*self.file).map_err(failed)? {
            ProbeResult::Empty | ProbeResult::CloseMarker(_) => return Ok(()),
            ProbeResult::Newline(from) | ProbeResult::Group(from) => from,
            ProbeResult::Unexpected => {
                return Err(self.damage("the byte after a commit group is not what was written"));
            }
            ProbeResult::Lost => return Err(self.damage("it was changed before what was read of it")),
        };
        let Some(pending) = self.read_groups(from, block, durability)? else { return Ok(()) };
        self.accept(from, pending, block, durability)
    }

    /// Verifies the next groups and appends their lines to `block`.
    fn read_groups(
        &mut self,
        from: ScanPosition,
        block: &mut Block,
        durability: &Durability,
    ) -> Result<Option<PendingGroups>> {
        loop {
            let failed = |error| self.read_error(error);
            let len = self.file.len().map_err(failed)?;
            let window_end = from.offset().saturating_add(self.window_bytes);
            let mut end = window_end.min(len);
            if from.is_plain() && !self.complete {
                end = last_newline_before(&self.file, from.offset(), end)
                    .map_err(failed)?
                    .unwrap_or(from.offset());
            }
            let mut scanned = self.scan(from, end, block, durability.up_to()).map_err(failed)?;
            if from.is_plain() && !self.complete && matches!(scanned, Err(None)) {
                scanned = self
                    .scan_last_plain(from, window_end.min(len), block, durability.up_to())
                    .map_err(failed)?;
            }
            match scanned {
                Ok(pending) => {
                    self.adapt_window(pending.position.data_end() - from.offset());
                    return Ok(Some(pending));
                }
                Err(_) if window_end < len => self.window_bytes = self.window_bytes.saturating_mul(16),
                Err(Some(damage)) => return Err(self.damage(damage)),
                Err(None) => {
                    self.window_bytes = self.limits.follow_bytes_min;
                    return Ok(None);
                }
            }
        }
    }

    /// Scans the file once, up to `end`. The inner error means that there is no whole group, with the reason if the
    /// file is damaged.
    fn scan(
        &self,
        from: ScanPosition,
        end: u64,
        block: &mut Block,
        up_to: u64,
    ) -> io::Result<std::result::Result<PendingGroups, Option<&'static str>>> {
        let mut window = BoundedSource { source: Arc::clone(&self.file), end };
        let mut scanner = Scanner::resume(window.clone(), from, ScanMode::Read);
        let mut pending = PendingGroups {
            position: from,
            records: 0,
            before_last: (from, 0),
            large: None,
            followed: false,
        };
        loop {
            let before = (scanner.position(), pending.records);
            if block.byte_len() >= self.limits.block_bytes
                || self.next_seq.saturating_add(pending.records) > up_to
            {
                return Ok(Ok(pending));
            }
            let group = match scanner.next(block)? {
                ScanItem::Group(group) => group,
                ScanItem::End(_) if pending.records > 0 => return Ok(Ok(pending)),
                ScanItem::End(end) => {
                    return Ok(Err(end.tail.filter(|tail| tail.is_corrupt).map(|tail| tail.reason)));
                }
            };
            if group.seal.is_none() && self.next_seq + pending.records + group.records - 1 > up_to {
                // All lines without a seal are one group for the scanner, durable or not: scan again, up to the last
                // durable one.
                window.end = offset_after_lines(&self.file, from.offset(), up_to + 1 - self.next_seq)?;
                block.clear();
                scanner = Scanner::resume(window.clone(), from, ScanMode::Read);
                pending = PendingGroups {
                    position: from,
                    records: 0,
                    before_last: (from, 0),
                    large: None,
                    followed: false,
                };
                continue;
            }
            if group.is_too_large && pending.records > 0 {
                return Ok(Ok(PendingGroups { followed: true, ..pending }));
            }
            pending.position = scanner.position();
            pending.records += group.records;
            pending.before_last = before;
            if group.is_too_large {
                return Ok(Ok(PendingGroups { large: Some((group.offset, group.end)), ..pending }));
            }
        }
    }

    /// Scans the last line of a plain segment that was opened for writing: a seal follows it, and padding instead of
    /// the LF.
    fn scan_last_plain(
        &self,
        from: ScanPosition,
        end: u64,
        block: &mut Block,
        up_to: u64,
    ) -> io::Result<std::result::Result<PendingGroups, Option<&'static str>>> {
        match self.scan(from, end, block, up_to)? {
            Ok(pending) if !pending.position.is_plain() => Ok(Ok(pending)),
            // The writer is still writing the line or its seal.
            _ => {
                block.clear();
                Ok(Err(None))
            }
        }
    }

    /// Appends more lines of a large group to `block`.
    fn fill_large(&mut self, block: &mut Block) -> io::Result<()> {
        while let Some(lines) = &mut self.large
            && block.byte_len() < self.limits.block_bytes
        {
            if !lines.push_some(block)? {
                self.large = None;
            }
        }
        Ok(())
    }

    /// Reads much at once while there is a backlog, and little where groups arrive one by one.
    fn adapt_window(&mut self, read_bytes: u64) {
        let has_backlog = read_bytes >= self.window_bytes.min(self.limits.block_bytes as u64) / 2;
        self.window_bytes =
            if has_backlog { self.limits.follow_bytes_max } else { self.limits.follow_bytes_min };
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

/// Returns the offset after the given number of lines.
fn offset_after_lines(file: &Arc<dyn FileHandle>, offset: u64, lines: u64) -> io::Result<u64> {
    let mut reader = LineReader::new(Arc::clone(file), offset);
    for _ in 0..lines {
        if reader.next()?.is_none() {
            break;
        }
    }
    Ok(reader.position())
}
