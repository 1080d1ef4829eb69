//! Owns when the service ends, and why: a signal, or a journal that takes nothing more.

use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::watch;

use crate::exit::Failure;

/// Copies share it.
#[derive(Debug, Clone)]
pub(super) struct Ending {
    begun: Arc<watch::Sender<bool>>,
    failure: Arc<Mutex<Option<Failure>>>,
}

impl Ending {
    pub(super) fn new() -> Self {
        Self { begun: Arc::new(watch::Sender::new(false)), failure: Arc::default() }
    }

    /// From any thread.
    pub(super) fn begin(&self) {
        self.begun.send_replace(true);
    }

    /// The first failure counts.
    pub(super) fn fail(&self, failure: Failure) {
        self.failure.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert(failure);
        self.begin();
    }

    pub(super) fn has_begun(&self) -> bool {
        *self.begun.borrow()
    }

    pub(super) fn failure(&self) -> Option<Failure> {
        self.failure.lock().unwrap_or_else(PoisonError::into_inner).take()
    }

    /// Resolves when it has begun. Owns what it needs.
    pub(super) fn wait(&self) -> impl Future<Output = ()> + Send + use<> {
        let mut begun = self.begun.subscribe();
        async move {
            // The sender is gone only when the service is.
            drop(begun.wait_for(|begun| *begun).await);
        }
    }
}
