//! The public interface of the store: every `impl MiniStore`. Checks arguments and hands the work to the layers below.

mod append;
mod blocking;
mod follow;
mod lookup;
mod open;
mod replay;
mod retention;
mod store;
mod wait_durable;

pub use append::{Append, JsonBatch, PendingAppend, Receipt};
pub use blocking::BlockingStore;
#[cfg(any(test, shuttle))]
pub(crate) use store::APPEND_OVERHEAD_BYTES;
pub use store::MiniStore;
