//! Reads ahead for an async reader on a thread of its own: the threads of the caller's runtime never read files, and at
//! most a few blocks wait in memory.

use std::{
    future::poll_fn,
    mem,
    path::PathBuf,
    task::{Context, Poll, ready},
};

use super::block_cursor::{BlockCursor, BlockSource};
use crate::{
    MiniStoreError, Result,
    journal::fork::ForkGuard,
    sync::{mpsc, thread},
};

/// The maximum number of blocks that wait in memory.
const READ_AHEAD_BLOCKS: usize = 4;

/// Receives the blocks that the reader thread sends. Dropping it ends the thread, except in a fork of the process that
/// started it.
#[derive(Debug)]
pub(super) struct ReadAhead {
    /// `None` after [`abandon_in_fork`](Self::abandon_in_fork).
    messages: Option<mpsc::Receiver<Result<Message>>>,
    path: PathBuf,
    fork_guard: ForkGuard,
}

#[derive(Debug)]
enum Message {
    /// The journal is open.
    Opened,
    Block(BlockCursor),
}

impl ReadAhead {
    /// Starts a thread that reads the blocks of the source that `open` returns. `path` is the journal, for errors.
    pub(super) fn start<B: BlockSource>(
        path: PathBuf,
        open: impl FnOnce() -> Result<B> + Send + 'static,
    ) -> Result<Self> {
        let fork_guard = ForkGuard::current()?;
        let (sender, messages) = mpsc::channel(READ_AHEAD_BLOCKS);
        thread::Builder::new().name("ministore-reader".into()).spawn(move || {
            let send = |message| sender.blocking_send(message).is_ok();
            let mut source = match open() {
                Ok(source) => source,
                Err(error) => {
                    send(Err(error));
                    return;
                }
            };
            if !send(Ok(Message::Opened)) {
                return;
            }
            loop {
                let mut block_cursor = BlockCursor::default();
                let message = match block_cursor.next_block(&mut source) {
                    Ok(true) => Ok(Message::Block(block_cursor)),
                    Ok(false) => return,
                    Err(error) => Err(error),
                };
                let ended = message.is_err();
                if !send(message) || ended {
                    return;
                }
            }
        })?;
        Ok(Self { messages: Some(messages), path, fork_guard })
    }

    /// Waits until the journal is open.
    pub(super) async fn opened(&mut self) -> Result<()> {
        match poll_fn(|context| self.poll_message(context)).await {
            Some(Err(error)) => Err(error),
            Some(Ok(_)) | None => Ok(()),
        }
    }

    /// Polls for the next block; `None` at the end.
    pub(super) fn poll_next(&mut self, context: &mut Context<'_>) -> Poll<Option<Result<BlockCursor>>> {
        loop {
            match ready!(self.poll_message(context)) {
                Some(Ok(Message::Opened)) => {}
                Some(Ok(Message::Block(block_cursor))) => return Poll::Ready(Some(Ok(block_cursor))),
                Some(Err(error)) => return Poll::Ready(Some(Err(error))),
                None => return Poll::Ready(None),
            }
        }
    }

    /// Polls for the next message of the thread. In a forked child it returns [`Forked`](MiniStoreError::Forked) once,
    /// then `None`.
    fn poll_message(&mut self, context: &mut Context<'_>) -> Poll<Option<Result<Message>>> {
        if self.messages.is_some() && self.abandon_in_fork() {
            let (path, pid) = (self.path.clone(), self.fork_guard.id);
            return Poll::Ready(Some(Err(MiniStoreError::Forked { path, pid })));
        }
        self.messages.as_mut().map_or(Poll::Ready(None), |messages| messages.poll_recv(context))
    }

    /// Leaks the channel in a forked child; returns whether this process is one. A forked child does not have the
    /// thread: the thread would never wake a task here, and a lock that it held at the fork stays locked. So the
    /// channel must not be touched, not even to close it.
    fn abandon_in_fork(&mut self) -> bool {
        let in_forked_child = self.fork_guard.in_forked_child();
        if in_forked_child {
            mem::forget(self.messages.take());
        }
        in_forked_child
    }
}

impl Drop for ReadAhead {
    fn drop(&mut self) {
        self.abandon_in_fork();
    }
}
