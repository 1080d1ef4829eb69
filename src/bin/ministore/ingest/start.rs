//! Owns the beginning of a run: a new one, or one that goes on where an earlier one was interrupted. Everything that
//! can be refused is refused here, before the first append.

use std::{path::PathBuf, time::Duration};

use ministore_uring::{JournalOptions, MiniStore};

use super::{
    Args,
    bad::{BadLines, Policy, Quarantine},
    input::Input,
    pass_over::PassOver,
    sidecar::{Run, Sidecar},
};
use crate::{
    exit::{Code, Failure, warn},
    store,
};

/// All that a run works with.
#[derive(Debug)]
pub(super) struct Started {
    pub(super) inputs: Vec<Input>,
    pub(super) store: MiniStore,
    pub(super) bad: BadLines,
    /// Lines that are in the journal already.
    pub(super) pass_over: Option<PassOver>,
    pub(super) sidecar: Sidecar,
    pub(super) run: Run,
}

pub(super) fn start(args: &Args) -> Result<Started, Failure> {
    let inputs = Input::all(&args.files);
    inputs.iter().try_for_each(|input| input.check(&args.journal))?;
    if args.resume && args.no_seals && args.deletes() {
        let reason = "--resume needs numbers that stay: without seals, deleting segments (--max-segments, --max-total-bytes, --max-age) changes them";
        return Err(Failure::new(Code::Usage, reason));
    }
    let sidecar = Sidecar::of(&args.journal);
    let keys: Vec<String> = inputs.iter().map(Input::key).collect();
    let earlier = Earlier::look(args, &sidecar, &keys)?;

    let store = store::open(options(args), &args.journal)?;
    let earlier = earlier.resumed(&sidecar);
    let pass_over = match &earlier {
        Some(run) => PassOver::new(&args.journal, run, store.durable_seq())?,
        None => None,
    };
    let mut run = earlier.unwrap_or_else(|| Run::new(keys, store.durable_seq() + 1));
    let bad = bad_lines(args, &mut run)?;
    // A run that is complete, behind which others have appended, is only compared: it stays as it is.
    if pass_over.as_ref().is_none_or(PassOver::may_append) {
        run.complete_records = None;
        sidecar.save(&run)?;
    }
    Ok(Started { inputs, store, bad, pass_over, sidecar, run })
}

pub(super) fn options(args: &Args) -> JournalOptions {
    let options = args.write.options().max_bytes_per_segment(args.segment_bytes).seals(!args.no_seals);
    let options = options.max_record_bytes(super::LINE_BYTES_MAX as u64);
    options
        .max_segments(args.max_segments.unwrap_or(usize::MAX))
        .max_total_bytes(args.max_total_bytes.unwrap_or(u64::MAX))
        .max_age(args.max_age.unwrap_or(Duration::MAX))
}

/// What an earlier run means for this one.
enum Earlier {
    /// Nothing.
    None,
    /// It was not finished, and is not asked to be.
    Abandoned,
    /// It goes on.
    Resumed(Run),
}

impl Earlier {
    fn look(args: &Args, sidecar: &Sidecar, keys: &[String]) -> Result<Self, Failure> {
        let run = match sidecar.load() {
            Ok(None) => return Ok(Self::None),
            Ok(Some(run)) => run,
            // A file that cannot be understood is no obstacle to a run that does not need it.
            Err(_) if !args.resume => return Ok(Self::None),
            Err(failure) => return Err(failure),
        };
        match (args.resume, run.complete_records.is_some()) {
            (false, false) => Ok(Self::Abandoned),
            (false, true) => Ok(Self::None),
            (true, _) if run.inputs == keys => Ok(Self::Resumed(run)),
            // Nothing is lost: another input after a complete run is a run of its own.
            (true, true) => Ok(Self::None),
            (true, false) => Err(other_inputs(sidecar, &run)),
        }
    }

    /// Called when the journal is open: now it is certain that the earlier run is not still at work.
    fn resumed(self, sidecar: &Sidecar) -> Option<Run> {
        match self {
            Self::None => None,
            Self::Resumed(run) => Some(run),
            Self::Abandoned => {
                let path = sidecar.path.display();
                warn(format_args!(
                    "{path}: an earlier ingest was not finished; this one starts anew (--resume would have gone \
                     on with it)"
                ));
                None
            }
        }
    }
}

fn other_inputs(sidecar: &Sidecar, run: &Run) -> Failure {
    let inputs = run.inputs.join(" ");
    let path = sidecar.path.display();
    Failure::new(Code::Usage, format_args!("{path}: the interrupted ingest had other inputs: {inputs}"))
        .hint("give those again to go on with it, or leave out --resume to begin anew")
}

/// What is said now counts, else what the interrupted run did, else stop. Notes it in `run`.
fn bad_lines(args: &Args, run: &mut Run) -> Result<BadLines, Failure> {
    let earlier = Policy::parse(&run.on_error).ok();
    let policy = args.on_error.clone().or_else(|| earlier.clone()).unwrap_or(Policy::Stop);
    let policy = absolute(policy);
    let again = earlier.is_some_and(|earlier| earlier == policy);
    let start_bytes = run.quarantine_start_bytes.filter(|_| again);
    run.on_error = policy.to_string();
    run.quarantine_start_bytes = None;
    Ok(match policy {
        Policy::Stop => BadLines::stopping(),
        Policy::Skip => BadLines::skipping(),
        Policy::Quarantine(file) => {
            let quarantine = Quarantine::open(&file, start_bytes)?;
            run.quarantine_start_bytes = Some(quarantine.start_bytes);
            BadLines::quarantining(quarantine)
        }
    })
}

/// A resumed run may be started from another directory.
fn absolute(policy: Policy) -> Policy {
    let whole = |file: PathBuf| std::path::absolute(&file).unwrap_or(file);
    match policy {
        Policy::Quarantine(file) => Policy::Quarantine(whole(file)),
        other => other,
    }
}
