//! The retention requests of callers. One job serves many requests with one write.

use crate::{MiniStoreError, Result, journal::reply::reply, sync::oneshot};

#[derive(Debug)]
pub(crate) enum RetentionRequest {
    /// Deletes the segments that only have records before `before`. The reply is the first sequence number that is
    /// left.
    Trim { before: u64, reply_tx: oneshot::Sender<Result<u64>> },
    /// Keeps all records from `seq` on.
    Hold { name: String, seq: u64, reply_tx: oneshot::Sender<Result<()>> },
    /// Releases a hold. The reply is whether there was such a hold.
    ReleaseHold { name: String, reply_tx: oneshot::Sender<Result<bool>> },
}

impl RetentionRequest {
    pub(crate) fn fail(self, error: MiniStoreError) {
        match self {
            Self::Trim { reply_tx, .. } => reply(reply_tx, Err(error)),
            Self::Hold { reply_tx, .. } => reply(reply_tx, Err(error)),
            Self::ReleaseHold { reply_tx, .. } => reply(reply_tx, Err(error)),
        }
    }
}
