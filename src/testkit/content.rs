//! The bytes of one file: what processes see of it, what the disk holds, and everything in between that a power cut may
//! or may not have made durable. Knows nothing of names.

use super::rng::Rng;

/// What a disk writes whole or not at all.
const SECTOR_BYTES: usize = 512;

/// What the page cache keeps, and writes back.
const PAGE_BYTES: usize = 4096;

/// One file.
#[derive(Debug, Default, Clone)]
pub(super) struct Content {
    /// As every process sees it: the page cache.
    cached: Vec<u8>,
    /// As of the last sync.
    durable: Vec<u8>,
    /// What was done since, in order.
    pending: Vec<Change>,
    /// Where a failed sync dropped dirty pages: the cache shows what the disk never got, and may forget it.
    dropped: Vec<(usize, usize)>,
}

#[derive(Debug, Clone)]
enum Change {
    Write {
        offset: usize,
        bytes: Vec<u8>,
        /// It was durable when it returned.
        durable: bool,
    },
    SetLen(usize),
}

/// How a power cut treats what was pending: the chance, in percent, that one version of one sector reached the disk,
/// and that a change of the size did. The extremes are what finds most.
const CHANCES: [u64; 7] = [0, 0, 10, 50, 90, 100, 100];

impl Content {
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

    /// A write into the page cache.
    pub(super) fn write(&mut self, offset: usize, bytes: &[u8]) {
        put(&mut self.cached, offset, bytes);
        let (from, to) = self.widened(offset, offset + bytes.len());
        let bytes = self.cached[from..to].to_vec();
        self.no_longer_dropped(from, to);
        self.pending.push(Change::Write { offset: from, bytes, durable: false });
    }

    /// A write past the page cache, durable when it returns, and so is the size it needs.
    pub(super) fn write_through(&mut self, offset: usize, bytes: &[u8]) {
        let end = offset + bytes.len();
        put(&mut self.cached, offset, bytes);
        self.no_longer_dropped(offset, end);
        self.pending.push(Change::Write { offset, bytes: bytes.to_vec(), durable: true });
        if self.smallest_len() < end {
            self.settle_len();
        } else if self.pending.len() == 1 {
            self.pending.clear();
            put(&mut self.durable, offset, bytes);
        }
    }

    pub(super) fn set_len(&mut self, len: usize) {
        if len != self.cached.len() {
            self.cached.resize(len, 0);
            self.pending.push(Change::SetLen(len));
        }
    }

    /// Everything is durable.
    pub(super) fn sync(&mut self) {
        for change in std::mem::take(&mut self.pending) {
            match change {
                Change::Write { offset, bytes, .. } => put(&mut self.durable, offset, &bytes),
                Change::SetLen(len) => self.durable.resize(len, 0),
            }
        }
    }

    /// Whether a power cut could take anything away.
    #[cfg(any(test, feature = "_sim"))]
    pub(super) fn is_dirty(&self) -> bool {
        !self.pending.is_empty()
    }

    /// A sync that failed, as Linux does it: some of the dirty pages reached the disk, all of them count as clean
    /// from now on, and the next sync has nothing to do and succeeds. Sizes are metadata: they stay to be made durable.
    pub(super) fn fail_sync(&mut self, rng: &mut Rng) {
        let len = self.cached.len();
        let mut sizes = Vec::new();
        for change in &self.pending {
            match change {
                Change::Write { offset, bytes, durable } => {
                    let end = offset + bytes.len();
                    sizes.push(Change::SetLen(end.max(sizes_end(&sizes, self.durable.len()))));
                    if !durable && *offset < len {
                        self.dropped.push((*offset, end.min(len)));
                    }
                }
                Change::SetLen(to) => sizes.push(Change::SetLen(*to)),
            }
        }
        let sizes_kept = if rng.chance(50) { self.pending.len() } else { 0 };
        self.durable = self.after_power_cut(sizes_kept, rng);
        self.pending = if sizes_kept == 0 { sizes } else { Vec::new() };
    }

    /// The cache forgets what a failed sync dropped, and shows what the disk holds.
    pub(super) fn forget_dropped(&mut self) {
        for (from, to) in std::mem::take(&mut self.dropped) {
            let to = to.min(self.cached.len());
            if from < to {
                let held = self.durable.get(from..).unwrap_or_default();
                let count = held.len().min(to - from);
                self.cached[from..from + count].copy_from_slice(&held[..count]);
                self.cached[from + count..to].fill(0);
            }
        }
    }

    pub(super) fn has_dropped(&self) -> bool {
        !self.dropped.is_empty()
    }

