//! placeholder
#[cfg(not(target_os = "linux"))]
compile_error!("ministore-uring runs on Linux only: see linux-only.md");

mod blocking;
mod device;
mod encode;
mod error;
mod format;
mod lock;
pub mod maintenance;
mod names;
mod options;
mod reader;
mod recovery;
mod request;
mod scan;
mod shared;
mod stats;
mod store;
mod writer;

pub use blocking::Blocking;
pub use device::BackendKind;
pub use error::{MiniStoreError, Result};
pub use options::{Backend, JournalOptions, MiniStoreOptions, RecoveryPolicy};
pub use reader::{JournalStream, Record, RecordStream, Records};
pub use recovery::{CutTail, OpenReport};
pub use request::Pending;
pub use stats::Stats;
pub use store::MiniStore;
