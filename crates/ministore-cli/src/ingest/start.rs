//! The start of a new or resumed run. All checks that can fail run before the first append.

use ministore_uring::{JournalOptions, MiniStore};

use super::{
    Args,
    bad_lines::{BadLineSink, BadLines, OnError, absolute},
    checkpoint::{Checkpoint, CheckpointFile},
    duplicates::{self, InputStart},
    resume_check::ResumeCheck,
};
use crate::{
    exit::{CliError, ExitStatus, warn},
    input::Input,
    ownership::Ownership,
    quarantine::Quarantine,
    reader,
    store::{self, JournalArgs},
    units,
};

/// The state of a run at its start.
#[derive(Debug)]
pub(super) struct IngestRun {
    pub(super) inputs: Vec<Input>,
    pub(super) store: MiniStore,
    pub(super) bad: BadLines,
    /// The records that are already in the journal.
    pub(super) resume_check: Option<ResumeCheck>,
    pub(super) checkpoint: RunCheckpoint,
}

/// The checkpoint of this run.
#[derive(Debug)]
pub(super) struct RunCheckpoint {
    file: CheckpointFile,
    /// All runs; the last one is this run, unless it may not be changed.
    runs: Vec<Checkpoint>,
    /// This run. A complete one after which other records were appended is only compared: its checkpoint does not change.
    pub(super) start_seq: u64,
    may_change: bool,
}

impl RunCheckpoint {
    /// Marks the run complete.
    pub(super) fn complete(&mut self, records: u64) -> Result<(), CliError> {
        match self.runs.last_mut().filter(|_| self.may_change) {
            Some(run) => run.complete_records = Some(records),
            None => return Ok(()),
        }
        self.file.save(&self.runs)
    }
}

pub(super) fn start(args: &Args) -> Result<IngestRun, CliError> {
    let inputs = Input::all(&args.files);
    let ownership = check_files(args, &inputs)?;
    if args.resume && args.options.no_checksums && args.options.deletes() {
        let reason = "--resume needs stable sequence numbers: without checksums, deleting segments (--max-segments, --max-total-bytes, --max-age) changes them";
        return Err(CliError::new(ExitStatus::Usage, reason));
    }
    let file = CheckpointFile::of(&args.journal);
    let keys: Vec<String> = inputs.iter().map(Input::key).collect();
    check_interrupted(args, &file, &file.load()?, &keys)?;
    let store = store::open(options(&args.options), &args.journal)?;
    // From here on no other run is active.
    let mut runs = file.load()?;
    check_interrupted(args, &file, &runs, &keys)?;
    file.remove_temporaries();

    let durable_seq = store.durable_seq();
    let at = runs.iter().rposition(|run| run.inputs == keys).filter(|_| args.resume);
    let resume_check = match at {
        Some(at) => ResumeCheck::new(&args.journal, &runs, at, durable_seq)?,
        None => None,
    };
    let may_change = resume_check.as_ref().is_none_or(ResumeCheck::may_append);
    let mut run = match (at, &resume_check) {
        (Some(at), Some(_)) if may_change => runs.remove(at),
        (Some(at), Some(_)) => runs[at].clone(),
        // The journal contains nothing of this run.
        (Some(at), None) => Checkpoint { start_seq: durable_seq + 1, ..runs.remove(at) },
        (None, _) => {
            if !args.allow_duplicates {
                check_duplicates(args, &inputs, &keys, &runs, durable_seq)?;
            }
            warn_about_abandoned(args, &file, &runs, durable_seq);
            Checkpoint { inputs: keys, start_seq: durable_seq + 1, ..Checkpoint::default() }
        }
    };
    let bad = bad_lines(args, &mut run, &ownership)?;
    let start_seq = run.start_seq;
    if may_change {
        run.complete_records = None;
        runs.push(run);
        file.save(&runs)?;
    }
    let checkpoint = RunCheckpoint { file, runs, start_seq, may_change };
    Ok(IngestRun { inputs, store, bad, resume_check, checkpoint })
}

pub(crate) fn options(args: &JournalArgs) -> JournalOptions {
    let options = args.options().max_segment_bytes(args.max_segment_bytes).checksums(!args.no_checksums);
    let options = options.max_record_bytes(super::LINE_BYTES_MAX as u64);
    options.max_segments(args.max_segments).max_total_bytes(args.max_total_bytes).max_age(args.max_age)
}

/// Checks that inputs, journal and quarantine are different files: a journal that is appended to itself would grow until the
/// disk is full.
fn check_files(args: &Args, inputs: &[Input]) -> Result<Ownership, CliError> {
    let mut ownership = Ownership::of_journal(&args.journal);
    let mut found = Vec::new();
    for input in inputs {
        let metadata = input.check()?;
        let is_taken = ownership.check_file(input.name().as_ref(), &metadata);
        is_taken.map_err(|error| error.hint("name the journal first, then the input files"))?;
        found.push((input.name(), metadata));
    }
    for (name, metadata) in found {
        ownership.add_file(&metadata, format!("is the same file as the input {name}"));
    }
    if let Some(OnError::Quarantine(file)) = &args.on_error {
        ownership.check_output(file)?;
    }
    Ok(ownership)
}

