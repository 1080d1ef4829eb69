//! Copies every commit group that verifies into a new journal.

use std::{
    collections::VecDeque,
    path::{Path, PathBuf},
    sync::Arc,
};

use rustix::io::Errno;
use serde::Serialize;
use serde_json::value::RawValue;

use super::{
    Corruption, SegmentState,
    numbering::{LostRecords, NumberedSegment, Piece, SalvagedRecords, number},
};
use crate::{
    Append, JournalOptions, JsonBatch, MiniStore, MiniStoreError, PendingAppend, Result,
    format::HeaderError,
    format::scan::{Block, LineReader, ResyncScanner, ScanItem, ScanMode, Scanner, SegmentEnd},
    io::{FileHandle, FileSystem, OpenMode, os_file_system},
    journal::file_names::FileNames,
    journal::segment_set::SegmentSet,
    options::LINE_BYTES_LIMIT,
};

/// The most appends in flight.
const MAX_PENDING: usize = 1024;

/// The lines of a plain segment, which belong to no group, are copied in batches of this many bytes.
const PLAIN_BATCH_BYTES: usize = 1 << 20;

/// The records that [`salvage`] copied, and what it left out.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct SalvageReport {
    /// Records copied. They are numbered again, from 1.
    pub records: u64,
    /// Commit groups copied, each whole.
    pub groups: u64,
    /// The old and the new numbers of the records that were copied.
    pub map: Vec<SalvagedRecords>,
    /// The records that are lost.
    pub lost: Vec<LostRecords>,
    /// The corruption that was not copied.
    pub faults: Vec<Corruption>,
}

/// Copies every commit group that verifies, in order, from the journal at `from` into a new one at `to`. The old
/// one is only read. A record that the journal contains twice, because a copy of a live journal was made file by file, is copied
/// once.
///
/// # Errors
///
/// [`Io`](MiniStoreError::Io), of kind `AlreadyExists` where there is a journal at `to`; as
/// [`JournalOptions::open`] and [`MiniStore::append`] for the new one.
pub fn salvage(from: impl AsRef<Path>, to: impl AsRef<Path>) -> Result<SalvageReport> {
    let found = super::verify(&from)?;
    let to = to.as_ref();
    let fs = os_file_system();
    let (old, new) = (FileNames::resolve(&*fs, from.as_ref())?, FileNames::resolve(&*fs, to)?);
    if old.is_journal_file(&new.active()) || new.is_journal_file(&old.active()) {
        let text =
            format!("{} and {} cannot be two journals", old.active().display(), new.active().display());
        return Err(MiniStoreError::InvalidArgument(text));
    }
    let existing = SegmentSet::take(&*fs, &new)?;
    if !existing.rotated.is_empty() || existing.active.is_some() {
        return Err(MiniStoreError::file(to, "create the new journal")(Errno::EXIST.into()));
    }
    let store = JournalOptions::new()
        .max_record_bytes(LINE_BYTES_LIMIT)
        .max_batch_bytes(LINE_BYTES_LIMIT)
        .open_blocking(to)?;
    let mut salvager = Salvager {
        fs: &*fs,
        store: &store,
        result: SalvageReport::default(),
        segments: Vec::new(),
        pending: VecDeque::new(),
    };
    salvager.result.faults = found.faults;
    salvager.result.faults.extend(found.torn_tail.clone());
    for segment in found.segments {
        if segment.state != SegmentState::OlderCopy {
            salvager.segment(segment.path, segment.first_seq)?;
        }
    }
    let result = salvager.finish(found.torn_tail.as_ref())?;
    store.blocking().close()?;
    Ok(result)
}

struct Salvager<'a> {
    fs: &'a dyn FileSystem,
    store: &'a MiniStore,
    result: SalvageReport,
    segments: Vec<NumberedSegment>,
    pending: VecDeque<PendingAppend>,
}

