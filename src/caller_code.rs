//! Caller-supplied code that the journal's threads run: wakers, callbacks, and the destructors of owned bytes.

use std::panic::{self, AssertUnwindSafe};

/// Runs caller-supplied code and catches panics. Returns `false` if it panicked.
pub(crate) fn catch_caller_panic(run: impl FnOnce()) -> bool {
    let outcome = panic::catch_unwind(AssertUnwindSafe(run));
    if outcome.is_err() {
        tracing::error!("caller code panicked on the writer thread");
    }
    outcome.is_ok()
}
