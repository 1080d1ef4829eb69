//! Every combination of what can be seen, against the rules that the table is to keep.

use crate::{
    RecoveryPolicy::{self, Strict, TruncateAtFirstError},
    recovery::decide::{
        ActiveState::{self as Active, *},
        DamagedFile, JournalStates, NextState as Next, RotatedState as Rotated,
        Step::{self, *},
        decide,
    },
};

const ACTIVE: [Active; 6] = [Absent, Empty, Clean, Torn, Corrupt, Invalid];
const ROTATED: [Rotated; 4] = [Rotated::Absent, Rotated::Closed, Rotated::Unfinished, Rotated::Corrupt];
const NEXT: [Next; 4] = [Next::Absent, Next::Empty, Next::Valid, Next::Unexpected];
const POLICIES: [RecoveryPolicy; 2] = [Strict, TruncateAtFirstError];

/// More steps than this are never needed.
const STEPS_MAX: usize = 6;

pub(super) fn all_states() -> Vec<JournalStates> {
    let with_active = |active| {
        let with_archived = move |rotated| NEXT.map(|next| JournalStates { active, rotated, next });
        ROTATED.map(with_archived).concat()
    };
    ACTIVE.map(with_active).concat()
}

/// What is seen after a step; what the adopted file holds is known only then.
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

/// The steps from here to the end, in every way it can go.
fn paths(states: JournalStates, policy: RecoveryPolicy) -> Vec<Vec<Step>> {
    let mut unfinished = vec![(states, vec![])];
    let mut finished = vec![];
    while let Some((states, mut steps)) = unfinished.pop() {
        assert!(steps.len() < STEPS_MAX, "no end to it: {states:?}, {policy:?}: {steps:?}");
        let step = decide(states, policy);
        steps.push(step);
        match step {
            Done | Fail(_) => finished.push(steps),
            step => unfinished.extend(after(step, states).into_iter().map(|states| (states, steps.clone()))),
        }
    }
    finished
}

pub(super) fn is_refused(states: JournalStates, policy: RecoveryPolicy) -> bool {
    paths(states, policy).iter().any(|steps| !steps.ends_with(&[Done]))
}

#[test]
fn from_every_state_an_end_is_reached_in_a_few_steps() {
    assert_eq!(all_states().len(), 96);
    for policy in POLICIES {
        for states in all_states() {
            assert!(!paths(states, policy).is_empty());
        }
    }
}

#[test]
fn a_refusal_is_the_first_step_so_that_nothing_was_changed() {
    for policy in POLICIES {
        for states in all_states() {
            for steps in paths(states, policy) {
                let refused = steps.iter().position(|step| matches!(step, Fail(_)));
                assert!(refused.is_none_or(|at| at == 0), "{states:?}, {policy:?}: {steps:?}");
            }
        }
    }
}

#[test]
fn ready_means_that_nothing_is_left_to_do() {
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
fn what_strict_accepts_the_other_policy_accepts() {
    for states in all_states() {
        if !is_refused(states, Strict) {
            assert!(!is_refused(states, TruncateAtFirstError), "{states:?}");
        }
    }
}

#[test]
fn strict_refuses_damage_wherever_it_is() {
    for states in all_states() {
        let damaged = matches!(states.active, Corrupt | Invalid) || states.rotated == Rotated::Corrupt;
        if damaged {
            assert!(matches!(decide(states, Strict), Fail(_)), "{states:?}");
        }
        let cut_or_moved =
            |step: &Step| matches!(step, QuarantineNext) || (damaged && *step == TruncateActive);
        assert!(!paths(states, Strict).concat().iter().any(cut_or_moved), "{states:?}");
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
fn a_file_with_records_is_never_removed_or_replaced() {
    for policy in POLICIES {
        for states in all_states() {
            match decide(states, policy) {
                RemoveNext => assert_eq!(states.next, Next::Empty, "{states:?}"),
                PromoteNext => {
                    assert_eq!(states.next, Next::Valid, "{states:?}");
                    assert!(matches!(states.active, Absent | Empty), "{states:?}");
                    assert_ne!(states.rotated, Rotated::Unfinished, "{states:?}: close it first");
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
fn the_rows_that_matter() {
    let refuse = Fail;
    for (active, rotated, next, strict, cut) in [
        // A new journal; one whose creation was cut off.
        (Absent, Rotated::Absent, Next::Absent, CreateActive, CreateActive),
        (Absent, Rotated::Absent, Next::Empty, RemoveNext, RemoveNext),
        (Absent, Rotated::Absent, Next::Valid, PromoteNext, PromoteNext),
        (Empty, Rotated::Absent, Next::Absent, WriteHeader, WriteHeader),
        // Closed, or crashed in use.
        (Clean, Rotated::Absent, Next::Absent, Done, Done),
        (Clean, Rotated::Closed, Next::Absent, Done, Done),
        (Torn, Rotated::Closed, Next::Absent, TruncateActive, TruncateActive),
        // A rotation cut off: prepared; archived; the successor begun; the successor named.
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
        (Corrupt, Rotated::Absent, Next::Absent, refuse(DamagedFile::Active), TruncateActive),
        (Corrupt, Rotated::Closed, Next::Empty, refuse(DamagedFile::Active), RemoveNext),
        (Corrupt, Rotated::Unfinished, Next::Absent, refuse(DamagedFile::Active), CloseRotated),
        (Clean, Rotated::Corrupt, Next::Absent, refuse(DamagedFile::Rotated), refuse(DamagedFile::Rotated)),
        (Clean, Rotated::Closed, Next::Valid, refuse(DamagedFile::Next), QuarantineNext),
        (Absent, Rotated::Closed, Next::Unexpected, refuse(DamagedFile::Next), QuarantineNext),
    ] {
        let states = JournalStates { active, rotated, next };
        assert_eq!(decide(states, Strict), strict, "{states:?}");
        assert_eq!(decide(states, TruncateAtFirstError), cut, "{states:?}");
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

/// One row for what the active and the newest archived segment are, one column for the prepared one.
fn render() -> String {
    let head = "| active | rotated | next: absent | empty | valid | unexpected |\n| --- | --- | --- | --- | --- | --- |\n";
    let states = all_states();
    let rows = states.chunks(NEXT.len()).map(|row| {
        let cells = row.iter().map(|&states| {
            let (strict, cut) = (decide(states, Strict), decide(states, TruncateAtFirstError));
            if strict == cut {
                describe(strict).to_owned()
            } else {
                format!("{} / {}", describe(strict), describe(cut))
            }
        });
        let name = |state: String| state.to_lowercase();
        let (active, rotated) = (name(format!("{:?}", row[0].active)), name(format!("{:?}", row[0].rotated)));
        format!("| {active} | {rotated} | {} |\n", cells.collect::<Vec<_>>().join(" | "))
    });
    rows.fold(head.to_owned(), |table, row| table + &row)
}

#[test]
fn the_documented_table_is_the_one_in_force() {
    let documented = include_str!("../../../docs/reference/recovery.md");
    assert!(
        documented.contains(&render()),
        "docs/reference/recovery.md is to hold this table:\n\n{}",
        render()
    );
}