impl Salvager<'_> {
    /// Copies the groups of a segment that verify, also those after corruption.
    fn segment(&mut self, path: PathBuf, first: Option<u64>) -> Result<()> {
        let fail = || MiniStoreError::file(&path, "read");
        let file = self.fs.open(&path, OpenMode::ReadOnly).map_err(fail())?;
        let mut pieces = NumberedSegment { path: path.clone(), first, pieces: Vec::new() };
        let opened = Scanner::open(Arc::clone(&file), ScanMode::Read).map_err(fail())?;
        let damage = match opened {
            Ok(scanner) => {
                pieces.first = scanner.header().link().map(|link| link.first_seq).or(first);
                let end = self.copy_verified(scanner, &file, &mut pieces)?;
                let chain = end.chain;
                end.tail.filter(|tail| tail.is_corrupt).map(|tail| (tail.offset, tail.line, Some(chain)))
            }
            // With a corrupt header the first group cannot be checked, but every later one can.
            Err(HeaderError::Corrupt(_) | HeaderError::BadMagic) => Some((0, 1, None)),
        };
        if let Some((offset, line, chain)) = damage {
            let mut resync = ResyncScanner::new(file, offset, line, chain);
            let mut block = Block::default();
            while let Some(group) = resync.next(&mut block).map_err(fail())? {
                if group.verified {
                    self.copy(&block, true, &mut pieces)?;
                } else {
                    let values = (0..block.len()).filter_map(|index| block.span(index));
                    let lines = values.filter(|span| !block.value(span).is_empty()).count() as u64;
                    // The damaged header is no record.
                    let records = lines - u64::from(group.offset == 0).min(lines);
                    pieces.push(Piece { offset: group.offset, records, new_first: None });
                }
                block.clear();
            }
        }
        self.segments.push(pieces);
        Ok(())
    }

    /// Copies the groups up to the end, or up to the first that does not verify; returns the end.
    fn copy_verified(
        &mut self,
        mut scanner: Scanner<Arc<dyn FileHandle>>,
        file: &Arc<dyn FileHandle>,
        pieces: &mut NumberedSegment,
    ) -> Result<SegmentEnd> {
        let path = pieces.path.clone();
        let fail = || MiniStoreError::file(&path, "read");
        let mut block = Block::default();
        loop {
            let group = match scanner.next(&mut block).map_err(fail())? {
                ScanItem::Group(group) => group,
                ScanItem::End(end) => return Ok(end),
            };
            if group.is_too_large {
                let mut lines = LineReader::with_limit(Arc::clone(file), group.offset, group.end);
                while let Some(line) = lines.next().map_err(fail())? {
                    block.push(line.bytes.trim_ascii_end(), line.offset);
                    if group.seal.is_none() && block.byte_len() > PLAIN_BATCH_BYTES {
                        self.copy(&block, false, pieces)?;
                        block.clear();
                    }
                }
            }
            self.copy(&block, group.seal.is_some(), pieces)?;
            block.clear();
        }
    }

    /// Copies a block as one batch. Lines that are not JSON are skipped. Records are not checked as new ones are: whatever the old
    /// journal accepted is copied.
    fn copy(&mut self, block: &Block, is_group: bool, pieces: &mut NumberedSegment) -> Result<()> {
        let mut batch = JsonBatch::new();
        for span in (0..block.len()).filter_map(|index| block.span(index)) {
            // `IgnoredAny` would accept strings that are not UTF-8.
            let record = serde_json::from_slice::<&RawValue>(block.value(span)).ok();
            let new_first = record.map(|_| 1 + self.result.records + batch.records());
            pieces.push(Piece { offset: span.offset, records: 1, new_first });
            if let Some(record) = record {
                batch.push_value(record.get().as_bytes())?;
            }
        }
        if batch.is_empty() {
            return Ok(());
        }
        self.result.records += batch.records();
        self.result.groups += u64::from(is_group);
        self.pending.push_back(self.store.blocking().send(Append::json_batch(batch))?);
        while self.pending.len() > MAX_PENDING {
            self.wait_oldest()?;
        }
        Ok(())
    }

    fn wait_oldest(&mut self) -> Result<()> {
        self.pending.pop_front().map_or(Ok(()), |pending| pending.wait().map(drop))
    }

    fn finish(mut self, torn: Option<&Corruption>) -> Result<SalvageReport> {
        while !self.pending.is_empty() {
            self.wait_oldest()?;
        }
        // A torn tail was never acknowledged.
        if let (Some(torn), Some(last)) = (torn, self.segments.last_mut()) {
            last.pieces.retain(|piece| piece.new_first.is_some() || piece.offset < torn.offset);
        }
        (self.result.map, self.result.lost) = number(&self.segments);
        Ok(self.result)
    }
}
