//! The shutdown of the service, triggered by a signal or by a journal error.

use std::sync::{
    Arc, Mutex, PoisonError,
    atomic::{AtomicBool, Ordering},
};

use tokio::sync::watch;

use crate::exit::CliError;

/// Clones share the state.
#[derive(Debug, Clone)]
pub(super) struct Shutdown {
    triggered: Arc<watch::Sender<bool>>,
    failure: Arc<Mutex<Option<CliError>>>,
    incomplete: Arc<AtomicBool>,
}

impl Shutdown {
    pub(super) fn new() -> Self {
        Self {
            triggered: Arc::new(watch::Sender::new(false)),
            failure: Arc::default(),
            incomplete: Arc::default(),
        }
    }

    /// May be called from any thread.
    pub(super) fn trigger(&self) {
        self.triggered.send_replace(true);
    }

    /// The first error is kept.
    pub(super) fn trigger_with_error(&self, failure: CliError) {
        self.failure.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert(failure);
        self.trigger();
    }

    pub(super) fn is_triggered(&self) -> bool {
        *self.triggered.borrow()
    }

    /// Takes the error.
    pub(super) fn take_failure(&self) -> Option<CliError> {
        self.failure.lock().unwrap_or_else(PoisonError::into_inner).take()
    }

    /// Remembers that connections were closed before they were drained.
    pub(super) fn set_incomplete(&self) {
        self.incomplete.store(true, Ordering::Relaxed);
    }

    /// Whether all connections were drained.
    pub(super) fn is_clean(&self) -> bool {
        !self.incomplete.load(Ordering::Relaxed)
    }

    /// Resolves when the shutdown is triggered.
    pub(super) fn wait(&self) -> impl Future<Output = ()> + Send + use<> {
        let mut triggered = self.triggered.subscribe();
        async move {
            // The sender lives as long as the service.
            drop(triggered.wait_for(|triggered| *triggered).await);
        }
    }
}
