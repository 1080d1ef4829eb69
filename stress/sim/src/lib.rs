//! Random incarnations of a journal on a simulated disk, each checked against a model. A seed repeats a run exactly.

#![allow(missing_docs, unreachable_pub, reason = "a program of this repository, and its tests")]

pub mod run_stats;

mod config;
mod corruption;
mod lying_fs;
mod model;
mod observer;
mod read;
mod retention;
mod run;
mod workload;

use std::panic::{AssertUnwindSafe, catch_unwind};

pub use lying_fs::Lie;
pub use run_stats::RunStats;

/// A run that violated a guarantee.
#[derive(Debug, Clone)]
pub struct Failure {
    pub seed: u64,
    pub what: String,
    /// The operations that led to it, one per line.
    pub trace: Vec<String>,
}

/// Executes one run, optionally on a disk that lies.
pub fn run(seed: u64, lie: Option<Lie>) -> Result<RunStats, Failure> {
    run_once(seed, lie, false)
}

/// Repeats a run and returns its operations.
pub fn trace(seed: u64, lie: Option<Lie>) -> Vec<String> {
    run_once(seed, lie, true).map_or_else(|failure| failure.trace, |_| Vec::new())
}

fn run_once(seed: u64, lie: Option<Lie>, trace: bool) -> Result<RunStats, Failure> {
    let mut run = run::Run::new(seed, lie, trace);
    let outcome = catch_unwind(AssertUnwindSafe(|| run.execute()));
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
