//! Slow work next to the commits, on the background thread: preallocation, new segments, renames, retention.

mod listing;
pub(crate) mod policy;
pub(crate) mod requests;
mod retention;
pub(crate) mod worker;

pub(crate) use retention::RetentionManager;
