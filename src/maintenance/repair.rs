//! Repairs the end of a journal in place.

use std::path::{Path, PathBuf};

use serde::Serialize;

use super::{Corruption, VerifyReport, verify};
use crate::{
    Backend, JournalOptions, RecoveryPolicy, Result,
    io::os_file_system,
    journal::file_names::FileNames,
    recovery::{ActiveState, JournalState, JournalStates, NextState, RotatedState, ScanCache, Step, decide},
};

/// Whether [`repair`] changes files or only reports what it would do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum RepairMode {
    /// Changes nothing, not even the lock file.
    DryRun,
    /// Repairs.
    Apply,
}

/// The steps that [`repair`] did, or would do.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct RepairReport {
    /// One sentence per step, in order. Empty where there is nothing to repair.
    pub actions: Vec<String>,
    /// Corruption that cannot be repaired in place, because it is in a rotated segment or in a header:
    /// [`salvage`](super::salvage()) copies what verifies.
    pub unrepairable: Vec<Corruption>,
}

/// Repairs what can be repaired in place: truncates everything after the last verified commit group of the active segment
/// (and saves a copy to `NAME.truncated-<offset>`), completes an interrupted rotation, and closes the journal.
///
/// # Errors
///
/// [`Locked`](crate::MiniStoreError::Locked) while the journal is open for writing; [`Io`](crate::MiniStoreError::Io).
pub fn repair(path: impl AsRef<Path>, mode: RepairMode) -> Result<RepairReport> {
    let path = path.as_ref();
    let found = verify(path)?;
    let fs = os_file_system();
    let names = FileNames::resolve(&*fs, path)?;
    let journal = JournalState::inspect(&*fs, &names, &mut ScanCache::default())?;
    let (steps, is_refused) = plan(&journal);
    // Corruption of a whole file is not repaired by truncating its end.
    let repairs = |step: &Step, fault: &Corruption| {
        let whole_file = matches!(step, Step::WriteHeader | Step::QuarantineNext);
        (whole_file || fault.offset > 0) && journal.file_of(*step).as_ref() == Some(&fault.segment)
    };
    let is_unrepairable = |fault: &&Corruption| is_refused || !steps.iter().any(|step| repairs(step, fault));
    let unrepairable: Vec<Corruption> = found.faults.iter().filter(is_unrepairable).cloned().collect();
    if is_refused {
        return Ok(RepairReport { actions: Vec::new(), unrepairable });
    }
    let mut actions: Vec<String> = steps.iter().map(|step| describe(*step, &journal, &names)).collect();
    let unclosed = found.segments.last().is_some_and(|last| last.state != super::SegmentState::Closed);
    if unclosed || !actions.is_empty() {
        actions.push(format!("close {}", names.active().display()));
    }
    if mode == RepairMode::Apply && !actions.is_empty() {
        let store = JournalOptions::new()
            .recovery(RecoveryPolicy::TruncateAtFirstError)
            .backend(Backend::Blocking)
            .checksums(!stays_plain(&found, &steps))
            .preallocate(false)
            .max_segment_bytes(u64::MAX)
            .open_blocking(path)?;
        store.blocking().close()?;
    }
    Ok(RepairReport { actions, unrepairable })
}

/// Returns whether the active segment stays plain: it is plain, or a new one follows only plain segments.
fn stays_plain(found: &VerifyReport, steps: &[Step]) -> bool {
    let is_new = steps.iter().any(|step| matches!(step, Step::WriteHeader | Step::CreateActive));
    match found.segments.last() {
        Some(_) if is_new => !found.segments.iter().any(|segment| segment.checksummed),
        Some(last) => !last.checksummed,
        None => false,
    }
}

/// Returns the steps that recovery would apply, and whether it would fail.
fn plan(journal: &JournalState) -> (Vec<Step>, bool) {
    let mut states = journal.states();
    let mut steps = Vec::new();
    loop {
        let step = decide(states, RecoveryPolicy::TruncateAtFirstError);
        match step {
            Step::Done => return (steps, false),
            Step::Fail(_) => return (steps, true),
            _ => steps.push(step),
        }
        states = after(step, states);
    }
}

/// Returns the states of the journal after a step.
fn after(step: Step, states: JournalStates) -> JournalStates {
    match step {
        Step::Fail(_) | Step::Done => states,
        Step::PromoteNext => JournalStates { active: ActiveState::Clean, next: NextState::Absent, ..states },
        Step::RemoveNext | Step::QuarantineNext => JournalStates { next: NextState::Absent, ..states },
        Step::CloseRotated => JournalStates { rotated: RotatedState::Closed, ..states },
        Step::CreateActive | Step::WriteHeader | Step::TruncateActive => {
            JournalStates { active: ActiveState::Clean, ..states }
        }
    }
}

fn describe(step: Step, journal: &JournalState, names: &FileNames) -> String {
    let show = |path: PathBuf| path.display().to_string();
    match step {
        Step::Done | Step::Fail(_) => String::new(),
        Step::PromoteNext => {
            format!("complete the rotation: rename {} to {}", show(names.next()), show(names.active()))
        }
        Step::RemoveNext => format!("remove {}, which holds nothing", show(names.next())),
        Step::QuarantineNext => format!("rename {} to {}", show(names.next()), show(names.truncated(0, 0))),
        Step::CloseRotated => "complete the rotation: close the newest rotated segment".into(),
        Step::CreateActive => format!("create {}", show(names.active())),
        Step::WriteHeader => format!("write the header of {}", show(names.active())),
        Step::TruncateActive => match journal.active_tail() {
            Some(tail) => format!(
                "truncate {} at byte {} ({}) and keep the {} bytes after it in {}",
                show(names.active()),
                tail.offset,
                tail.reason,
                tail.bytes,
                show(names.truncated(tail.offset, 0)),
            ),
            None => format!("truncate the end of {}", show(names.active())),
        },
    }
}
