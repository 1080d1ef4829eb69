//! The recovery table: every combination of what can be seen has exactly one next step. Pure; its test
//! enumerates all of it.

use crate::RecoveryPolicy;

/// The active segment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ActiveState {
    Absent,
    /// Empty, or its header was cut off while it was written: it holds no record.
    Empty,
    /// Everything verifies.
    Clean,
    /// A group that was never acknowledged stands at its end.
    Torn,
    /// Acknowledged data in it is damaged.
    Corrupt,
    /// It is no journal, its header is damaged, or it does not continue the newest archived segment.
    Invalid,
}

/// The newest archived segment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum RotatedState {
    Absent,
    Closed,
    /// It was not closed yet when the rotation was cut off.
    Unfinished,
    Corrupt,
}

/// The file prepared to be the next segment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum NextState {
    Absent,
    /// Nothing but padding, or a header that was cut off.
    Empty,
    /// It has a header, and continues the newest archived segment.
    Valid,
    /// It has something else in it.
    Unexpected,
}

/// All that the decision depends on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct JournalStates {
    pub(crate) active: ActiveState,
    pub(crate) rotated: RotatedState,
    pub(crate) next: NextState,
}

/// What is damaged, for the error.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum DamagedFile {
    Active,
    Rotated,
    Next,
}

/// The one thing to do next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Step {
    /// Change nothing, and say what is damaged.
    Fail(DamagedFile),
    /// Rename the prepared file to the active one: the last step of a rotation.
    PromoteNext,
    /// Delete a prepared file that holds nothing.
    RemoveNext,
    /// Rename a prepared file that should hold nothing to a name that is kept.
    QuarantineNext,
    /// Cut what was not acknowledged from the newest archived segment, and close it.
    CloseRotated,
    /// Create an active segment that continues the newest archived one.
    CreateActive,
    /// Give the blank active segment a header.
    WriteHeader,
    /// Cut everything behind the last verified group, and keep a copy.
    TruncateActive,
    /// Nothing is left to do.
    Done,
}

pub(crate) fn decide(states: JournalStates, policy: RecoveryPolicy) -> Step {
    use ActiveState as Active;
    use NextState as Next;
    // What is refused is refused first: nothing was changed then.
    let damage_refused = states.active == Active::Corrupt && policy == RecoveryPolicy::Strict;
    if states.active == Active::Invalid || damage_refused {
        return Step::Fail(DamagedFile::Active);
    }
    if states.rotated == RotatedState::Corrupt {
        return Step::Fail(DamagedFile::Rotated);
    }
    let holds_records = matches!(states.active, Active::Clean | Active::Torn | Active::Corrupt);
    match states.next {
        Next::Empty => return Step::RemoveNext,
        // A header is written into the prepared file only once the active name is free.
        Next::Unexpected | Next::Valid if holds_records || states.next == Next::Unexpected => {
            return match policy {
                RecoveryPolicy::Strict => Step::Fail(DamagedFile::Next),
                RecoveryPolicy::TruncateAtFirstError => Step::QuarantineNext,
            };
        }
        Next::Unexpected | Next::Valid | Next::Absent => {}
    }
    if states.rotated == RotatedState::Unfinished {
        return Step::CloseRotated;
    }
    match (states.active, states.next) {
        (Active::Absent | Active::Empty, Next::Valid) => Step::PromoteNext,
        (Active::Absent, _) => Step::CreateActive,
        (Active::Empty, _) => Step::WriteHeader,
        (Active::Torn | Active::Corrupt, _) => Step::TruncateActive,
        (Active::Invalid, _) => Step::Fail(DamagedFile::Active),
        (Active::Clean, _) => Step::Done,
    }
}
