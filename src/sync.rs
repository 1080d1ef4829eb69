//! Every synchronization primitive of the crate, in one place, so that a model checker can replace them:
//! `stress/concurrency` compiles this crate with `--cfg shuttle`.
//!
//! The rest of the crate imports no primitive of `std::sync`, `std::thread`, tokio or crossbeam directly, except for
//! `Arc`.

/// The primitives of statistics. No thread waits for a counter, and none publishes other data, so a model checker need
/// not switch threads at them.
pub(crate) mod stats {
    pub(crate) use std::sync::{
        OnceLock as Once,
        atomic::{AtomicBool, AtomicU64, Ordering},
    };
}

/// Scoped threads, which the model checker does not have. No model reads a file in parallel.
pub(crate) mod scoped {
    pub(crate) use std::thread::{Builder, scope};
}

#[cfg(not(shuttle))]
mod primitives {
    pub(crate) use std::{
        sync::{
            Condvar, Mutex, MutexGuard, OnceLock, PoisonError, TryLockError,
            atomic::{AtomicBool, AtomicU64, Ordering},
        },
        thread,
    };

    pub(crate) use crossbeam_channel::{Receiver, Sender, unbounded};
    pub(crate) use pollster::block_on;
    pub(crate) use tokio::sync::{mpsc, oneshot};

    /// Declares statics that are initialized with their type's default.
    macro_rules! process_wide {
        ($($(#[$attribute:meta])* $name:ident: $type:ty;)*) => {
            $($(#[$attribute])* static $name: std::sync::LazyLock<$type> = std::sync::LazyLock::new(Default::default);)*
        };
    }

    pub(crate) use process_wide;
}

#[cfg(shuttle)]
#[path = "../stress/concurrency/src/primitives/mod.rs"]
mod primitives;

pub(crate) use primitives::*;
