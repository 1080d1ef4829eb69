//! Crossbeam's unbounded channel; who finds it empty waits for the bell.

use std::fmt;

use crossbeam_channel::{RecvError, RecvTimeoutError, SendError, TryRecvError};

use super::{Bell, process_wide, switch};

process_wide! {
    BELL: Bell;
}

pub(crate) struct Sender<T>(Option<crossbeam_channel::Sender<T>>);

pub(crate) struct Receiver<T>(crossbeam_channel::Receiver<T>);

pub(crate) fn unbounded<T>() -> (Sender<T>, Receiver<T>) {
    let (sender, receiver) = crossbeam_channel::unbounded();
    (Sender(Some(sender)), Receiver(receiver))
}

impl<T> Sender<T> {
    pub(crate) fn send(&self, message: T) -> Result<(), SendError<T>> {
        switch();
        match &self.0 {
            Some(sender) => sender.send(message)?,
            None => return Err(SendError(message)),
        }
        BELL.ring();
        Ok(())
    }
}

impl<T> Clone for Sender<T> {
    fn clone(&self) -> Self {
        Self(self.0.clone())
    }
}

impl<T> fmt::Debug for Sender<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Sender")
    }
}

impl<T> fmt::Debug for Receiver<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Receiver")
    }
}

impl<T> Drop for Sender<T> {
    fn drop(&mut self) {
        switch();
        self.0 = None;
        BELL.ring();
    }
}

impl<T> Receiver<T> {
    pub(crate) fn recv(&self) -> Result<T, RecvError> {
        BELL.wait_for(|| self.attempt())
    }

    pub(crate) fn try_recv(&self) -> Result<T, TryRecvError> {
        switch();
        self.0.try_recv()
    }

    /// Time may pass at any moment: it gives up after others had a chance.
    pub(crate) fn recv_deadline(&self, _: std::time::Instant) -> Result<T, RecvTimeoutError> {
        switch();
        self.try_recv().map_err(|_| RecvTimeoutError::Timeout)
    }

    pub(crate) fn is_empty(&self) -> bool {
        switch();
        self.0.is_empty()
    }

    pub(crate) fn try_iter(&self) -> impl Iterator<Item = T> {
        std::iter::from_fn(|| self.try_recv().ok())
    }

    fn attempt(&self) -> Option<Result<T, RecvError>> {
        match self.try_recv() {
            Ok(message) => Some(Ok(message)),
            Err(TryRecvError::Disconnected) => Some(Err(RecvError)),
            Err(TryRecvError::Empty) => None,
        }
    }
}

impl<T> IntoIterator for Receiver<T> {
    type Item = T;
    type IntoIter = Messages<T>;

    fn into_iter(self) -> Messages<T> {
        Messages(self)
    }
}

pub(crate) struct Messages<T>(Receiver<T>);

impl<T> Iterator for Messages<T> {
    type Item = T;

    fn next(&mut self) -> Option<T> {
        self.0.recv().ok()
    }
}

/// What [`either`] found.
pub(crate) enum Either<A, B> {
    First(A),
    Second(B),
}

/// A message of whichever has one. Where both have, either may be taken.
pub(crate) fn either<A, B>(
    first: &Receiver<A>,
    second: &Receiver<B>,
) -> Either<Result<A, RecvError>, Result<B, RecvError>> {
    use shuttle::rand::Rng as _;
    BELL.wait_for(|| {
        if shuttle::rand::thread_rng().gen_bool(0.5) {
            first.attempt().map(Either::First).or_else(|| second.attempt().map(Either::Second))
        } else {
            second.attempt().map(Either::Second).or_else(|| first.attempt().map(Either::First))
        }
    })
}
