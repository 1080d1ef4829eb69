//! SIGKILL at random moments. `KILLED_ROUNDS=5000` for a longer run, `KILLED_SEED=7` for another one.

use std::env;

use ministore_crash::{
    place::{On, shout},
    recovery::{self, Crash},
    rounds,
};
use ministore_uring::Backend;

use super::{parent, program};

fn number(name: &str, default: u32) -> u32 {
    env::var(name).map_or(default, |text| text.parse().expect("a number"))
}

fn no_acknowledged_record_is_lost_over_hundreds_of_kills(on: Backend) {
    let rounds = number("KILLED_ROUNDS", 100);
    let seed = number("KILLED_SEED", 1).into();
    let (program, parent) = (program().into(), parent().into());
    let on = On(on);
    if !ministore_crash::place::backends(super::parent()).contains(&on) {
        return;
    }
    let figures = rounds::run(&rounds::Run { program, parent, on, rounds, seed });
    shout(format_args!("{on}: {figures}"));
    assert_eq!(figures.kills, rounds);
    assert!(
        figures.in_open > 0 && figures.in_rotation > 0,
        "a run that hits nothing shows nothing: {figures}"
    );
    assert!(figures.acknowledged > 0 && figures.readings > 0, "{figures}");
}

// Two tests, so that they run side by side.

#[test]
fn no_acknowledged_record_is_lost_over_hundreds_of_kills_on_uring() {
    no_acknowledged_record_is_lost_over_hundreds_of_kills(Backend::Uring);
}

#[test]
fn no_acknowledged_record_is_lost_over_hundreds_of_kills_on_blocking_calls() {
    no_acknowledged_record_is_lost_over_hundreds_of_kills(Backend::Blocking);
}

#[test]
fn a_recovery_that_is_killed_again_and_again_comes_to_its_end() {
    super::on_each_backend(|on| {
        for crash in [Crash::Torn, Crash::Archived] {
            let run = recovery::Run {
                program: program().into(),
                parent: parent().into(),
                on,
                crash,
                kills: number("KILLED_ROUNDS", 100) / 10,
                seed: number("KILLED_SEED", 1).into(),
            };
            let figures = recovery::run(&run);
            shout(format_args!("{crash:?} on {on}: {figures}"));
            assert!(figures.in_recovery > 0 && figures.recovered > 0, "{figures}");
        }
    });
}
