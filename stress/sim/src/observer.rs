//! The model, shared with a watcher that reads the journal between the operations of the writer.

use std::{
    path::Path,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
};

use ministore_uring::{MiniStore, MiniStoreError, internals::Rng, testkit::SimDisk};

use crate::{
    model::{Checked, Model, Violation, violated},
    read::read,
};

#[derive(Clone)]
pub struct SharedModel {
    model: Arc<Mutex<Model>>,
    /// The first violation that the watcher found.
    violation: Arc<Mutex<Option<Violation>>>,
    reads: Arc<AtomicU64>,
}

impl SharedModel {
    pub fn new(model: Model) -> Self {
        Self { model: Arc::new(Mutex::new(model)), violation: Arc::default(), reads: Arc::default() }
    }

    pub fn lock(&self) -> MutexGuard<'_, Model> {
        self.model.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub fn reads(&self) -> u64 {
        self.reads.load(Relaxed)
    }

    /// Takes and returns the violation that the watcher found.
    pub fn take_violation(&self) -> Checked {
        self.violation.lock().unwrap_or_else(PoisonError::into_inner).take().map_or(Ok(()), Err)
    }

    /// Reads the journal as another process would: the reader sees every acknowledged record and nothing else.
    pub fn check_reader(&self, disk: &SimDisk, path: &Path, store: &MiniStore, when: &str) -> Checked {
        let durable = store.durable_seq();
        self.reads.fetch_add(1, Relaxed);
        let (found, error) = disk.from_outside(|| read(disk, path));
        if disk.is_stopped() {
            return Ok(());
        }
        // Retention may delete a segment before the reader opens it; the reader gets an error and starts again.
        let overtaken = self.lock().deletes && error.as_ref().is_some_and(is_not_found);
        if overtaken {
            return Ok(());
        }
        if let Some(error) = error {
            return violated(format!("a reader {when}, after {} records: {error}", found.len()));
        }
        let checked = self.lock().check(&found, durable);
        checked.map_err(|Violation(text)| Violation(format!("a reader {when}: {text}")))
    }

    /// Returns a watcher that reads the journal before some operations of the writer. It holds a handle of the store, which
    /// keeps the store open until the watcher is removed.
    pub fn watcher(
        &self,
        disk: &SimDisk,
        path: &Path,
        mut rng: Rng,
        store: &MiniStore,
    ) -> Box<dyn FnMut() + Send> {
        let (disk, path, shared, store) = (disk.clone(), path.to_path_buf(), self.clone(), store.clone());
        let percent = rng.pick(&[0, 2, 5, 20]);
        Box::new(move || {
            if rng.chance(percent) {
                shared.lock().has_unread_acks = true;
                if let Err(violation) = shared.check_reader(&disk, &path, &store, "before an operation") {
                    shared.record(violation);
                }
                shared.lock().has_unread_acks = false;
            }
        })
    }

    fn record(&self, violation: Violation) {
        self.violation.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert(violation);
    }
}

fn is_not_found(error: &MiniStoreError) -> bool {
    matches!(error, MiniStoreError::Io { source } if source.kind() == std::io::ErrorKind::NotFound)
}
