//! The end of a run: closes the journal, marks the run complete, prints the summary, returns the exit status.

use std::time::Instant;

use ministore_uring::MiniStore;

use super::{
    Args, StopReason,
    checkpoint::{Checkpoint, CheckpointFile},
    pipeline::IngestTotals,
    summary::{RunOutcome, RunSummary},
};
use crate::exit::{CliError, ExitStatus, info, is_quiet};

/// The state of a run that its end needs.
#[derive(Debug)]
pub(super) struct RunEnd {
    pub(super) started: Instant,
    pub(super) store: MiniStore,
    pub(super) checkpoint_file: CheckpointFile,
    pub(super) run: Checkpoint,
    /// The run may be marked complete.
    pub(super) owns_tail: bool,
}

/// Finishes a run. `processed`: why no more lines were processed. `flushed`: whether the processed lines are durable.
pub(super) fn finish(
    args: &Args,
    mut end: RunEnd,
    totals: IngestTotals,
    processed: Result<(), StopReason>,
    flushed: Result<(), CliError>,
) -> Result<ExitStatus, CliError> {
    let closed = end.store.blocking().close().map_err(|error| CliError::store(&args.journal, &error));
    let complete = processed.is_ok() && flushed.is_ok() && closed.is_ok();
    let marked = if complete { mark_complete(&mut end, totals) } else { Ok(()) };

    let summary = RunSummary {
        totals,
        seconds: end.started.elapsed().as_secs_f64(),
        stats: end.store.stats(),
        outcome: outcome(&processed, complete),
        start_seq: end.run.start_seq,
    };
    let printed = match (args.json, is_quiet()) {
        (true, _) => summary.print_json(),
        (false, false) => summary.print(),
        (false, true) => Ok(()),
    };

    // A journal that could not be made durable matters more than a bad line or a signal.
    flushed.and(closed).and(marked)?;
    match processed {
        Ok(()) => printed.map(|()| ExitStatus::Ok),
        Err(StopReason::Failed(failure)) => Err(failure),
        Err(StopReason::Interrupted(code)) => {
            info("interrupted; the counted records are durable, and --resume continues after them");
            Ok(code)
        }
    }
}

fn mark_complete(end: &mut RunEnd, totals: IngestTotals) -> Result<(), CliError> {
    if !end.owns_tail {
        return Ok(());
    }
    end.run.complete_records = Some(totals.already_present + totals.durable.records);
    end.checkpoint_file.save(&end.run)
}

fn outcome(processed: &Result<(), StopReason>, complete: bool) -> RunOutcome {
    match processed {
        Ok(()) if complete => RunOutcome::Complete,
        Err(StopReason::Interrupted(_)) => RunOutcome::Interrupted,
        _ => RunOutcome::Failed,
    }
}
