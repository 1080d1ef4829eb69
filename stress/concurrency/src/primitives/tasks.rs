//! Tokio's channels; another thread may run before each operation.

use tokio::sync as real;

use super::{block_on, switch};

pub(crate) mod oneshot {
    use std::{
        future::Future,
        pin::Pin,
        task::{Context, Poll},
    };

    use super::{real, switch};

    #[derive(Debug)]
    pub(crate) struct Sender<T>(Option<real::oneshot::Sender<T>>);

    #[derive(Debug)]
    pub(crate) struct Receiver<T>(real::oneshot::Receiver<T>);

    pub(crate) fn channel<T>() -> (Sender<T>, Receiver<T>) {
        let (sender, receiver) = real::oneshot::channel();
        (Sender(Some(sender)), Receiver(receiver))
    }

    impl<T> Sender<T> {
        pub(crate) fn send(mut self, value: T) -> Result<(), T> {
            switch();
            match self.0.take() {
                Some(sender) => sender.send(value),
                None => Err(value),
            }
        }

        pub(crate) fn is_closed(&self) -> bool {
            switch();
            self.0.as_ref().is_none_or(real::oneshot::Sender::is_closed)
        }
    }

    impl<T> Drop for Sender<T> {
        fn drop(&mut self) {
            if self.0.is_some() {
                switch();
            }
        }
    }

    impl<T> Drop for Receiver<T> {
        fn drop(&mut self) {
            switch();
        }
    }

    impl<T> Future for Receiver<T> {
        type Output = Result<T, real::oneshot::error::RecvError>;

        fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
            switch();
            Pin::new(&mut self.0).poll(context)
        }
    }
}

pub(crate) mod mpsc {
    use std::task::{Context, Poll};

    use super::{block_on, real, switch};

    #[derive(Debug)]
    pub(crate) struct Sender<T>(real::mpsc::Sender<T>);

    #[derive(Debug)]
    pub(crate) struct Receiver<T>(real::mpsc::Receiver<T>);

    pub(crate) fn channel<T>(messages_max: usize) -> (Sender<T>, Receiver<T>) {
        let (sender, receiver) = real::mpsc::channel(messages_max);
        (Sender(sender), Receiver(receiver))
    }

    impl<T> Sender<T> {
        /// Waits through the model checker: tokio's own call would block the thread that all modelled threads share.
        pub(crate) fn blocking_send(&self, message: T) -> Result<(), real::mpsc::error::SendError<T>> {
            switch();
            block_on(self.0.send(message))
        }
    }

    impl<T> Clone for Sender<T> {
        fn clone(&self) -> Self {
            Self(self.0.clone())
        }
    }

    impl<T> Drop for Sender<T> {
        fn drop(&mut self) {
            switch();
        }
    }

    impl<T> Receiver<T> {
        pub(crate) async fn recv(&mut self) -> Option<T> {
            switch();
            self.0.recv().await
        }

        pub(crate) fn poll_recv(&mut self, context: &mut Context<'_>) -> Poll<Option<T>> {
            switch();
            self.0.poll_recv(context)
        }
    }
}
