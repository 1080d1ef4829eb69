//! SIGKILL at random moments. `CRASH_ROUNDS=5000` runs longer, `CRASH_SEED=7` makes other choices.

use std::env;

use ministore_crash::{
    recovery::{self, CrashState, RecoveryKillConfig},
    rounds::{self, KillConfig},
    workdir::{self, print_uncaptured},
};
use ministore_uring::Backend;

use super::{base_dir, on_each_backend, program};

fn env_number(name: &str, default: u32) -> u32 {
    env::var(name).map_or(default, |text| text.parse().expect("a number"))
}

fn check_kills(backend: Backend) {
    let rounds = env_number("CRASH_ROUNDS", 100);
    let seed = env_number("CRASH_SEED", 1).into();
    if !workdir::backends(base_dir()).contains(&backend) {
        return;
    }
    let config = KillConfig { program: program().into(), base_dir: base_dir().into(), backend, rounds, seed };
    let stats = rounds::run(&config);
    print_uncaptured(format_args!("{backend}: {stats}"));
    assert_eq!(stats.kills, rounds);
    assert!(
        stats.in_open > 0 && stats.in_rotation > 0,
        "the kills interrupted no recovery or no rotation: {stats}"
    );
    assert!(stats.acknowledged > 0 && stats.scans > 0, "{stats}");
}

// One test per backend, so that they run in parallel.

#[test]
fn acknowledged_records_survive_kills_on_uring() {
    check_kills(Backend::Uring);
}

#[test]
fn acknowledged_records_survive_kills_on_tokio_uring() {
    check_kills(Backend::TokioUring);
}

#[test]
fn acknowledged_records_survive_kills_on_blocking() {
    check_kills(Backend::Blocking);
}

#[test]
fn repeatedly_killed_recovery_completes() {
    on_each_backend(|backend| {
        for state in [CrashState::Torn, CrashState::Rotated] {
            let config = RecoveryKillConfig {
                program: program().into(),
                base_dir: base_dir().into(),
                backend,
                state,
                kills: env_number("CRASH_ROUNDS", 100) / 10,
                seed: env_number("CRASH_SEED", 1).into(),
            };
            let stats = recovery::run(&config);
            print_uncaptured(format_args!("{state:?} on {backend}: {stats}"));
            assert!(stats.in_recovery > 0 && stats.recovered > 0, "{stats}");
        }
    });
}