/// Rejects other inputs while a run can be resumed.
fn check_interrupted(
    args: &Args,
    file: &CheckpointFile,
    runs: &[Checkpoint],
    keys: &[String],
) -> Result<(), CliError> {
    let Some(last) = runs.last().filter(|run| args.resume && run.complete_records.is_none()) else {
        return Ok(());
    };
    if args.allow_duplicates || runs.iter().any(|run| run.inputs == keys) {
        return Ok(());
    }
    let inputs = last.inputs.join(" ");
    let path = file.path.display();
    let message = format_args!("{path}: the interrupted ingest had other inputs: {inputs}");
    Err(CliError::new(ExitStatus::Usage, message)
        .hint("use the same inputs to continue it, or leave out --resume to start from the beginning"))
}

/// Warns if an interrupted run is given up that appended records.
fn warn_about_abandoned(args: &Args, file: &CheckpointFile, runs: &[Checkpoint], durable_seq: u64) {
    let is_interrupted = |run: &Checkpoint| run.complete_records.is_none() && run.start_seq <= durable_seq;
    if !args.resume && runs.last().is_some_and(is_interrupted) {
        let path = file.path.display();
        warn(format_args!(
            "{path}: an earlier ingest is incomplete; this one starts from the beginning (--resume would continue it)"
        ));
    }
}

/// Checks whether the journal already contains the input. With `--resume` that is an error, because the run that appended it is
/// not known. Without, it is a warning if the last run had the same inputs.
fn check_duplicates(
    args: &Args,
    inputs: &[Input],
    keys: &[String],
    runs: &[Checkpoint],
    durable_seq: u64,
) -> Result<(), CliError> {
    if !args.resume {
        return warn_about_second_run(args, inputs, keys, runs);
    }
    let ranges = duplicates::ranges_to_search(runs, keys, durable_seq);
    if ranges.is_empty() {
        return Ok(());
    }
    let starts = InputStart::of_files(inputs);
    let refused = |reason: String, hint: &str| {
        Err(CliError::about(&args.journal, ExitStatus::BadData, reason).hint(hint))
    };
    if let Some((name, seq)) = duplicates::find(&args.journal, &ranges, &starts)? {
        return refused(
            format!(
                "already contains lines of {name}, from record {seq} on, and no run of this input can be resumed"
            ),
            "nothing was appended: restore JOURNAL.ingest-checkpoint to continue that run, or use --allow-duplicates to \
             append all of the input",
        );
    }
    if inputs.iter().any(|input| !input.is_regular_file()) {
        let records = units::counted(durable_seq, "record");
        return refused(
            format!(
                "has {records}, and no run of this input can be resumed; standard input and pipes cannot be searched for"
            ),
            "nothing was appended: use --allow-duplicates to append all of the input",
        );
    }
    Ok(())
}

fn warn_about_second_run(
    args: &Args,
    inputs: &[Input],
    keys: &[String],
    runs: &[Checkpoint],
) -> Result<(), CliError> {
    let same =
        |run: &&Checkpoint| run.inputs == keys && run.complete_records.is_some_and(|records| records > 0);
    let Some(run) = runs.iter().rfind(same) else { return Ok(()) };
    let starts = InputStart::of_files(&inputs[..1]);
    let reader = reader::open(&args.journal)?;
    if let Some(start) = starts.first().filter(|start| start.is_at(&reader, run.start_seq)) {
        let records = units::counted(run.complete_records.unwrap_or(0), "record");
        warn(format_args!(
            "{}: was ingested before ({records} from record {} on) and is appended again; --resume appends only new lines",
            start.name, run.start_seq
        ));
    }
    Ok(())
}

/// Chooses the policy: the option, or that of the interrupted run, or stop. Stores it in `run`.
fn bad_lines(args: &Args, run: &mut Checkpoint, ownership: &Ownership) -> Result<BadLines, CliError> {
    let earlier = OnError::parse(&run.on_error).ok();
    let policy = args.on_error.clone().or_else(|| earlier.clone()).unwrap_or(OnError::Stop);
    let policy = absolute(policy);
    let again = earlier.is_some_and(|earlier| earlier == policy);
    let resume_from = run.quarantine_start_bytes.filter(|_| again);
    run.on_error = policy.to_string();
    run.quarantine_start_bytes = None;
    Ok(BadLines::new(match policy {
        OnError::Stop => BadLineSink::Stop,
        OnError::Skip => BadLineSink::Skip,
        OnError::Quarantine(file) => {
            let quarantine = Quarantine::open(&file, ownership, resume_from)?;
            run.quarantine_start_bytes = Some(quarantine.start_bytes);
            BadLineSink::Quarantine(quarantine)
        }
    }))
}
