//! Deletes the oldest rotated segment, if the policy says so and it provably belongs to this journal.

use std::{io, mem, path::Path};

use super::{
    RetentionManager,
    error::{RetentionError, into_io, retryable},
};
use crate::{
    MiniStoreError,
    background::{
        job::Remaining,
        listing::Listing,
        policy::{DeleteReason, JournalSize, OldestSegment, RetentionLimits, RetentionPolicy},
    },
    journal::{
        chain::ChainRelation,
        ownership::{check_deletion, has_own_lock},
    },
};

impl RetentionManager {
    /// Deletes the oldest rotated segment, if its number is at most `newest` and the policy says so.
    pub(super) fn delete_oldest_expired(
        &self,
        newest: u64,
        limits: RetentionLimits,
    ) -> Result<Remaining, RetentionError> {
        let policy = self.policy(limits);
        if limits.keep_everything() && policy.trimmed_before == 0 {
            return Ok(Remaining::None);
        }
        let known = self.with_state(|state| state.listing.take());
        let mut listing = known.map_or_else(|| self.list(), Ok)?;
        // An error drops the listing, and the next attempt lists again.
        let remaining = self.delete_oldest(&mut listing, newest, &policy)?;
        self.with_state(|state| state.listing = Some(listing));
        Ok(remaining)
    }

    fn delete_oldest(
        &self,
        listing: &mut Listing,
        newest: u64,
        policy: &RetentionPolicy,
    ) -> Result<Remaining, RetentionError> {
        for deleted in [false, true] {
            let Some(path) =
                listing.get(0).filter(|oldest| oldest.number <= newest).map(|oldest| oldest.path.clone())
            else {
                break;
            };
            let bytes = if policy.limits.limits_bytes() { self.measure(listing)? } else { 0 };
            let size = JournalSize { segments: listing.len() + 1, bytes };
            let oldest = OldestSegment {
                first: self.status.retention.first_seq(),
                end: self.end_of_oldest(listing)?,
                age: if policy.limits.limits_age() { self.age_of_oldest(listing)? } else { None },
            };
            let Some(reason) = policy.delete_reason(size, &oldest) else { break };
            if oldest.end.is_none() && self.checksums && !self.is_seq_stored_after_oldest(listing)? {
                break;
            }
            if deleted {
                return Ok(Remaining::Some);
            }
            if let Some(refusal) = self.reason_to_keep(listing, &path)? {
                return Err(retryable(&path, "delete")(io::Error::other(refusal)));
            }
            self.delete(&path, &oldest, reason)?;
            listing.remove(0);
        }
        Ok(Remaining::None)
    }

    /// Returns why a file that has the name of the oldest segment must not be deleted.
    fn reason_to_keep(
        &self,
        listing: &mut Listing,
        path: &Path,
    ) -> Result<Option<&'static str>, RetentionError> {
        if has_own_lock(&*self.fs, path).map_err(retryable(path, "stat"))? {
            // The lock file was created after the directory was listed.
            return Ok(Some("its lock file makes it a journal of its own"));
        }
        let open_file = listing.get(0).and_then(|oldest| oldest.file.clone());
        let oldest = self.opened(listing, 0)?;
        let is_own = oldest.is_none() || listing.get(0).is_some_and(|oldest| oldest.is_own);
        let successor = match listing.get(1) {
            Some(_) => self.opened(listing, 1)?,
            None => self.open(&self.names.active())?,
        };
        // If another process deleted the segment, the open file still shows whether its successor is of this journal.
        let Some(known) = oldest.as_ref().or(open_file.as_ref()) else { return Ok(None) };
        let checked = check_deletion(&**known, successor.as_deref(), is_own);
        match checked.map_err(retryable(path, "read"))? {
            Err(reason) => return Ok(Some(reason).filter(|_| oldest.is_some())),
            Ok(ChainRelation::Continues) => {
                listing.get_mut(1).into_iter().for_each(|next| next.is_own = true);
            }
            Ok(_) => {}
        }
        Ok(None)
    }

    fn delete(
        &self,
        path: &Path,
        oldest: &OldestSegment,
        reason: DeleteReason,
    ) -> Result<(), RetentionError> {
        // Without a stored end, the number of records is only known by counting them.
        let counted = if oldest.end.is_none() { self.count_records(path)? } else { 0 };
        let end = oldest.end.unwrap_or(oldest.first + counted).max(oldest.first);
        match self.fs.remove(path) {
            // Another process deleted it.
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            removed => removed.map_err(retryable(path, "delete"))?,
        }
        let dir = self.names.dir();
        let synced = self.fs.sync_dir(dir).map_err(MiniStoreError::file(dir, "sync the directory"));
        synced.map_err(|error| RetentionError::Fatal(into_io(error)))?;
        let records = end - oldest.first;
        let status = &self.status;
        status.retention.set_first_seq(end);
        status.counters.count_trimmed(records);
        tracing::info!(segment = %path.display(), records, first_seq = end, %reason, "deleted a segment");
        if reason == DeleteReason::Count
            && self.with_state(|state| mem::take(&mut state.warn_on_first_delete))
        {
            tracing::warn!(
                journal = %status.path.display(),
                first_seq = end,
                "max_segments deleted untrimmed records; JournalOptions keeps all segments by default"
            );
        }
        Ok(())
    }
}
