//! Owns the end of a run: the journal closed, the run marked complete where it is, the summary told, the outcome
//! turned into an exit code.

use std::time::Instant;

use ministore_uring::MiniStore;

use super::{
    Args, Stop,
    feed::Fed,
    sidecar::{Run, Sidecar},
    summary::{Outcome, Summary},
};
use crate::exit::{Code, Failure, note};

/// What is left of a run when its lines are through.
#[derive(Debug)]
pub(super) struct Remains {
    pub(super) begun: Instant,
    pub(super) store: MiniStore,
    pub(super) sidecar: Sidecar,
    pub(super) run: Run,
    /// The run may be marked complete.
    pub(super) owns_tail: bool,
}

/// `pumped`: why no more lines were taken. `settled`: whether those that were taken are durable.
pub(super) fn finish(
    args: &Args,
    mut remains: Remains,
    fed: Fed,
    pumped: Result<(), Stop>,
    settled: Result<(), Failure>,
) -> Result<Code, Failure> {
    let closed = remains.store.blocking().close().map_err(|error| Failure::store(&args.journal, &error));
    let complete = pumped.is_ok() && settled.is_ok() && closed.is_ok();
    let marked = if complete { mark_complete(&mut remains, fed) } else { Ok(()) };

    let summary = Summary {
        fed,
        seconds: remains.begun.elapsed().as_secs_f64(),
        stats: remains.store.stats(),
        outcome: outcome(&pumped, complete),
        start_seq: remains.run.start_seq,
    };
    let told = if args.json { summary.print_json() } else { summary.print() };

    // A journal that could not be made durable matters more than a bad line or a signal.
    settled.and(closed).and(marked)?;
    match pumped {
        Ok(()) => told.map(|()| Code::Ok),
        Err(Stop::Failed(failure)) => Err(failure),
        Err(Stop::Interrupted(code)) => {
            note("interrupted; what is counted is durable, and --resume goes on from there");
            Ok(code)
        }
    }
}

fn mark_complete(remains: &mut Remains, fed: Fed) -> Result<(), Failure> {
    if !remains.owns_tail {
        return Ok(());
    }
    remains.run.complete_records = Some(fed.passed_over + fed.durable.records);
    remains.sidecar.save(&remains.run)
}

fn outcome(pumped: &Result<(), Stop>, complete: bool) -> Outcome {
    match pumped {
        Ok(()) if complete => Outcome::Complete,
        Err(Stop::Interrupted(_)) => Outcome::Interrupted,
        _ => Outcome::Stopped,
    }
}
