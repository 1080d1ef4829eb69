//! Repairs the end of a journal in place.

use std::path::{Path, PathBuf};

use serde::Serialize;

use super::{Corruption, LostRecords, SegmentState, VerifyReport, verify};
use crate::{
    Backend, JournalOptions, MiniStoreError, RecoveryPolicy, Result,
    format::{
        SegmentHeader,
        scan::{LineReader, has_magic, read_header},
    },
    io::{FileSystem, OpenMode, os_file_system},
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
    /// The acknowledged records that these steps lose, and whose numbers new records will get: those of a damaged end. None of
    /// them verifies.
    pub lost: Vec<LostRecords>,
    /// The records that verify. All of them are kept.
    pub records: u64,
    /// Corruption that cannot be repaired in place, because it is in a rotated segment or in a header, or because records
    /// after it verify: [`salvage`](super::salvage()) copies what verifies.
    pub unrepairable: Vec<Corruption>,
}

/// Repairs what can be repaired without losing a record that verifies: truncates the end of the active segment if nothing in it
/// verifies (and saves a copy to `NAME.truncated-<offset>`), completes an interrupted rotation, moves an
/// [older copy](super::SegmentState::OlderCopy) of a segment aside, and closes the journal.
///
/// Where records after damage verify, nothing is truncated: the damage is in [`unrepairable`](RepairReport::unrepairable).
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
    let is_older_copy =
        |fault: &Corruption| journal.original_of_active().is_some() && fault.segment == names.active();
    let is_unrepairable = |fault: &&Corruption| {
        is_refused || !(is_older_copy(fault) || steps.iter().any(|step| repairs(step, fault)))
    };
    let unrepairable: Vec<Corruption> = found.faults.iter().filter(is_unrepairable).cloned().collect();
    let mut report = RepairReport { records: found.records, unrepairable, ..RepairReport::default() };
    if is_refused {
        return Ok(report);
    }
    if let Some(original) = journal.original_of_active() {
        let (copy, original) = (names.active(), original.display());
        let moved_to = names.truncated(0, 0);
        let action =
            format!("move {}, an older copy of {original}, to {}", copy.display(), moved_to.display());
        report.actions.push(action);
    }
    report.actions.extend(steps.iter().map(|step| describe(*step, &journal, &names)));
    let unclosed = found.segments.last().is_some_and(|last| last.state != SegmentState::Closed);
    if unclosed || !report.actions.is_empty() {
        report.actions.push(format!("close {}", names.active().display()));
    }
    for step in &steps {
        report.lost.extend(lost_in(*step, &*fs, &journal, &names)?);
    }
    if mode == RepairMode::Apply && !report.actions.is_empty() {
        let store = JournalOptions::new()
            .recovery(RecoveryPolicy::TruncateDamagedEnd)
            .backend(Backend::Blocking)
            .checksums(!stays_plain(&found, &steps))
            .preallocate(false)
            .max_segment_bytes(u64::MAX)
            .open_blocking(path)?;
        store.blocking().close()?;
    }
    Ok(report)
}

/// Returns the acknowledged records that a step loses.
fn lost_in(
    step: Step,
    fs: &dyn FileSystem,
    journal: &JournalState,
    names: &FileNames,
) -> Result<Option<LostRecords>> {
    let (path, range, first_seq) = match (step, journal.active_tail()) {
        (Step::TruncateActive, Some(tail)) if tail.is_corrupt => {
            (names.active(), tail.offset..tail.offset + tail.bytes, journal.next_seq())
        }
        // The prepared segment has no records unless it has a header.
        (Step::QuarantineNext, _) => (names.next(), 0..u64::MAX, None),
        _ => return Ok(None),
    };
    let read = || {
        let file = fs.open(&path, OpenMode::ReadOnly)?;
        let mut lines = LineReader::with_limit(&*file, range.start, range.end);
        let mut records = 0;
        if step == Step::QuarantineNext && (!has_magic(&*file)? || lines.next()?.is_none()) {
            return Ok(0);
        }
        while let Some(line) = lines.next()? {
            records += u64::from(!line.bytes.trim_ascii().is_empty());
        }
        Ok(records)
    };
    let records = read().map_err(MiniStoreError::file(&path, "read"))?;
    if let (Step::QuarantineNext, Some(next_seq)) = (step, journal.next_seq()) {
        let file = fs.open(&path, OpenMode::ReadOnly);
        let header = file.and_then(read_header).map_err(MiniStoreError::file(&path, "read"))?;
        if let Some(link) = header.ok().and_then(SegmentHeader::link).filter(|link| link.first_seq > next_seq)
        {
            // It shows that there were records before it.
            let (first_seq, records) = (Some(next_seq), link.first_seq - next_seq + records);
            return Ok(Some(LostRecords {
                segment: path,
                offset: 0,
                first_seq,
                records,
                is_estimated: false,
            }));
        }
    }
    let lost = LostRecords { segment: path, offset: range.start, first_seq, records, is_estimated: true };
    Ok((records > 0).then_some(lost))
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
        let step = decide(states, RecoveryPolicy::TruncateDamagedEnd);
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
