//! Random incarnations of a journal on a simulated disk, each checked against a model. A seed repeats a run exactly.

#![allow(missing_docs, unreachable_pub, reason = "a program of this repository, and its tests")]

pub mod run_stats;

mod config;
mod corruption;
mod model;
mod observer;
mod read;
mod retention;
mod run;
mod workload;

use std::panic::{AssertUnwindSafe, catch_unwind};

pub use ministore_uring::testkit::sim::Bug;
use ministore_uring::testkit::sim::seed as seed_bug;
pub use run_stats::RunStats;

/// A run that violated a guarantee.
#[derive(Debug, Clone)]
pub struct Failure {
    pub seed: u64,
    pub what: String,
    /// The operations that led to it, one per line.
    pub trace: Vec<String>,
}

/// Executes one run, optionally with a seeded bug.
pub fn run(seed: u64, bug: Option<Bug>) -> Result<RunStats, Failure> {
    run_once(seed, bug, false)
}

/// Repeats a run and returns its operations.
pub fn trace(seed: u64, bug: Option<Bug>) -> Vec<String> {
    run_once(seed, bug, true).map_or_else(|failure| failure.trace, |_| Vec::new())
}

fn run_once(seed: u64, bug: Option<Bug>, trace: bool) -> Result<RunStats, Failure> {
    seed_bug(bug);
    let mut run = run::Run::new(seed, trace);
    let outcome = catch_unwind(AssertUnwindSafe(|| run.execute()));
    seed_bug(None);
    let fail = |what: String| Failure { seed, what, trace: run.disk.traced() };
    match outcome {
        Ok(Ok(())) => Ok(run.stats),
        Ok(Err(violation)) => Err(fail(violation.to_string())),
        Err(panic) => {
            let text = panic.downcast_ref::<String>().cloned();
            let text = text.or_else(|| panic.downcast_ref::<&str>().map(|text| (*text).to_owned()));
            Err(fail(format!("panicked: {}", text.unwrap_or_default())))
        }
    }
}
