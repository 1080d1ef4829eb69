//! The same load on ours, on other logs, and on what the machine can do at best: in turn within one run, the same records,
//! the same directory, medians over the rounds.
//!
//! Must never measure one of them in another way than the rest: who is awaited is called from tasks, who blocks from threads,
//! and both loops are the same.

pub mod awaited;
pub mod blocking;
pub mod bulk;
pub mod cell;
pub mod chart;
pub mod child;
pub mod echo;
pub mod entrant;
pub mod events;
pub mod floor;
pub mod machine;
pub mod phases;
pub mod pictures;
pub mod plan;
pub mod results;
#[cfg(feature = "rocksdb")]
pub mod rocks;
pub mod sqlite;
pub mod table;
pub mod targets;
pub mod tasks;
pub mod threads;