    /// The power is cut: what the disk holds is one of the states that can be.
    pub(super) fn cut_power(&mut self, rng: &mut Rng) {
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

    /// Changes what the disk holds, behind everybody's back.
    pub(super) fn damage(&mut self, offset: usize, bytes: &[u8]) {
        put(&mut self.durable, offset, bytes);
        put(&mut self.cached, offset, bytes);
    }

    /// Every sector is, by itself, the durable one or any version of it since; the size is what some of the first
    /// changes of it left. What was cut never comes back unless the cut itself was lost, and what was never written
    /// reads as zeros.
    fn after_power_cut(&self, sizes_kept: usize, rng: &mut Rng) -> Vec<u8> {
        let sector_chance = rng.pick(&CHANCES);
        let (mut seen, mut held) = (self.durable.clone(), self.durable.clone());
        let mut len = self.durable.len();
        for (at, change) in self.pending.iter().enumerate() {
            match change {
                Change::Write { offset, bytes, durable } => {
                    put(&mut seen, *offset, bytes);
                    let chance = if *durable { 100 } else { sector_chance };
                    keep_some(&mut held, &seen, *offset, offset + bytes.len(), chance, rng);
                }
                Change::SetLen(to) => {
                    let shrinks = *to < seen.len();
                    seen.resize(*to, 0);
                    if at < sizes_kept {
                        held.truncate(*to);
                    } else if shrinks {
                        // The rest of its last sector is zeros in the cache, and may be on the disk.
                        keep_some(&mut held, &seen, *to, to + 1, sector_chance, rng);
                    }
                }
            }
            if at < sizes_kept {
                len = seen.len();
            }
        }
        held.resize(len, 0);
        held
    }

    /// How many of the pending changes have taken effect on the size.
    fn choose_sizes(&self, rng: &mut Rng) -> usize {
        let all = self.pending.len();
        match rng.below(4) {
            0 => 0,
            1 => all,
            _ => rng.below(all as u64 + 1) as usize,
        }
    }

    /// The smallest size that a power cut can leave.
    fn smallest_len(&self) -> usize {
        let mut len = self.durable.len();
        let mut smallest = len;
        for change in &self.pending {
            match change {
                Change::Write { offset, bytes, .. } => len = len.max(offset + bytes.len()),
                Change::SetLen(to) => len = *to,
            }
            smallest = smallest.min(len);
        }
        smallest
    }

    /// All changes of the size so far are durable; data that is pending stays so.
    fn settle_len(&mut self) {
        let mut data = Vec::new();
        for change in std::mem::take(&mut self.pending) {
            match change {
                Change::Write { offset, bytes, durable: true } => {
                    put(&mut self.durable, offset, &bytes);
                    // What was pending below it is superseded by it.
                    data.push(Change::Write { offset, bytes, durable: true });
                }
                Change::Write { offset, bytes, durable } => {
                    let end = offset + bytes.len();
                    self.durable.resize(self.durable.len().max(end), 0);
                    data.push(Change::Write { offset, bytes, durable });
                }
                Change::SetLen(len) => {
                    self.durable.resize(len, 0);
                    data.iter_mut().for_each(|write| cut_write(write, len));
                }
            }
        }
        data.retain(|write| !matches!(write, Change::Write { bytes, .. } if bytes.is_empty()));
        let only_durable = data.iter().all(|write| matches!(write, Change::Write { durable: true, .. }));
        if !only_durable {
            self.pending = data;
        }
    }

    /// Once a page is dirty again all of it will be written, with what a failed sync dropped around these bytes.
    fn widened(&self, from: usize, to: usize) -> (usize, usize) {
        if self.dropped.is_empty() {
            return (from, to);
        }
        (from / PAGE_BYTES * PAGE_BYTES, to.next_multiple_of(PAGE_BYTES).min(self.cached.len()))
    }

    fn no_longer_dropped(&mut self, from: usize, to: usize) {
        if !self.dropped.is_empty() {
            let rest = |&(start, end): &(usize, usize)| [(start, end.min(from)), (start.max(to), end)];
            self.dropped = self.dropped.iter().flat_map(rest).filter(|(start, end)| start < end).collect();
        }
    }
}

/// The size after these changes of it.
fn sizes_end(sizes: &[Change], before: usize) -> usize {
    match sizes.last() {
        Some(Change::SetLen(len)) => *len,
        _ => before,
    }
}

/// What a cut to `len` leaves of a write.
fn cut_write(write: &mut Change, len: usize) {
    if let Change::Write { offset, bytes, .. } = write {
        bytes.truncate(len.saturating_sub(*offset));
    }
}

/// Puts bytes into a file that may have to grow; a gap is zeros.
fn put(file: &mut Vec<u8>, offset: usize, bytes: &[u8]) {
    let end = offset + bytes.len();
    if file.len() < end {
        file.resize(end, 0);
    }
    file[offset..end].copy_from_slice(bytes);
}

/// Copies sectors from `from` to `to`, each with this chance in percent, as they are `seen`.
fn keep_some(held: &mut Vec<u8>, seen: &[u8], from: usize, to: usize, chance: u64, rng: &mut Rng) {
    let first = from / SECTOR_BYTES * SECTOR_BYTES;
    for at in (first..to).step_by(SECTOR_BYTES) {
        if chance == 100 || (chance > 0 && rng.chance(chance)) {
            let end = (at + SECTOR_BYTES).min(seen.len());
            if at < end {
                put(held, at, &seen[at..end]);
                // The rest of the file's last sector is zeros.
                let sector_end = (at + SECTOR_BYTES).min(held.len());
                held[end..sector_end].fill(0);
            }
        }
    }
}
