//! Every combination of what can be seen, against the rules that the table is to keep.

use crate::{
    RecoveryPolicy::{self, Strict, TruncateAtFirstError},
    recovery::decide::{
        ActiveState::{self as Active, *},
        ArchivedState as Archived, Culprit, NextState as Next, States,
        Step::{self, *},
        decide,
    },
};

const ACTIVE: [Active; 6] = [Absent, Blank, Clean, Torn, Damaged, Unusable];
const ARCHIVED: [Archived; 4] = [Archived::Absent, Archived::Closed, Archived::Unfinished, Archived::Damaged];
const NEXT: [Next; 4] = [Next::Absent, Next::Blank, Next::Continues, Next::Foreign];
const POLICIES: [RecoveryPolicy; 2] = [Strict, TruncateAtFirstError];

/// More steps than this are never needed.
const STEPS_MAX: usize = 6;

pub(super) fn all_states() -> Vec<States> {
    let with_active = |active| {
        let with_archived = move |archived| NEXT.map(|next| States { active, archived, next });
        ARCHIVED.map(with_archived).concat()
    };
    ACTIVE.map(with_active).concat()
}

/// What is seen after a step; what the adopted file holds is known only then.
fn after(step: Step, states: States) -> Vec<States> {
    let next_gone = States { next: Next::Absent, ..states };
    match step {
        Ready | Refuse(_) => vec![],
        AdoptNext => [Clean, Torn].map(|active| States { active, ..next_gone }).to_vec(),
        RemoveNext | SetNextAside => vec![next_gone],
        FinishArchived => vec![States { archived: Archived::Closed, ..states }],
        CreateActive | WriteHeader | CutActive => vec![States { active: Clean, ..states }],
    }
}

/// The steps from here to the end, in every way it can go.
fn paths(states: States, policy: RecoveryPolicy) -> Vec<Vec<Step>> {
    let mut unfinished = vec![(states, vec![])];
    let mut finished = vec![];
    while let Some((states, mut steps)) = unfinished.pop() {
        assert!(steps.len() < STEPS_MAX, "no end to it: {states:?}, {policy:?}: {steps:?}");
        let step = decide(states, policy);
        steps.push(step);
        match step {
            Ready | Refuse(_) => finished.push(steps),
            step => unfinished.extend(after(step, states).into_iter().map(|states| (states, steps.clone()))),
        }
    }
    finished
}

pub(super) fn is_refused(states: States, policy: RecoveryPolicy) -> bool {
    paths(states, policy).iter().any(|steps| !steps.ends_with(&[Ready]))
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
                let refused = steps.iter().position(|step| matches!(step, Refuse(_)));
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
                && matches!(states.archived, Archived::Absent | Archived::Closed)
                && states.next == Next::Absent;
            assert_eq!(decide(states, policy) == Ready, done, "{states:?}, {policy:?}");
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
        let damaged = matches!(states.active, Damaged | Unusable) || states.archived == Archived::Damaged;
        if damaged {
            assert!(matches!(decide(states, Strict), Refuse(_)), "{states:?}");
        }
        let cut_or_moved = |step: &Step| matches!(step, SetNextAside) || (damaged && *step == CutActive);
        assert!(!paths(states, Strict).concat().iter().any(cut_or_moved), "{states:?}");
    }
}

#[test]
fn foreign_and_rotated_files_are_never_truncated() {
    for policy in POLICIES {
        for states in all_states() {
            if states.active == Unusable {
                assert_eq!(decide(states, policy), Refuse(Culprit::Active), "{states:?}");
            } else if states.archived == Archived::Damaged {
                assert!(matches!(decide(states, policy), Refuse(_)), "{states:?}");
            }
        }
    }
}

