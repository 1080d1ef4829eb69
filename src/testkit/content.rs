//! The bytes of one file: those in the page cache, those on the disk, and the changes that a power cut keeps or loses.
//! Does not know names.

use std::ops::Range;

use super::rng::Rng;

/// The unit that a disk writes whole or not at all.
const SECTOR_BYTES: usize = 512;

/// The unit of the page cache and of its write-back.
const PAGE_BYTES: usize = 4096;

/// The bytes of one file.
#[derive(Debug, Default, Clone)]
pub(super) struct FileContent {
    /// The page cache: the bytes that every process reads.
    cached: Vec<u8>,
    /// The bytes as of the last sync.
    durable: Vec<u8>,
    /// The changes since, in order.
    pending: Vec<ContentChange>,
    /// Ranges of which a failed sync dropped the dirty pages: the cache has bytes that the disk never got, and may
    /// forget them.
    dropped: Vec<(usize, usize)>,
}

#[derive(Debug, Clone)]
enum ContentChange {
    Write {
        offset: usize,
        bytes: Vec<u8>,
        /// The write was durable when it returned.
        durable: bool,
    },
    SetLen(usize),
}

/// The chance, in percent, that one version of one pending sector is on the disk after a power cut. The extremes find
/// the most bugs.
const CHANCES: [u64; 7] = [0, 0, 10, 50, 90, 100, 100];

impl FileContent {
    pub(super) fn len(&self) -> usize {
        self.cached.len()
    }

    pub(super) fn cached(&self) -> &[u8] {
        &self.cached
    }

    pub(super) fn read_at(&self, into: &mut [u8], offset: u64) -> usize {
        let rest = usize::try_from(offset).ok().and_then(|at| self.cached.get(at..)).unwrap_or_default();
        let count = rest.len().min(into.len());
        into[..count].copy_from_slice(&rest[..count]);
        count
    }

    /// Writes into the page cache.
    pub(super) fn write(&mut self, offset: usize, bytes: &[u8]) {
        write_into(&mut self.cached, offset, bytes);
        let (from, to) = self.widen_to_pages(offset, offset + bytes.len());
        let bytes = self.cached[from..to].to_vec();
        self.clear_dropped(from, to);
        self.pending.push(ContentChange::Write { offset: from, bytes, durable: false });
    }

    /// Writes without the page cache: the bytes, and the size that they need, are durable when it returns.
    pub(super) fn write_through(&mut self, offset: usize, bytes: &[u8]) {
        let end = offset + bytes.len();
        write_into(&mut self.cached, offset, bytes);
        self.clear_dropped(offset, end);
        self.pending.push(ContentChange::Write { offset, bytes: bytes.to_vec(), durable: true });
        if self.smallest_len() < end {
            self.make_len_durable();
        } else if self.pending.len() == 1 {
            self.pending.clear();
            write_into(&mut self.durable, offset, bytes);
        }
    }

    pub(super) fn set_len(&mut self, len: usize) {
        if len != self.cached.len() {
            self.cached.resize(len, 0);
            self.pending.push(ContentChange::SetLen(len));
        }
    }

    /// Makes everything durable.
    pub(super) fn sync(&mut self) {
        for change in std::mem::take(&mut self.pending) {
            match change {
                ContentChange::Write { offset, bytes, .. } => write_into(&mut self.durable, offset, &bytes),
                ContentChange::SetLen(len) => self.durable.resize(len, 0),
            }
        }
    }

    /// Returns whether a power cut could lose a change.
    pub(super) fn is_dirty(&self) -> bool {
        !self.pending.is_empty()
    }

