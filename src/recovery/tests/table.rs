//! Checks the rules of the recovery table for every combination of file states.

use crate::{
    RecoveryPolicy::{self, Strict, TruncateAtFirstError, TruncateDamagedEnd},
    recovery::decide::{
        ActiveState::{self as Active, *},
        DamagedFile, JournalStates, NextState as Next, RotatedState as Rotated,
        Step::{self, *},
        decide,
    },
};

const ACTIVE: [Active; 7] = [Absent, Empty, Clean, Torn, CorruptEnd, Corrupt, Invalid];
const ROTATED: [Rotated; 4] = [Rotated::Absent, Rotated::Closed, Rotated::Unfinished, Rotated::Corrupt];
const NEXT: [Next; 5] = [Next::Absent, Next::Empty, Next::Valid, Next::Unexpected, Next::Stray];
pub(super) const POLICIES: [RecoveryPolicy; 3] = [Strict, TruncateDamagedEnd, TruncateAtFirstError];

/// The most steps of a recovery.
const MAX_STEPS: usize = 6;

pub(super) fn all_states() -> Vec<JournalStates> {
    let with_active = |active| {
        let with_rotated = move |rotated| NEXT.map(|next| JournalStates { active, rotated, next });
        ROTATED.map(with_rotated).concat()
    };
    ACTIVE.map(with_active).concat()
}

/// Returns the possible states after a step. The content of a promoted file is known only after the step.
fn after(step: Step, states: JournalStates) -> Vec<JournalStates> {
    let next_gone = JournalStates { next: Next::Absent, ..states };
    match step {
        Done | Fail(_) => vec![],
        PromoteNext => [Clean, Torn].map(|active| JournalStates { active, ..next_gone }).to_vec(),
        RemoveNext | QuarantineNext => vec![next_gone],
        CloseRotated => vec![JournalStates { rotated: Rotated::Closed, ..states }],
        CreateActive | WriteHeader | TruncateActive => vec![JournalStates { active: Clean, ..states }],
    }
}

/// Returns all possible sequences of steps from these states to the end.
fn paths(states: JournalStates, policy: RecoveryPolicy) -> Vec<Vec<Step>> {
    let mut unfinished = vec![(states, vec![])];
    let mut finished = vec![];
    while let Some((states, mut steps)) = unfinished.pop() {
        assert!(steps.len() < MAX_STEPS, "too many steps: {states:?}, {policy:?}: {steps:?}");
        let step = decide(states, policy);
        steps.push(step);
        match step {
            Done | Fail(_) => finished.push(steps),
            step => unfinished.extend(after(step, states).into_iter().map(|states| (states, steps.clone()))),
        }
    }
    finished
}

/// Returns whether recovery fails.
pub(super) fn is_refused(states: JournalStates, policy: RecoveryPolicy) -> bool {
    paths(states, policy).iter().any(|steps| !steps.ends_with(&[Done]))
}

#[test]
fn recovery_ends_from_every_state() {
    assert_eq!(all_states().len(), 140);
    for policy in POLICIES {
        for states in all_states() {
            assert!(!paths(states, policy).is_empty());
        }
    }
}

#[test]
fn failure_is_always_the_first_step() {
    for policy in POLICIES {
        for states in all_states() {
            for steps in paths(states, policy) {
                let failed = steps.iter().position(|step| matches!(step, Fail(_)));
                assert!(failed.is_none_or(|at| at == 0), "{states:?}, {policy:?}: {steps:?}");
            }
        }
    }
}

#[test]
fn done_is_decided_only_in_final_states() {
    for policy in POLICIES {
        for states in all_states() {
            let done = states.active == Clean
                && matches!(states.rotated, Rotated::Absent | Rotated::Closed)
                && states.next == Next::Absent;
            assert_eq!(decide(states, policy) == Done, done, "{states:?}, {policy:?}");
        }
    }
}

#[test]
fn each_policy_accepts_all_that_a_stricter_one_does() {
    for states in all_states() {
        for policies in POLICIES.windows(2) {
            assert!(is_refused(states, policies[0]) || !is_refused(states, policies[1]), "{states:?}");
        }
    }
}

#[test]
fn only_truncation_at_first_error_drops_verified_data() {
    for states in all_states() {
        for policy in [Strict, TruncateDamagedEnd] {
            for step in paths(states, policy).concat() {
                match step {
                    TruncateActive => assert_ne!(states.active, Corrupt, "{states:?}, {policy:?}"),
                    QuarantineNext => assert_eq!(states.next, Next::Unexpected, "{states:?}, {policy:?}"),
                    _ => {}
                }
            }
        }
    }
}

#[test]
fn strict_policy_rejects_all_damage() {
    for states in all_states() {
        let is_damaged =
            matches!(states.active, CorruptEnd | Corrupt | Invalid) || states.rotated == Rotated::Corrupt;
        if is_damaged {
            assert!(matches!(decide(states, Strict), Fail(_)), "{states:?}");
        }
        let truncates_or_moves =
            |step: &Step| matches!(step, QuarantineNext) || (is_damaged && *step == TruncateActive);
        assert!(!paths(states, Strict).concat().iter().any(truncates_or_moves), "{states:?}");
    }
}

#[test]
fn foreign_and_rotated_files_are_never_truncated() {
    for policy in POLICIES {
        for states in all_states() {
            if states.active == Invalid {
                assert_eq!(decide(states, policy), Fail(DamagedFile::Active), "{states:?}");
            } else if states.rotated == Rotated::Corrupt {
                assert!(matches!(decide(states, policy), Fail(_)), "{states:?}");
            }
        }
    }
}

