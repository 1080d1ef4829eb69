//! The public interface of the store: every `impl MiniStore`. Checks arguments and calls the layers below.

mod append;
mod blocking;
mod enqueue;
mod follow;
mod json_batch;
mod limits;
mod lookup;
mod open;
mod point_reader;
mod receipt;
mod replay;
mod retention;
mod store;
mod wait_durable;

pub use append::Append;
pub use blocking::BlockingStore;
pub use json_batch::JsonBatch;
#[cfg(any(test, shuttle))]
pub(crate) use limits::APPEND_OVERHEAD_BYTES;
pub use receipt::{PendingAppend, Receipt};
pub use store::MiniStore;
