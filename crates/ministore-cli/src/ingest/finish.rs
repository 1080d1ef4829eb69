//! The end of a run: closes the journal, marks the run complete, prints the summary, returns the exit status.

use std::time::Instant;

use ministore_uring::MiniStore;

use super::{
    Args, StopReason,
    pipeline::IngestTotals,
    start::RunCheckpoint,
    summary::{RunOutcome, RunSummary},
};
use crate::exit::{CliError, ExitStatus, info};

/// Finishes a run. `processed`: why no more lines were processed. `flushed`: whether the processed lines are durable.
pub(super) fn finish(
    args: &Args,
    started: Instant,
    store: &MiniStore,
    mut checkpoint: RunCheckpoint,
    totals: IngestTotals,
    processed: Result<(), StopReason>,
    flushed: Result<(), CliError>,
) -> Result<ExitStatus, CliError> {
    let closed = store.blocking().close().map_err(|error| CliError::store(&args.journal, &error));
    let complete = processed.is_ok() && flushed.is_ok() && closed.is_ok();
    let records = totals.already_present + totals.durable.records;
    let marked = if complete { checkpoint.complete(records) } else { Ok(()) };

    let summary = RunSummary {
        totals,
        seconds: started.elapsed().as_secs_f64(),
        stats: store.stats(),
        outcome: outcome(&processed, complete),
        start_seq: checkpoint.start_seq,
    };
    let printed = summary.print(args.json);

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

fn outcome(processed: &Result<(), StopReason>, complete: bool) -> RunOutcome {
    match processed {
        Ok(()) if complete => RunOutcome::Complete,
        Err(StopReason::Interrupted(_)) => RunOutcome::Interrupted,
        _ => RunOutcome::Failed,
    }
}