    /// Fails a sync as Linux does: some of the dirty pages reached the disk, all of them are marked clean, and the next
    /// sync has nothing to write and succeeds. Changes of the size are metadata: they stay pending.
    pub(super) fn fail_sync(&mut self, rng: &mut Rng) {
        let len = self.cached.len();
        let mut sizes = Vec::new();
        for change in &self.pending {
            match change {
                ContentChange::Write { offset, bytes, durable } => {
                    let end = offset + bytes.len();
                    sizes.push(ContentChange::SetLen(end.max(sizes_end(&sizes, self.durable.len()))));
                    if !durable && *offset < len {
                        self.dropped.push((*offset, end.min(len)));
                    }
                }
                ContentChange::SetLen(to) => sizes.push(ContentChange::SetLen(*to)),
            }
        }
        let sizes_kept = if rng.chance(50) { self.pending.len() } else { 0 };
        self.durable = self.after_power_cut(sizes_kept, rng);
        self.pending = if sizes_kept == 0 { sizes } else { Vec::new() };
    }

    /// Reloads the pages that a failed sync dropped from the disk.
    pub(super) fn forget_dropped(&mut self) {
        for (from, to) in std::mem::take(&mut self.dropped) {
            let to = to.min(self.cached.len());
            if from < to {
                let on_disk = self.durable.get(from..).unwrap_or_default();
                let count = on_disk.len().min(to - from);
                self.cached[from..from + count].copy_from_slice(&on_disk[..count]);
                self.cached[from + count..to].fill(0);
            }
        }
    }

    pub(super) fn has_dropped(&self) -> bool {
        !self.dropped.is_empty()
    }

    /// Cuts the power: leaves one of the possible states on the disk.
    pub(super) fn power_cut(&mut self, rng: &mut Rng) {
        if self.pending.is_empty() {
            self.cached.clone_from(&self.durable);
            self.dropped.clear();
            return;
        }
        let sizes_kept = self.choose_sizes(rng);
        self.durable = self.after_power_cut(sizes_kept, rng);
        self.cached.clone_from(&self.durable);
        self.pending.clear();
        self.dropped.clear();
    }

    /// Changes the bytes on the disk, unnoticed by processes.
    pub(super) fn damage(&mut self, offset: usize, bytes: &[u8]) {
        write_into(&mut self.durable, offset, bytes);
        write_into(&mut self.cached, offset, bytes);
    }

    /// Returns a possible state of the disk after a power cut. Every sector, independently, is the durable one or any
    /// later version of it; the size is the one after a prefix of the changes. Truncated bytes never come back unless
    /// the truncation itself was lost, and bytes that were never written are zeros.
    fn after_power_cut(&self, sizes_kept: usize, rng: &mut Rng) -> Vec<u8> {
        let sector_chance = rng.pick(&CHANCES);
        let (mut cached, mut on_disk) = (self.durable.clone(), self.durable.clone());
        let mut len = self.durable.len();
        for (at, change) in self.pending.iter().enumerate() {
            match change {
                ContentChange::Write { offset, bytes, durable } => {
                    write_into(&mut cached, *offset, bytes);
                    let chance = if *durable { 100 } else { sector_chance };
                    persist_some_sectors(&mut on_disk, &cached, *offset..offset + bytes.len(), chance, rng);
                }
                ContentChange::SetLen(to) => {
                    let shrinks = *to < cached.len();
                    cached.resize(*to, 0);
                    if at < sizes_kept {
                        on_disk.truncate(*to);
                    } else if shrinks {
                        // The rest of its last sector is zeros in the cache, which may have reached the disk.
                        persist_some_sectors(&mut on_disk, &cached, *to..to + 1, sector_chance, rng);
                    }
                }
            }
            if at < sizes_kept {
                len = cached.len();
            }
        }
        on_disk.resize(len, 0);
        on_disk
    }

    /// Chooses how many of the pending changes have taken effect on the size.
    fn choose_sizes(&self, rng: &mut Rng) -> usize {
        let all = self.pending.len();
        match rng.below(4) {
            0 => 0,
            1 => all,
            _ => rng.below(all as u64 + 1) as usize,
        }
    }

