//! Every primitive by which the threads and tasks of a store meet, in one place, so that a model checker can slip its
//! own under the real code: `stress/concurrency` compiles this crate with `--cfg shuttle`.
//!
//! The rest of the crate names no primitive of `std::sync`, `std::thread`, tokio or crossbeam itself, `Arc` apart.

/// Counts that tell, and never decide: nobody waits for one, and nothing is published by one. So a model checker need not
/// switch threads at them.
pub(crate) mod stats {
    pub(crate) use std::sync::{
        OnceLock as Once,
        atomic::{AtomicBool, AtomicU64, Ordering},
    };
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

    /// Statics that begin as their type's default.
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