#[test]
fn a_file_with_records_is_never_removed_or_replaced() {
    for policy in POLICIES {
        for states in all_states() {
            match decide(states, policy) {
                RemoveNext => assert_eq!(states.next, Next::Blank, "{states:?}"),
                AdoptNext => {
                    assert_eq!(states.next, Next::Continues, "{states:?}");
                    assert!(matches!(states.active, Absent | Blank), "{states:?}");
                    assert_ne!(states.archived, Archived::Unfinished, "{states:?}: close it first");
                }
                CreateActive => {
                    assert_eq!((states.active, states.next), (Absent, Next::Absent), "{states:?}")
                }
                WriteHeader => assert_eq!((states.active, states.next), (Blank, Next::Absent), "{states:?}"),
                _ => {}
            }
        }
    }
}

#[test]
fn the_rows_that_matter() {
    let refuse = Refuse;
    for (active, archived, next, strict, cut) in [
        // A new journal; one whose creation was cut off.
        (Absent, Archived::Absent, Next::Absent, CreateActive, CreateActive),
        (Absent, Archived::Absent, Next::Blank, RemoveNext, RemoveNext),
        (Absent, Archived::Absent, Next::Continues, AdoptNext, AdoptNext),
        (Blank, Archived::Absent, Next::Absent, WriteHeader, WriteHeader),
        // Closed, or crashed in use.
        (Clean, Archived::Absent, Next::Absent, Ready, Ready),
        (Clean, Archived::Closed, Next::Absent, Ready, Ready),
        (Torn, Archived::Closed, Next::Absent, CutActive, CutActive),
        // A rotation cut off: prepared; archived; the successor begun; the successor named.
        (Clean, Archived::Closed, Next::Blank, RemoveNext, RemoveNext),
        (Torn, Archived::Absent, Next::Blank, RemoveNext, RemoveNext),
        (Absent, Archived::Unfinished, Next::Blank, RemoveNext, RemoveNext),
        (Absent, Archived::Unfinished, Next::Absent, FinishArchived, FinishArchived),
        (Absent, Archived::Unfinished, Next::Continues, FinishArchived, FinishArchived),
        (Absent, Archived::Closed, Next::Continues, AdoptNext, AdoptNext),
        (Absent, Archived::Closed, Next::Absent, CreateActive, CreateActive),
        (Clean, Archived::Unfinished, Next::Absent, FinishArchived, FinishArchived),
        (Torn, Archived::Unfinished, Next::Absent, FinishArchived, FinishArchived),
        // Damage.
        (Damaged, Archived::Absent, Next::Absent, refuse(Culprit::Active), CutActive),
        (Damaged, Archived::Closed, Next::Blank, refuse(Culprit::Active), RemoveNext),
        (Damaged, Archived::Unfinished, Next::Absent, refuse(Culprit::Active), FinishArchived),
        (Clean, Archived::Damaged, Next::Absent, refuse(Culprit::Archived), refuse(Culprit::Archived)),
        (Clean, Archived::Closed, Next::Continues, refuse(Culprit::Next), SetNextAside),
        (Absent, Archived::Closed, Next::Foreign, refuse(Culprit::Next), SetNextAside),
    ] {
        let states = States { active, archived, next };
        assert_eq!(decide(states, Strict), strict, "{states:?}");
        assert_eq!(decide(states, TruncateAtFirstError), cut, "{states:?}");
    }
}

fn describe(step: Step) -> &'static str {
    match step {
        Ready => "**ready**",
        Refuse(Culprit::Active) => "refuse: active",
        Refuse(Culprit::Archived) => "refuse: archived",
        Refuse(Culprit::Next) => "refuse: next",
        AdoptNext => "adopt next",
        RemoveNext => "remove next",
        SetNextAside => "set next aside",
        FinishArchived => "finish archived",
        CreateActive => "create active",
        WriteHeader => "write header",
        CutActive => "cut active",
    }
}

/// One row for what the active and the newest archived segment are, one column for the prepared one.
fn render() -> String {
    let head = "| active | archived | next: absent | blank | continues | foreign |\n| --- | --- | --- | --- | --- | --- |\n";
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
        let (active, archived) =
            (name(format!("{:?}", row[0].active)), name(format!("{:?}", row[0].archived)));
        format!("| {active} | {archived} | {} |\n", cells.collect::<Vec<_>>().join(" | "))
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
