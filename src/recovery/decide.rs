//! The recovery table: every combination of file states has exactly one next step. Pure; a test enumerates all combinations.

use crate::RecoveryPolicy;

/// The state of the active segment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ActiveState {
    Absent,
    /// Empty, or with an incomplete header: it has no record.
    Empty,
    /// Everything verifies.
    Clean,
    /// It ends in a group that was never acknowledged.
    Torn,
    /// Acknowledged data at its end is corrupt: nothing after the damage verifies.
    CorruptEnd,
    /// Acknowledged data in it is corrupt, and data after the damage verifies.
    Corrupt,
    /// It is not a journal, its header is corrupt, or it does not continue the newest rotated segment.
    Invalid,
}

/// The state of the newest rotated segment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum RotatedState {
    Absent,
    Closed,
    /// The rotation was interrupted before the segment was closed.
    Unfinished,
    Corrupt,
}

/// The state of the file prepared as the next segment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum NextState {
    Absent,
    /// Only padding, or an incomplete header.
    Empty,
    /// It has a header, and continues the newest rotated segment.
    Valid,
    /// It has any other content, nothing of which verifies.
    Unexpected,
    /// It has records that verify, and does not continue the newest rotated segment or is corrupt.
    Stray,
}

/// The states that the decision depends on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct JournalStates {
    pub(crate) active: ActiveState,
    pub(crate) rotated: RotatedState,
    pub(crate) next: NextState,
}

/// The file that the error of a failed recovery names.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum DamagedFile {
    Active,
    Rotated,
    Next,
}

/// The next step of recovery.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Step {
    /// Change nothing, and return an error that names the file.
    Fail(DamagedFile),
    /// Rename the prepared file to the active name: the last step of a rotation.
    PromoteNext,
    /// Delete a prepared file without records.
    RemoveNext,
    /// Rename a prepared file with unexpected content to a name that no later step uses.
    QuarantineNext,
    /// Truncate the unacknowledged tail of the newest rotated segment, and close it.
    CloseRotated,
    /// Create an active segment that continues the newest rotated one.
    CreateActive,
    /// Write the header of the empty active segment.
    WriteHeader,
    /// Truncate everything after the last verified group, and save a copy.
    TruncateActive,
    /// No step is left.
    Done,
}

/// Returns the next step.
pub(crate) fn decide(states: JournalStates, policy: RecoveryPolicy) -> Step {
    use ActiveState as Active;
    use NextState as Next;
    // Every failure is decided before any other step, so that a failed recovery has changed nothing.
    let is_refused = match states.active {
        Active::CorruptEnd => policy == RecoveryPolicy::Strict,
        Active::Corrupt => policy != RecoveryPolicy::TruncateAtFirstError,
        _ => false,
    };
    if states.active == Active::Invalid || is_refused {
        return Step::Fail(DamagedFile::Active);
    }
    if states.rotated == RotatedState::Corrupt {
        return Step::Fail(DamagedFile::Rotated);
    }
    let active_has_records =
        matches!(states.active, Active::Clean | Active::Torn | Active::CorruptEnd | Active::Corrupt);
    match states.next {
        Next::Empty => return Step::RemoveNext,
        // The writer writes a header into the prepared file only after the active name is free.
        Next::Valid if !active_has_records => {}
        Next::Absent => {}
        Next::Unexpected | Next::Stray | Next::Valid => {
            let is_quarantined = match policy {
                RecoveryPolicy::Strict => false,
                RecoveryPolicy::TruncateDamagedEnd => states.next == Next::Unexpected,
                RecoveryPolicy::TruncateAtFirstError => true,
            };
            return if is_quarantined { Step::QuarantineNext } else { Step::Fail(DamagedFile::Next) };
        }
    }
    if states.rotated == RotatedState::Unfinished {
        return Step::CloseRotated;
    }
    match (states.active, states.next) {
        (Active::Absent | Active::Empty, Next::Valid) => Step::PromoteNext,
        (Active::Absent, _) => Step::CreateActive,
        (Active::Empty, _) => Step::WriteHeader,
        (Active::Torn | Active::CorruptEnd | Active::Corrupt, _) => Step::TruncateActive,
        (Active::Invalid, _) => Step::Fail(DamagedFile::Active),
        (Active::Clean, _) => Step::Done,
    }
}
