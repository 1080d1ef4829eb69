//! The capacity that a group takes of the queue.

use std::{fmt, sync::Arc};

/// Gets capacity back.
pub(super) trait Capacity: fmt::Debug + Send + Sync {
    fn free(&self, bytes: u64);
}

/// The capacity that the appends of a group take. Dropping it frees the capacity.
#[derive(Debug)]
pub(super) struct CapacityGuard {
    pub(super) capacity: Arc<dyn Capacity>,
    pub(super) bytes: u64,
}

impl Drop for CapacityGuard {
    fn drop(&mut self) {
        self.capacity.free(self.bytes);
    }
}
