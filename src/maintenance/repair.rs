//! Repairing the end of a journal in place.

use std::path::{Path, PathBuf};

use serde::Serialize;

use super::{Corruption, VerifyReport, verify};
use crate::{
    Backend, JournalOptions, RecoveryPolicy, Result, device,
    names::Names,
    recovery::{ActiveState, ArchivedState, Journal, NextState, Seen, States, Step, decide},
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
    let disk = device::real();
    let names = Names::resolve(&*disk, path)?;
    let journal = Journal::observe(&*disk, &names, &mut Seen::default())?;
    let (steps, refused) = plan(&journal);
    // What concerns a whole file is not mended by cutting its end.
    let mends = |step: &Step, fault: &Corruption| {
        let whole = matches!(step, Step::WriteHeader | Step::SetNextAside);
        (whole || fault.offset > 0) && journal.file_of(*step).as_ref() == Some(&fault.segment)
    };
    let is_left = |fault: &&Corruption| refused || !steps.iter().any(|step| mends(step, fault));
    let left: Vec<Corruption> = found.faults.iter().filter(is_left).cloned().collect();
    if refused {
        return Ok(RepairReport { actions: Vec::new(), unrepairable: left });
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
    Ok(RepairReport { actions, unrepairable: left })
}

/// Whether the active segment is plain, or a new one follows segments that all are.
fn stays_plain(found: &VerifyReport, steps: &[Step]) -> bool {
    let made = steps.iter().any(|step| matches!(step, Step::WriteHeader | Step::CreateActive));
    match found.segments.last() {
        Some(_) if made => !found.segments.iter().any(|segment| segment.checksummed),
        Some(last) => !last.checksummed,
        None => false,
    }
}

/// What recovery would do, step by step, without doing it; and whether it would refuse.
fn plan(journal: &Journal) -> (Vec<Step>, bool) {
    let mut states = journal.states();
    let mut steps = Vec::new();
    loop {
        let step = decide(states, RecoveryPolicy::TruncateAtFirstError);
        match step {
            Step::Ready => return (steps, false),
            Step::Refuse(_) => return (steps, true),
            _ => steps.push(step),
        }
        states = after(step, states);
    }
}

/// What the journal looks like once a step was taken.
fn after(step: Step, states: States) -> States {
    match step {
        Step::Refuse(_) | Step::Ready => states,
        Step::AdoptNext => States { active: ActiveState::Clean, next: NextState::Absent, ..states },
        Step::RemoveNext | Step::SetNextAside => States { next: NextState::Absent, ..states },
        Step::FinishArchived => States { archived: ArchivedState::Closed, ..states },
        Step::CreateActive | Step::WriteHeader | Step::CutActive => {
            States { active: ActiveState::Clean, ..states }
        }
    }
}

fn describe(step: Step, journal: &Journal, names: &Names) -> String {
    let show = |path: PathBuf| path.display().to_string();
    match step {
        Step::Ready | Step::Refuse(_) => String::new(),
        Step::AdoptNext => {
            format!("complete the rotation: rename {} to {}", show(names.next()), show(names.active()))
        }
        Step::RemoveNext => format!("remove {}, which holds nothing", show(names.next())),
        Step::SetNextAside => format!("rename {} to {}", show(names.next()), show(names.cut(0, 0))),
        Step::FinishArchived => "complete the rotation: close the newest rotated segment".into(),
        Step::CreateActive => format!("create {}", show(names.active())),
        Step::WriteHeader => format!("write the header of {}", show(names.active())),
        Step::CutActive => match journal.active_tail() {
            Some(tail) => format!(
                "truncate {} at byte {} ({}) and keep the {} bytes after it in {}",
                show(names.active()),
                tail.offset,
                tail.reason,
                tail.bytes,
                show(names.cut(tail.offset, 0)),
            ),
            None => format!("truncate the end of {}", show(names.active())),
        },
    }
}
