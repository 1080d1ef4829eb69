//! The end of a run: closes the journal, marks the run complete, prints the summary, returns the exit status.

use std::time::Instant;

use ministore_uring::MiniStore;

use super::{
    Args, StopReason,
    checkpoint::{Checkpoint, CheckpointFile},
    feed::IngestTotals,
    summary::{Outcome, Summary},
};
use crate::exit::{CliError, ExitStatus, info, is_quiet};

/// What the end of a run needs.
#[derive(Debug)]
pub(super) struct RunEnd {
    pub(super) started: Instant,
    pub(super) store: MiniStore,
    pub(super) checkpoint_file: CheckpointFile,
    pub(super) run: Checkpoint,
    /// The run may be marked complete.
    pub(super) owns_tail: bool,
}

/// `pumped`: why no more lines were read. `flushed`: whether those that were read are durable.
pub(super) fn finish(
    args: &Args,
    mut end: RunEnd,
    fed: IngestTotals,
    pumped: Result<(), StopReason>,
    flushed: Result<(), CliError>,
) -> Result<ExitStatus, CliError> {
    let closed = end.store.blocking().close().map_err(|error| CliError::store(&args.journal, &error));
    let complete = pumped.is_ok() && flushed.is_ok() && closed.is_ok();
    let marked = if complete { mark_complete(&mut end, fed) } else { Ok(()) };

    let summary = Summary {
        fed,
        seconds: end.started.elapsed().as_secs_f64(),
        stats: end.store.stats(),
        outcome: outcome(&pumped, complete),
        start_seq: end.run.start_seq,
    };
    let printed = match (args.json, is_quiet()) {
        (true, _) => summary.print_json(),
        (false, false) => summary.print(),
        (false, true) => Ok(()),
    };

    // A journal that could not be made durable matters more than a bad line or a signal.
    flushed.and(closed).and(marked)?;
    match pumped {
        Ok(()) => printed.map(|()| ExitStatus::Ok),
        Err(StopReason::Failed(failure)) => Err(failure),
        Err(StopReason::Interrupted(code)) => {
            info("interrupted; the counted records are durable, and --resume continues after them");
            Ok(code)
        }
    }
}

fn mark_complete(end: &mut RunEnd, fed: IngestTotals) -> Result<(), CliError> {
    if !end.owns_tail {
        return Ok(());
    }
    end.run.complete_records = Some(fed.already_present + fed.durable.records);
    end.checkpoint_file.save(&end.run)
}

fn outcome(pumped: &Result<(), StopReason>, complete: bool) -> Outcome {
    match pumped {
        Ok(()) if complete => Outcome::Complete,
        Err(StopReason::Interrupted(_)) => Outcome::Interrupted,
        _ => Outcome::Failed,
    }
}
