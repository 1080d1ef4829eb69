//! Checks the rotation table for every combination of a state with facts and with events.

#![allow(clippy::unwrap_used, reason = "tests")]

use std::{mem, sync::Arc};

use super::state::{
    NextSegment, PreviousSegment, RotatedName, RotationEvent, RotationFacts, RotationState, RotationStep,
};
use crate::{
    background::job::RotatedSegment,
    io::{FileHandle, OpenMode, os_file_system},
};

/// The most steps of a rotation.
const MAX_STEPS: usize = 5;

fn file() -> Arc<dyn FileHandle> {
    let file = tempfile::NamedTempFile::new().unwrap();
    os_file_system().open(file.path(), OpenMode::ReadOnly).unwrap()
}

fn rotated() -> RotatedSegment {
    RotatedSegment { file: file(), data_end: 9, checksummed: true, number: 1, applies_retention: true }
}

fn all_states() -> [RotationState; 7] {
    let next = NextSegment { file: file(), bytes: 1 };
    let name = RotatedName { path: "j.001".into(), number: 1 };
    [
        RotationState::Idle,
        RotationState::Creating { bytes: 1 },
        RotationState::Created(next.clone()),
        RotationState::Prepared(next.clone()),
        RotationState::Renaming(next.clone(), name.clone()),
        RotationState::Renamed(next, name),
        RotationState::Publishing(rotated()),
    ]
}

fn all_events() -> [RotationEvent; 10] {
    [
        RotationEvent::CreateSubmitted { bytes: 1 },
        RotationEvent::Created(file()),
        RotationEvent::NotCreated,
        RotationEvent::OpenedForCommits,
        RotationEvent::NextLost,
        RotationEvent::RenameSubmitted(RotatedName { path: "j.001".into(), number: 1 }),
        RotationEvent::Renamed,
        RotationEvent::NotRenamed,
        RotationEvent::Switched(rotated()),
        RotationEvent::Published,
    ]
}

fn name_of(state: &RotationState) -> &'static str {
    match state {
        RotationState::Idle => "Idle",
        RotationState::Creating { .. } => "Creating",
        RotationState::Created(_) => "Created",
        RotationState::Prepared(_) => "Prepared",
        RotationState::Renaming(..) => "Renaming",
        RotationState::Renamed(..) => "Renamed",
        RotationState::Publishing(_) => "Publishing",
    }
}

fn for_all_facts(mut check: impl FnMut(RotationFacts<'_>)) {
    for previous in [PreviousSegment::Closed, PreviousSegment::Closing, PreviousSegment::Deferred(rotated())]
    {
        for bits in 0..16u8 {
            let bit = |at: u8| bits >> at & 1 == 1;
            check(RotationFacts {
                wants_next: bit(0),
                is_due: bit(1),
                retry_waits: bit(2),
                previous: &previous,
                header_written: bit(3),
            });
        }
    }
}

/// Returns the event of a step that succeeds, or of the job that the state waits for.
fn success(state: &RotationState, step: Option<RotationStep>) -> Option<RotationEvent> {
    match (step, state) {
        (Some(RotationStep::CreateNext), _) => Some(RotationEvent::CreateSubmitted { bytes: 1 }),
        (Some(RotationStep::OpenNext), _) => Some(RotationEvent::OpenedForCommits),
        (Some(RotationStep::RenameActive), _) => {
            Some(RotationEvent::RenameSubmitted(RotatedName { path: "j.001".into(), number: 1 }))
        }
        (Some(RotationStep::Switch), _) => Some(RotationEvent::Switched(rotated())),
        (Some(RotationStep::Publish), _) => Some(RotationEvent::Published),
        (None, RotationState::Creating { .. }) => Some(RotationEvent::Created(file())),
        (None, RotationState::Renaming(..)) => Some(RotationEvent::Renamed),
        (Some(RotationStep::ClosePrevious) | None, _) => None,
    }
}

#[test]
fn rotation_ends_from_every_state() {
    let facts = RotationFacts {
        wants_next: true,
        is_due: true,
        retry_waits: false,
        previous: &PreviousSegment::Closed,
        header_written: true,
    };
    for mut state in all_states() {
        let mut steps = Vec::new();
        loop {
            let step = state.next_step(facts);
            steps.extend(step);
            let event = success(&state, step).unwrap();
            let is_published = matches!(event, RotationEvent::Published);
            let before = name_of(&state);
            state = mem::take(&mut state).after(event);
            assert_ne!(before, name_of(&state), "a step without an effect: {steps:?}");
            if is_published {
                break;
            }
        }
        assert!(matches!(state, RotationState::Idle) && steps.len() <= MAX_STEPS, "{steps:?}");
    }
}

#[test]
fn active_segment_is_renamed_only_when_all_is_ready() {
    for state in all_states() {
        for_all_facts(|facts| {
            if state.next_step(facts) == Some(RotationStep::RenameActive) {
                assert!(matches!(state, RotationState::Prepared(_)), "{state:?}");
                assert!(facts.is_due && !facts.retry_waits, "{facts:?}");
                assert!(matches!(facts.previous, PreviousSegment::Closed), "{facts:?}");
            }
        });
    }
}

#[test]
fn renamed_segment_is_switched_whatever_else_fails() {
    for state in all_states() {
        for_all_facts(|facts| {
            let is_renamed = matches!(state, RotationState::Renamed(..));
            assert_eq!(state.next_step(facts) == Some(RotationStep::Switch), is_renamed, "{facts:?}");
        });
    }
}

#[test]
fn waiting_retry_allows_no_other_step() {
    for state in all_states() {
        for_all_facts(|facts| {
            let step = state.next_step(facts);
            let is_allowed = step.is_none() || step == Some(RotationStep::Switch);
            assert!(is_allowed || !facts.retry_waits, "{state:?}: {step:?}");
        });
    }
}

#[test]
fn new_segment_is_published_after_its_header() {
    for state in all_states() {
        for_all_facts(|facts| {
            if state.next_step(facts) == Some(RotationStep::Publish) {
                assert!(matches!(state, RotationState::Publishing(_)) && facts.header_written);
            }
        });
    }
}

#[test]
fn previous_segment_is_closed_before_next_rotation() {
    for state in all_states() {
        for_all_facts(|facts| {
            if state.next_step(facts) == Some(RotationStep::ClosePrevious) {
                assert!(matches!(facts.previous, PreviousSegment::Deferred(_)) && facts.is_due);
                assert!(!state.is_renaming(), "{state:?}");
            }
        });
    }
}

#[test]
fn only_these_events_change_the_state() {
    let mut changes = Vec::new();
    for state in all_states() {
        for event in all_events() {
            let (before, after) = (name_of(&state), state.clone().after(event.clone()));
            if before != name_of(&after) {
                let event = format!("{event:?}");
                let event = event.split(['(', ' ']).next().unwrap().to_owned();
                changes.push(format!("{before} {event} {}", name_of(&after)));
            }
        }
    }
    let expected = [
        "Idle CreateSubmitted Creating",
        "Creating Created Created",
        "Creating NotCreated Idle",
        "Created OpenedForCommits Prepared",
        "Created NextLost Idle",
        "Prepared NextLost Idle",
        "Prepared RenameSubmitted Renaming",
        "Renaming NextLost Idle",
        "Renaming Renamed Renamed",
        "Renaming NotRenamed Prepared",
        "Renamed Switched Publishing",
        "Publishing Published Idle",
    ];
    assert_eq!(changes, expected);
}
