//! What travels from a caller to the writer thread, and the answer that travels back.

use std::{
    future::Future,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
};

use bytes::Bytes;

use crate::{
    MiniStoreError, Result,
    shared::Shared,
    sync::{OwnedSemaphorePermit, block_on, broken, oneshot},
};

/// What the writer thread is asked to do.
#[derive(Debug)]
pub(crate) enum Request {
    Append(Append),
    Rotate(oneshot::Sender<Result<()>>),
    Close(oneshot::Sender<Result<()>>),
}

/// Lines that are to be made durable together.
#[derive(Debug)]
pub(crate) struct Append {
    pub(crate) lines: Lines,
    pub(crate) records: u64,
    /// Given back when the append is answered.
    pub(crate) room: OwnedSemaphorePermit,
    /// Told the sequence number of the first record. The caller may be gone.
    pub(crate) done: oneshot::Sender<Result<u64>>,
}

impl Append {
    /// Bytes of JSON: without the LFs between lines.
    pub(crate) fn json_bytes(&self) -> u64 {
        self.lines.bytes().len() as u64 - self.records.saturating_sub(1)
    }

    pub(crate) fn answer(self, outcome: Result<u64>) {
        // Room first: a caller that was waiting for it can be served while this one wakes.
        if broken!(KeepsItsRoom) {
            std::mem::forget(self.room)
        } else {
            drop(self.room)
        }
        let _ = self.done.send(outcome);
    }
}

/// Lines with the LFs between them.
#[derive(Debug)]
pub(crate) enum Lines {
    Owned(Vec<u8>),
    Shared(Bytes),
}

impl Lines {
    pub(crate) fn bytes(&self) -> &[u8] {
        match self {
            Self::Owned(bytes) => bytes,
            Self::Shared(bytes) => bytes,
        }
    }
}

/// An append that was accepted: resolves to the record's sequence number once it is durable.
///
/// Await it on any executor, or block on it with [`wait`](Self::wait). It needs neither the store's handle nor
/// a runtime. Dropping it forgets the outcome, not the record: that is written all the same.
///
/// # Errors
///
/// [`StorageFull`](MiniStoreError::StorageFull): the record was not written.
/// [`Poisoned`](MiniStoreError::Poisoned), [`WriterGone`](MiniStoreError::WriterGone): whether it was is not known.
#[derive(Debug)]
#[must_use = "the outcome of an append is in its Pending"]
pub struct Pending {
    pub(crate) outcome: oneshot::Receiver<Result<u64>>,
    pub(crate) shared: Arc<Shared>,
}

impl Pending {
    /// Blocks the calling thread until the record is durable.
    ///
    /// # Errors
    ///
    /// As for awaiting it.
    pub fn wait(self) -> Result<u64> {
        block_on(self)
    }
}

impl Future for Pending {
    type Output = Result<u64>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let outcome = ready!(Pin::new(&mut self.outcome).poll(context));
        // A sender that is gone without a word: the writer ended, and `shared` tells why.
        Poll::Ready(outcome.unwrap_or_else(|_| Err::<u64, MiniStoreError>(self.shared.refusal())))
    }
}