    /// Returns the smallest size that a power cut can leave.
    fn smallest_len(&self) -> usize {
        let mut len = self.durable.len();
        let mut smallest = len;
        for change in &self.pending {
            match change {
                ContentChange::Write { offset, bytes, .. } => len = len.max(offset + bytes.len()),
                ContentChange::SetLen(to) => len = *to,
            }
            smallest = smallest.min(len);
        }
        smallest
    }

    /// Makes all changes of the size so far durable; pending data stays pending.
    fn make_len_durable(&mut self) {
        let mut data = Vec::new();
        for change in std::mem::take(&mut self.pending) {
            match change {
                ContentChange::Write { offset, bytes, durable: true } => {
                    write_into(&mut self.durable, offset, &bytes);
                    // It supersedes the pending bytes of its range.
                    data.push(ContentChange::Write { offset, bytes, durable: true });
                }
                ContentChange::Write { offset, bytes, durable } => {
                    let end = offset + bytes.len();
                    self.durable.resize(self.durable.len().max(end), 0);
                    data.push(ContentChange::Write { offset, bytes, durable });
                }
                ContentChange::SetLen(len) => {
                    self.durable.resize(len, 0);
                    data.iter_mut().for_each(|write| truncate_write(write, len));
                }
            }
        }
        data.retain(|write| !matches!(write, ContentChange::Write { bytes, .. } if bytes.is_empty()));
        let only_durable =
            data.iter().all(|write| matches!(write, ContentChange::Write { durable: true, .. }));
        if !only_durable {
            self.pending = data;
        }
    }

    /// Returns the range that becomes dirty with these bytes: whole pages, with the bytes around them that a failed
    /// sync dropped.
    fn widen_to_pages(&self, from: usize, to: usize) -> (usize, usize) {
        if self.dropped.is_empty() {
            return (from, to);
        }
        (from / PAGE_BYTES * PAGE_BYTES, to.next_multiple_of(PAGE_BYTES).min(self.cached.len()))
    }

    fn clear_dropped(&mut self, from: usize, to: usize) {
        if !self.dropped.is_empty() {
            let rest = |&(start, end): &(usize, usize)| [(start, end.min(from)), (start.max(to), end)];
            self.dropped = self.dropped.iter().flat_map(rest).filter(|(start, end)| start < end).collect();
        }
    }
}

/// Returns the size after these changes of it.
fn sizes_end(sizes: &[ContentChange], before: usize) -> usize {
    match sizes.last() {
        Some(ContentChange::SetLen(len)) => *len,
        _ => before,
    }
}

/// Removes the part of a write that a truncation to `len` removes.
fn truncate_write(write: &mut ContentChange, len: usize) {
    if let ContentChange::Write { offset, bytes, .. } = write {
        bytes.truncate(len.saturating_sub(*offset));
    }
}

/// Writes bytes into a file, which grows if necessary; a gap is zeros.
fn write_into(file: &mut Vec<u8>, offset: usize, bytes: &[u8]) {
    let end = offset + bytes.len();
    if file.len() < end {
        file.resize(end, 0);
    }
    file[offset..end].copy_from_slice(bytes);
}

/// Copies the sectors of a range from the cache to the disk, each with this chance in percent.
fn persist_some_sectors(
    on_disk: &mut Vec<u8>,
    cached: &[u8],
    range: Range<usize>,
    chance: u64,
    rng: &mut Rng,
) {
    let first = range.start / SECTOR_BYTES * SECTOR_BYTES;
    for at in (first..range.end).step_by(SECTOR_BYTES) {
        if chance == 100 || (chance > 0 && rng.chance(chance)) {
            let end = (at + SECTOR_BYTES).min(cached.len());
            if at < end {
                write_into(on_disk, at, &cached[at..end]);
                // The rest of the file's last sector is zeros.
                let sector_end = (at + SECTOR_BYTES).min(on_disk.len());
                on_disk[end..sector_end].fill(0);
            }
        }
    }
}
