//! Crossbeam's unbounded channel; who finds it empty waits for the bell.

use std::fmt;

use crossbeam_channel::{RecvError, SendError, TryRecvError};

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

    pub(crate) fn is_empty(&self) -> bool {
        switch();
        self.0.is_empty()
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