#[test]
fn file_with_records_is_never_removed_or_replaced() {
    for policy in POLICIES {
        for states in all_states() {
            match decide(states, policy) {
                RemoveNext => assert_eq!(states.next, Next::Empty, "{states:?}"),
                PromoteNext => {
                    assert_eq!(states.next, Next::Valid, "{states:?}");
                    assert!(matches!(states.active, Absent | Empty), "{states:?}");
                    assert_ne!(
                        states.rotated,
                        Rotated::Unfinished,
                        "{states:?}: the rotated segment must be closed first"
                    );
                }
                CreateActive => {
                    assert_eq!((states.active, states.next), (Absent, Next::Absent), "{states:?}")
                }
                WriteHeader => assert_eq!((states.active, states.next), (Empty, Next::Absent), "{states:?}"),
                _ => {}
            }
        }
    }
}

#[test]
fn important_rows_have_expected_steps() {
    for (active, rotated, next, strict, truncating) in [
        // A new journal, and interrupted creations.
        (Absent, Rotated::Absent, Next::Absent, CreateActive, CreateActive),
        (Absent, Rotated::Absent, Next::Empty, RemoveNext, RemoveNext),
        (Absent, Rotated::Absent, Next::Valid, PromoteNext, PromoteNext),
        (Empty, Rotated::Absent, Next::Absent, WriteHeader, WriteHeader),
        // Closed, or crashed while in use.
        (Clean, Rotated::Absent, Next::Absent, Done, Done),
        (Clean, Rotated::Closed, Next::Absent, Done, Done),
        (Torn, Rotated::Closed, Next::Absent, TruncateActive, TruncateActive),
        // An interrupted rotation: next segment prepared, old one renamed, next one started, next one renamed.
        (Clean, Rotated::Closed, Next::Empty, RemoveNext, RemoveNext),
        (Torn, Rotated::Absent, Next::Empty, RemoveNext, RemoveNext),
        (Absent, Rotated::Unfinished, Next::Empty, RemoveNext, RemoveNext),
        (Absent, Rotated::Unfinished, Next::Absent, CloseRotated, CloseRotated),
        (Absent, Rotated::Unfinished, Next::Valid, CloseRotated, CloseRotated),
        (Absent, Rotated::Closed, Next::Valid, PromoteNext, PromoteNext),
        (Absent, Rotated::Closed, Next::Absent, CreateActive, CreateActive),
        (Clean, Rotated::Unfinished, Next::Absent, CloseRotated, CloseRotated),
        (Torn, Rotated::Unfinished, Next::Absent, CloseRotated, CloseRotated),
        // Damage.
        (CorruptEnd, Rotated::Absent, Next::Absent, Fail(DamagedFile::Active), TruncateActive),
        (Corrupt, Rotated::Absent, Next::Absent, Fail(DamagedFile::Active), TruncateActive),
        (Corrupt, Rotated::Closed, Next::Empty, Fail(DamagedFile::Active), RemoveNext),
        (Corrupt, Rotated::Unfinished, Next::Absent, Fail(DamagedFile::Active), CloseRotated),
        (Clean, Rotated::Corrupt, Next::Absent, Fail(DamagedFile::Rotated), Fail(DamagedFile::Rotated)),
        (Clean, Rotated::Closed, Next::Valid, Fail(DamagedFile::Next), QuarantineNext),
        (Absent, Rotated::Closed, Next::Unexpected, Fail(DamagedFile::Next), QuarantineNext),
        (Absent, Rotated::Closed, Next::Stray, Fail(DamagedFile::Next), QuarantineNext),
    ] {
        let states = JournalStates { active, rotated, next };
        assert_eq!(decide(states, Strict), strict, "{states:?}");
        assert_eq!(decide(states, TruncateAtFirstError), truncating, "{states:?}");
        let keeps_damage = active == Corrupt || matches!(next, Next::Stray | Next::Valid);
        let damaged_end = if keeps_damage { strict } else { truncating };
        assert_eq!(decide(states, TruncateDamagedEnd), damaged_end, "{states:?}");
    }
}

fn describe(step: Step) -> &'static str {
    match step {
        Done => "**done**",
        Fail(DamagedFile::Active) => "fail: active",
        Fail(DamagedFile::Rotated) => "fail: rotated",
        Fail(DamagedFile::Next) => "fail: next",
        PromoteNext => "promote next",
        RemoveNext => "remove next",
        QuarantineNext => "quarantine next",
        CloseRotated => "close rotated",
        CreateActive => "create active",
        WriteHeader => "write header",
        TruncateActive => "truncate active",
    }
}

/// Renders the table: one row for the states of the active and the newest rotated segment, one column for the prepared file.
fn render() -> String {
    let head = "| active | rotated | next: absent | empty | valid | unexpected | stray |\n\
                | --- | --- | --- | --- | --- | --- | --- |\n";
    let states = all_states();
    let rows = states.chunks(NEXT.len()).map(|row| {
        let cells = row.iter().map(|&states| {
            let mut steps = POLICIES.map(|policy| describe(decide(states, policy))).to_vec();
            if steps.iter().all(|step| *step == steps[0]) {
                steps.truncate(1);
            }
            steps.join(" / ")
        });
        let name = |state: String| state.replace("End", " end").to_lowercase();
        let (active, rotated) = (name(format!("{:?}", row[0].active)), name(format!("{:?}", row[0].rotated)));
        format!("| {active} | {rotated} | {} |\n", cells.collect::<Vec<_>>().join(" | "))
    });
    rows.fold(head.to_owned(), |table, row| table + &row)
}

#[test]
fn documented_table_matches_code() {
    let documented = include_str!("../../../docs/reference/recovery.md");
    assert!(
        documented.contains(&render()),
        "docs/reference/recovery.md must contain this table:\n\n{}",
        render()
    );
}
