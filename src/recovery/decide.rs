//! The recovery table: every combination of what can be seen has exactly one next step. Pure; its test
//! enumerates all of it.

use crate::RecoveryPolicy;

/// The active segment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ActiveState {
    Absent,
    /// Empty, or its header was cut off while it was written: it holds no record.
    Blank,
    /// Everything verifies.
    Clean,
    /// A group that was never acknowledged stands at its end.
    Torn,
    /// Acknowledged data in it is damaged.
    Damaged,
    /// It is no journal, its header is damaged, or it does not continue the newest archived segment.
    Unusable,
}

/// The newest archived segment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ArchivedState {
    Absent,
    Closed,
    /// It was not closed yet when the rotation was cut off.
    Unfinished,
    Damaged,
}

/// The file prepared to be the next segment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum NextState {
    Absent,
    /// Nothing but padding, or a header that was cut off.
    Blank,
    /// It has a header, and continues the newest archived segment.
    Continues,
    /// It has something else in it.
    Foreign,
}

/// All that the decision depends on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct States {
    pub(crate) active: ActiveState,
    pub(crate) archived: ArchivedState,
    pub(crate) next: NextState,
}

/// What is damaged, for the error.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Culprit {
    Active,
    Archived,
    Next,
}

/// The one thing to do next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Step {
    /// Change nothing, and say what is damaged.
    Refuse(Culprit),
    /// Rename the prepared file to the active one: the last step of a rotation.
    AdoptNext,
    /// Delete a prepared file that holds nothing.
    RemoveNext,
    /// Rename a prepared file that should hold nothing to a name that is kept.
    SetNextAside,
    /// Cut what was not acknowledged from the newest archived segment, and close it.
    FinishArchived,
    /// Create an active segment that continues the newest archived one.
    CreateActive,
    /// Give the blank active segment a header.
    WriteHeader,
    /// Cut everything behind the last verified group, and keep a copy.
    CutActive,
    /// Nothing is left to do.
    Ready,
}

pub(crate) fn decide(states: States, policy: RecoveryPolicy) -> Step {
    use ActiveState as Active;
    use NextState as Next;
    // What is refused is refused first: nothing was changed then.
    let damage_refused = states.active == Active::Damaged && policy == RecoveryPolicy::Strict;
    if states.active == Active::Unusable || damage_refused {
        return Step::Refuse(Culprit::Active);
    }
    if states.archived == ArchivedState::Damaged {
        return Step::Refuse(Culprit::Archived);
    }
    let holds_records = matches!(states.active, Active::Clean | Active::Torn | Active::Damaged);
    match states.next {
        Next::Blank => return Step::RemoveNext,
        // A header is written into the prepared file only once the active name is free.
        Next::Foreign | Next::Continues if holds_records || states.next == Next::Foreign => {
            return match policy {
                RecoveryPolicy::Strict => Step::Refuse(Culprit::Next),
                RecoveryPolicy::TruncateAtFirstError => Step::SetNextAside,
            };
        }
        Next::Foreign | Next::Continues | Next::Absent => {}
    }
    if states.archived == ArchivedState::Unfinished {
        return Step::FinishArchived;
    }
    match (states.active, states.next) {
        (Active::Absent | Active::Blank, Next::Continues) => Step::AdoptNext,
        (Active::Absent, _) => Step::CreateActive,
        (Active::Blank, _) => Step::WriteHeader,
        (Active::Torn | Active::Damaged, _) => Step::CutActive,
        (Active::Unusable, _) => Step::Refuse(Culprit::Active),
        (Active::Clean, _) => Step::Ready,
    }
}
