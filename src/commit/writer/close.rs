//! Closing the journal, and the end of the writer thread.

use super::Writer;
use crate::{
    MiniStoreError, Result,
    commit::queue::ReplySender,
    io::CommitError,
    journal::{ownership::remove_own, reply::reply},
};

impl Writer {
    /// Closes the journal, fails all calls that still wait, and replies to the caller that closes it.
    pub(super) fn shut_down(mut self, closing: Option<ReplySender>) {
        // The caller that closes the journal may open it again at once, even though other handles still exist.
        self.lock.releasing().mark_releasing();
        let closed = self.close_journal();
        if let Err(error) = &closed {
            tracing::error!(journal = %self.inner.status.path.display(), %error, "close failed");
        }
        self.inner.close();
        self.background.cancel_deferred();
        let closed_error = || self.inner.status.closed_error();
        self.retention_requests.drain(..).for_each(|request| request.fail(closed_error()));
        // Dropping a group rejects its appends.
        drop(self.next_group.take());
        self.mailbox.close();
        for reply_tx in self.rotate_callers.drain(..) {
            reply(reply_tx, Err(closed_error()));
        }
        if closed.is_ok() {
            tracing::info!(journal = %self.inner.status.path.display(), next_seq = self.next_seq, "closed");
        }
        // The lock is released before the reply, so that the caller can open the journal again at once.
        drop(self);
        if let Some(reply_tx) = closing {
            reply(reply_tx, closed);
        }
    }

    fn close_journal(&mut self) -> Result<()> {
        self.background.begin_closing();
        self.finish_rotation_before_closing();
        if let Err(CommitError::Failed(error)) = self.publish_header() {
            self.inner.poison(error);
        }
        self.run_retention();
        self.drain_background();
        let unnamed = self.segment.file.path != self.names.active();
        if let Some(close) = self.rotation.take_unclosed() {
            self.background.submit(close);
        }
        self.drain_background();
        self.background.finish();
        if let Some(poisoned) = self.inner.status.poisoned() {
            return Err(poisoned);
        }
        self.rotation.remove_next_segment(&*self.fs, &self.names)?;
        // A closed active segment means that every rotated one is closed. The next open completes this.
        self.rotation.check_previous_closed(&self.names)?;
        if self.segment.is_unwritten() || unnamed {
            // Its header could not be written, or it could not get its name: it contains no record, and the next open
            // creates it again.
            let path = self.segment.file.path.clone();
            let removed = remove_own(&*self.fs, &path, &*self.segment.file.handle);
            return removed.map_err(MiniStoreError::file(path, "remove"));
        }
        let checked = self.segment.file.check_not_replaced(&*self.fs).map_err(CommitError::into_io);
        let closed = checked.and_then(|()| self.segment.close());
        closed.map_err(MiniStoreError::file(&self.inner.status.path, "close"))
    }
}
