//! The start of a new or resumed run. All checks that can fail run before the first append.

use std::path::PathBuf;

use ministore_uring::{JournalOptions, MiniStore};

use super::{
    Args,
    bad_lines::{BadLines, OnError, Quarantine},
    checkpoint::{Checkpoint, CheckpointFile},
    input::Input,
    resume_check::ResumeCheck,
};
use crate::{
    exit::{CliError, ExitStatus, warn},
    store::{self, JournalArgs},
};

/// The state of a run at its start.
#[derive(Debug)]
pub(super) struct IngestRun {
    pub(super) inputs: Vec<Input>,
    pub(super) store: MiniStore,
    pub(super) bad: BadLines,
    /// The records that are already in the journal.
    pub(super) resume_check: Option<ResumeCheck>,
    pub(super) checkpoint_file: CheckpointFile,
    pub(super) run: Checkpoint,
}

pub(super) fn start(args: &Args) -> Result<IngestRun, CliError> {
    let inputs = Input::all(&args.files);
    inputs.iter().try_for_each(|input| input.check(&args.journal))?;
    if args.resume && args.options.no_checksums && args.options.deletes() {
        let reason = "--resume needs stable sequence numbers: without checksums, deleting segments (--max-segments, --max-total-bytes, --max-age) changes them";
        return Err(CliError::new(ExitStatus::Usage, reason));
    }
    let checkpoint_file = CheckpointFile::of(&args.journal);
    let keys: Vec<String> = inputs.iter().map(Input::key).collect();
    let earlier = EarlierRun::load(args, &checkpoint_file, &keys)?;

    let store = store::open(options(&args.options), &args.journal)?;
    let earlier = earlier.resumed(&checkpoint_file);
    let resume_check = match &earlier {
        Some(run) => ResumeCheck::new(&args.journal, run, store.durable_seq())?,
        None => None,
    };
    let mut run = earlier.unwrap_or_else(|| Checkpoint::new(keys, store.durable_seq() + 1));
    let bad = bad_lines(args, &mut run)?;
    // A complete run after which other records were appended is only compared: its checkpoint does not change.
    if resume_check.as_ref().is_none_or(ResumeCheck::may_append) {
        run.complete_records = None;
        checkpoint_file.save(&run)?;
    }
    Ok(IngestRun { inputs, store, bad, resume_check, checkpoint_file, run })
}

pub(crate) fn options(args: &JournalArgs) -> JournalOptions {
    let options = args.options().max_segment_bytes(args.max_segment_bytes).checksums(!args.no_checksums);
    let options = options.max_record_bytes(super::LINE_BYTES_MAX as u64);
    options.max_segments(args.max_segments).max_total_bytes(args.max_total_bytes).max_age(args.max_age)
}

/// An earlier run and its effect on this one.
enum EarlierRun {
    /// There is none, or it is complete.
    None,
    /// It is incomplete and is not resumed.
    Abandoned,
    /// It is resumed.
    Resumed(Checkpoint),
}

impl EarlierRun {
    fn load(args: &Args, checkpoint_file: &CheckpointFile, keys: &[String]) -> Result<Self, CliError> {
        let run = match checkpoint_file.load() {
            Ok(None) => return Ok(Self::None),
            Ok(Some(run)) => run,
            // An invalid file does not matter to a run that does not need it.
            Err(_) if !args.resume => return Ok(Self::None),
            Err(failure) => return Err(failure),
        };
        match (args.resume, run.complete_records.is_some()) {
            (false, false) => Ok(Self::Abandoned),
            (false, true) => Ok(Self::None),
            (true, _) if run.inputs == keys => Ok(Self::Resumed(run)),
            // After a complete run, another input starts a new run.
            (true, true) => Ok(Self::None),
            (true, false) => Err(other_inputs(checkpoint_file, &run)),
        }
    }

    /// Called once the journal is locked: the earlier run cannot be active any more.
    fn resumed(self, checkpoint_file: &CheckpointFile) -> Option<Checkpoint> {
        match self {
            Self::None => None,
            Self::Resumed(run) => Some(run),
            Self::Abandoned => {
                let path = checkpoint_file.path.display();
                warn(format_args!(
                    "{path}: an earlier ingest is incomplete; this one starts from the beginning (--resume would \
                     continue it)"
                ));
                None
            }
        }
    }
}

fn other_inputs(checkpoint_file: &CheckpointFile, run: &Checkpoint) -> CliError {
    let inputs = run.inputs.join(" ");
    let path = checkpoint_file.path.display();
    CliError::new(
        ExitStatus::Usage,
        format_args!("{path}: the interrupted ingest had other inputs: {inputs}"),
    )
    .hint("use the same inputs to continue it, or leave out --resume to start from the beginning")
}

/// Chooses the policy: the option, or that of the interrupted run, or stop. Stores it in `run`.
fn bad_lines(args: &Args, run: &mut Checkpoint) -> Result<BadLines, CliError> {
    let earlier = OnError::parse(&run.on_error).ok();
    let policy = args.on_error.clone().or_else(|| earlier.clone()).unwrap_or(OnError::Stop);
    let policy = absolute(policy);
    let again = earlier.is_some_and(|earlier| earlier == policy);
    let start_bytes = run.quarantine_start_bytes.filter(|_| again);
    run.on_error = policy.to_string();
    run.quarantine_start_bytes = None;
    Ok(match policy {
        OnError::Stop => BadLines::stopping(),
        OnError::Skip => BadLines::skipping(),
        OnError::Quarantine(file) => {
            let quarantine = Quarantine::open(&file, start_bytes)?;
            run.quarantine_start_bytes = Some(quarantine.start_bytes);
            BadLines::quarantining(quarantine)
        }
    })
}

/// Makes the path absolute: a resumed run may be started in another directory.
fn absolute(policy: OnError) -> OnError {
    let whole = |file: PathBuf| std::path::absolute(&file).unwrap_or(file);
    match policy {
        OnError::Quarantine(file) => OnError::Quarantine(whole(file)),
        other => other,
    }
}
