//! Reads from the segments what the policy needs: sequence numbers, sizes, ages.

use std::{
    io, mem,
    path::Path,
    sync::Arc,
    time::{Duration, SystemTime},
};

use super::{
    RetentionManager,
    error::{RetentionError, retryable},
};
use crate::{
    background::{
        listing::{FirstSeq, Listing},
        policy::{age_of_oldest, plausible_age},
    },
    format::scan::read_header,
    io::{FileHandle, OpenMode, is_at},
    journal::segment_summary::scan_to_end,
};

/// The most rotated segments whose time stamps one decision reads: more than one only if a stamp is implausible.
const STAMPS_MAX: usize = 16;

impl RetentionManager {
    pub(super) fn list(&self) -> Result<Listing, RetentionError> {
        let listed = self.fs.list(self.names.dir());
        let listed = listed.map_err(retryable(self.names.dir(), "list the directory"))?;
        Ok(Listing::new(self.names.rotated_in(&listed)))
    }

    /// Returns the file that has the name of a listed segment now. It stays open, because the next deletion needs it
    /// again.
    pub(super) fn opened(
        &self,
        listing: &mut Listing,
        index: usize,
    ) -> Result<Option<Arc<dyn FileHandle>>, RetentionError> {
        let Some(segment) = listing.get_mut(index) else { return Ok(None) };
        if let Some(file) = &segment.file
            && is_at(&*self.fs, &segment.path, &**file).map_err(retryable(&segment.path, "stat"))?
        {
            return Ok(segment.file.clone());
        }
        segment.is_own = false;
        segment.file = self.open(&segment.path)?;
        Ok(segment.file.clone())
    }

    /// Opens a file for reading. Returns `None` if it does not exist.
    pub(super) fn open(&self, path: &Path) -> Result<Option<Arc<dyn FileHandle>>, RetentionError> {
        self.fs.open_if_exists(path).map_err(retryable(path, "read"))
    }

    /// Returns the first sequence number after the oldest segment, if the header of the next one stores it.
    pub(super) fn end_of_oldest(&self, listing: &mut Listing) -> Result<Option<u64>, RetentionError> {
        while listing.len() > 1 {
            if let Some(first) = self.first_of(listing, 1)? {
                return Ok(first);
            }
            // Another process deleted it.
            listing.remove(1);
        }
        Ok(self.first_in(&self.names.active())?.flatten())
    }

    /// Returns whether a segment after the oldest stores the sequence number of its first record. If none does, all are
    /// counted from the oldest one: after its deletion the next records would get its numbers.
    pub(super) fn is_seq_stored_after_oldest(&self, listing: &mut Listing) -> Result<bool, RetentionError> {
        if self.first_in(&self.names.active())?.flatten().is_some() {
            return Ok(true);
        }
        // Newest first: a newer segment is more likely to store it.
        for index in (1..listing.len()).rev() {
            if self.first_of(listing, index)?.flatten().is_some() {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Returns the same as [`first_in`](Self::first_in), of a listed segment. Reads its header only once.
    fn first_of(&self, listing: &mut Listing, index: usize) -> Result<Option<Option<u64>>, RetentionError> {
        let Some(segment) = listing.get_mut(index) else { return Ok(None) };
        if let FirstSeq::Read(first) = segment.first {
            return Ok(Some(first));
        }
        let Some(file) = self.open(&segment.path)? else { return Ok(None) };
        let first = first_stored(&segment.path, &file)?;
        segment.first = FirstSeq::Read(first);
        if index <= 1 {
            segment.file = Some(file);
        }
        Ok(Some(first))
    }

    /// Returns the first sequence number of a segment, if its header stores it, or `None` if the segment does not
    /// exist.
    ///
    /// A file that cannot be read is an error, not a header without a number: the records of the segment before it
    /// would be counted, or assumed to be none.
    fn first_in(&self, path: &Path) -> Result<Option<Option<u64>>, RetentionError> {
        let Some(file) = self.open(path)? else { return Ok(None) };
        first_stored(path, &file).map(Some)
    }

    pub(super) fn count_records(&self, path: &Path) -> Result<u64, RetentionError> {
        let scanned = match self.fs.open(path, OpenMode::ReadOnly).and_then(|file| scan_to_end(&file)) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(0),
            scanned => scanned.map_err(retryable(path, "read"))?,
        };
        Ok(scanned.map_or(0, |scanned| scanned.records))
    }

    /// Returns the time since the newest record of the oldest segment was written, or `None` if no plausible time stamp shows it.
    pub(super) fn age_of_oldest(&self, listing: &Listing) -> Result<Option<Duration>, RetentionError> {
        let now = self.fs.now();
        let segments = (0..STAMPS_MAX).filter_map(|index| Some(listing.get(index)?.path.clone()));
        let stamps = segments.chain([self.names.active()]).map(|path| {
            let modified = match self.fs.open(&path, OpenMode::ReadOnly) {
                Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
                opened => opened.and_then(|file| file.modified()),
            };
            let modified = modified.map_err(retryable(&path, "stat"))?;
            if let Some(stamp) = modified.filter(|stamp| plausible_age(*stamp, now).is_none()) {
                self.warn_of_stamp(&path, stamp);
            }
            Ok(modified)
        });
        age_of_oldest(stamps, now)
    }

    /// Logs an implausible time stamp, once.
    fn warn_of_stamp(&self, path: &Path, stamp: SystemTime) {
        if self.with_state(|state| mem::replace(&mut state.has_warned_of_stamp, true)) {
            return;
        }
        let unix_time = match stamp.duration_since(SystemTime::UNIX_EPOCH) {
            Ok(since) => i128::from(since.as_secs()),
            Err(before) => -i128::from(before.duration().as_secs()),
        };
        tracing::warn!(
            segment = %path.display(),
            unix_time,
            "implausible time stamp of a segment; max_age uses that of a later one"
        );
    }

    /// Returns the bytes of all segments. Only the sizes of the newest rotated segment and the active one are read each
    /// time.
    pub(super) fn measure(&self, listing: &mut Listing) -> Result<u64, RetentionError> {
        let len = |path: &Path| match self.fs.open(path, OpenMode::ReadOnly).and_then(|file| file.len()) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(0),
            len => len.map_err(retryable(path, "stat")),
        };
        let mut sizes = Vec::new();
        for (number, path) in listing.unmeasured() {
            sizes.push((number, len(path)?));
        }
        sizes.into_iter().for_each(|(number, size)| listing.set_size(number, size));
        let bytes = listing.bytes() + len(&self.names.active())?;
        listing.forget_newest_size();
        Ok(bytes)
    }
}

fn first_stored(path: &Path, file: &Arc<dyn FileHandle>) -> Result<Option<u64>, RetentionError> {
    let header = read_header(&**file).map_err(retryable(path, "read"))?;
    Ok(header.ok().and_then(|header| header.link()).map(|link| link.first_seq))
}
