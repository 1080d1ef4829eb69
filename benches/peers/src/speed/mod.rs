//! The same load on ministore-uring, on other logs, and on the limits of the machine: alternating within one run,
//! with the same records, in the same directory, medians over the rounds.
//!
//! Must never measure one log in another way than the rest: async calls are made from tasks, blocking calls from
//! threads, and both loops are the same.

pub mod async_logs;
pub mod baseline;
pub mod bench_case;
pub mod blocking;
// The charts of `ministore bench --report`, of which these are a part.
#[allow(dead_code, reason = "the program uses all of it")]
#[path = "../../../../crates/ministore-cli/src/bench/page/chart.rs"]
mod chart;
pub mod charts;
pub mod child;
pub mod echo;
pub mod half_busy;
pub mod host;
pub mod measure;
pub mod not_durable;
pub mod phases;
mod picture;
pub mod pipelined;
pub mod plan;
pub mod records;
pub mod results;
#[cfg(feature = "rocksdb")]
pub mod rocks;
#[allow(dead_code, reason = "the program uses all of it")]
#[path = "../../../../crates/ministore-cli/src/bench/page/scale.rs"]
mod scale;
pub mod slow_disk;
pub mod sqlite;
pub mod table;
pub mod targets;
pub mod tasks;
pub mod threads;
