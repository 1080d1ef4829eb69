//! Random lives of a journal on a simulated disk, each checked against a model. A seed repeats a run exactly.

#![allow(missing_docs, unreachable_pub, reason = "a program of this repository, and its tests")]

pub mod figures;

mod damage;
mod life;
mod model;
mod reading;
mod retention;
mod run;
mod settings;

use std::panic::{AssertUnwindSafe, catch_unwind};

pub use figures::Figures;
pub use ministore_uring::testkit::sim::Bug;
use ministore_uring::testkit::sim;

/// What a run that should not have failed came to.
#[derive(Debug, Clone)]
pub struct Failure {
    pub seed: u64,
    pub what: String,
    /// What led to it, operation by operation.
    pub trace: Vec<String>,
}

/// One run, with a seeded bug or none.
pub fn run(seed: u64, bug: Option<Bug>) -> Result<Figures, Failure> {
    run_once(seed, bug, false)
}

/// The same run again, with every operation written down.
pub fn trace(seed: u64, bug: Option<Bug>) -> Vec<String> {
    run_once(seed, bug, true).map_or_else(|failure| failure.trace, |_| Vec::new())
}

fn run_once(seed: u64, bug: Option<Bug>, trace: bool) -> Result<Figures, Failure> {
    sim::seed(bug);
    let mut journal = run::Journal::new(seed, trace);
    let outcome = catch_unwind(AssertUnwindSafe(|| journal.live()));
    sim::seed(None);
    let fail = |what: String| Failure { seed, what, trace: journal.disk.traced() };
    match outcome {
        Ok(Ok(())) => Ok(journal.figures),
        Ok(Err(violation)) => Err(fail(violation.to_string())),
        Err(panic) => {
            let text = panic.downcast_ref::<String>().cloned();
            let text = text.or_else(|| panic.downcast_ref::<&str>().map(|text| (*text).to_owned()));
            Err(fail(format!("panicked: {}", text.unwrap_or_default())))
        }
    }
}
