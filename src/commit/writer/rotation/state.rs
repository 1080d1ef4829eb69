//! The rotation table: the state of a rotation, the next step of each state, and the state after each event. Pure; a test
//! enumerates all combinations.

use std::{path::PathBuf, sync::Arc};

use crate::{background::job::RotatedSegment, io::FileHandle};

/// The state of a rotation, from the creation of the next segment on.
#[derive(Debug, Clone, Default)]
pub(super) enum RotationState {
    /// There is no next segment.
    #[default]
    Idle,
    /// The background thread creates the next segment.
    Creating { bytes: u64 },
    /// The next segment exists.
    Created(NextSegment),
    /// It is also open for commits, so that the switch needs no further file descriptor.
    Prepared(NextSegment),
    /// The background thread renames the active segment to its name as a rotated segment.
    Renaming(NextSegment, RotatedName),
    /// The active name is free.
    Renamed(NextSegment, RotatedName),
    /// Commits go to the new segment, which does not have its name yet. The rotated one is closed after that.
    Publishing(RotatedSegment),
}

/// The file that becomes the next segment.
#[derive(Debug, Clone)]
pub(super) struct NextSegment {
    pub(super) file: Arc<dyn FileHandle>,
    /// Its preallocated bytes.
    pub(super) bytes: u64,
}

/// The name of the active segment as a rotated one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct RotatedName {
    pub(super) path: PathBuf,
    pub(super) number: u64,
}

/// An event that changes the state of a rotation.
#[derive(Debug, Clone)]
pub(super) enum RotationEvent {
    CreateSubmitted {
        bytes: u64,
    },
    Created(Arc<dyn FileHandle>),
    NotCreated,
    OpenedForCommits,
    /// Another process removed or replaced the next segment.
    NextLost,
    RenameSubmitted(RotatedName),
    Renamed,
    NotRenamed,
    Switched(RotatedSegment),
    Published,
}

/// Whether the segment before the active one is closed. The next rotation waits for that, so that a rotated segment
/// without its close marker is either the newest or damaged.
#[derive(Debug, Clone)]
pub(super) enum PreviousSegment {
    Closed,
    Closing,
    /// The disk was full.
    Deferred(RotatedSegment),
}

/// What the next step depends on, apart from the state.
#[derive(Debug, Clone, Copy)]
pub(super) struct RotationFacts<'a> {
    /// The active segment is so full that the next one should be created.
    pub(super) wants_next: bool,
    /// The active segment is full, or a caller has requested a rotation.
    pub(super) is_due: bool,
    /// The last attempt failed, and no other one is allowed yet.
    pub(super) retry_waits: bool,
    pub(super) previous: &'a PreviousSegment,
    /// The header of the active segment is durable.
    pub(super) header_written: bool,
}

/// A step of a rotation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum RotationStep {
    CreateNext,
    OpenNext,
    ClosePrevious,
    RenameActive,
    /// Commit to the next segment from now on.
    Switch,
    /// Rename the new segment to the active name.
    Publish,
}

impl RotationState {
    /// Returns the step that can be started now.
    pub(super) fn next_step(&self, facts: RotationFacts<'_>) -> Option<RotationStep> {
        use RotationStep as Step;
        match self {
            // The old segment has lost the active name: this cannot wait.
            Self::Renamed(..) => Some(Step::Switch),
            _ if facts.retry_waits => None,
            Self::Publishing(_) => facts.header_written.then_some(Step::Publish),
            Self::Renaming(..) => None,
            _ if facts.is_due && matches!(facts.previous, PreviousSegment::Deferred(_)) => {
                Some(Step::ClosePrevious)
            }
            Self::Idle => facts.wants_next.then_some(Step::CreateNext),
            Self::Creating { .. } => None,
            Self::Created(_) => Some(Step::OpenNext),
            Self::Prepared(_) => {
                let is_closed = matches!(facts.previous, PreviousSegment::Closed);
                (facts.is_due && is_closed).then_some(Step::RenameActive)
            }
        }
    }

    /// Returns the state after an event. An event that does not belong to this state changes nothing.
    pub(super) fn after(self, event: RotationEvent) -> Self {
        use RotationEvent as Event;
        match (self, event) {
            (Self::Idle, Event::CreateSubmitted { bytes }) => Self::Creating { bytes },
            (Self::Creating { bytes }, Event::Created(file)) => Self::Created(NextSegment { file, bytes }),
            (Self::Creating { .. }, Event::NotCreated)
            | (Self::Created(_) | Self::Prepared(_) | Self::Renaming(..), Event::NextLost)
            | (Self::Publishing(_), Event::Published) => Self::Idle,
            (Self::Created(next), Event::OpenedForCommits) => Self::Prepared(next),
            (Self::Prepared(next), Event::RenameSubmitted(name)) => Self::Renaming(next, name),
            (Self::Renaming(next, name), Event::Renamed) => Self::Renamed(next, name),
            (Self::Renaming(next, _), Event::NotRenamed) => Self::Prepared(next),
            (Self::Renamed(..), Event::Switched(rotated)) => Self::Publishing(rotated),
            (unchanged, _) => unchanged,
        }
    }

    /// Returns whether the active segment has lost its name, or is losing it.
    pub(super) fn is_renaming(&self) -> bool {
        matches!(self, Self::Renaming(..) | Self::Renamed(..))
    }

    /// Returns whether the background thread works on it: the state changes without a step.
    pub(super) fn awaits_job(&self) -> bool {
        matches!(self, Self::Creating { .. } | Self::Renaming(..))
    }
}
