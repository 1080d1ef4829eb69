//! Slow work on the background thread, concurrent with the commits: preallocation, new segments, renames, retention.

pub(crate) mod job;
mod listing;
mod padding;
pub(crate) mod policy;
pub(crate) mod requests;
mod retention;
mod runner;
pub(crate) mod worker;

pub(crate) use retention::RetentionManager;
pub(crate) use runner::JobRunner;
