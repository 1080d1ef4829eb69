//! The retention requests that one job serves together.

use crate::{
    MiniStoreError, Result,
    journal::{holds::Holds, reply::reply},
    sync::oneshot,
};

/// The reply channel of a caller that trims the journal.
pub(super) type TrimReply = oneshot::Sender<Result<u64>>;

/// The reply channel of a caller that adds, moves or releases a hold.
#[derive(Debug)]
pub(super) enum HoldReply {
    Hold(oneshot::Sender<Result<()>>),
    /// With whether there was such a hold.
    ReleaseHold(oneshot::Sender<Result<bool>>, bool),
}

#[derive(Debug)]
pub(super) struct RequestBatch {
    /// The holds after all requests.
    pub(super) holds: Holds,
    pub(super) hold_replies: Vec<HoldReply>,
    pub(super) trim_replies: Vec<TrimReply>,
}

impl RequestBatch {
    /// Replies to the callers whose holds are durable.
    pub(super) fn confirm_holds(&mut self) {
        for hold in self.hold_replies.drain(..) {
            match hold {
                HoldReply::Hold(reply_tx) => reply(reply_tx, Ok(())),
                HoldReply::ReleaseHold(reply_tx, existed) => reply(reply_tx, Ok(existed)),
            }
        }
    }

    pub(super) fn fail_holds(&mut self, error: impl Fn() -> MiniStoreError) {
        for hold in self.hold_replies.drain(..) {
            match hold {
                HoldReply::Hold(reply_tx) => reply(reply_tx, Err(error())),
                HoldReply::ReleaseHold(reply_tx, _) => reply(reply_tx, Err(error())),
            }
        }
    }

    pub(super) fn fail(mut self, error: impl Fn() -> MiniStoreError) {
        self.fail_holds(&error);
        reply_to_all(self.trim_replies, || Err(error()));
    }
}

pub(super) fn reply_to_all(trims: Vec<TrimReply>, outcome: impl Fn() -> Result<u64>) {
    trims.into_iter().for_each(|reply_tx| reply(reply_tx, outcome()));
}
