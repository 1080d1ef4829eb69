//! A fixed set of runs on the engine as it is: nothing is found.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::print_stdout, reason = "tests")]

use std::{
    sync::{
        Mutex,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    thread,
    time::Instant,
};

use ministore_sim::{Figures, run};

const RUNS: u64 = 200;
const WORKERS: usize = 2;

#[test]
fn nothing_is_found_in_the_engine_as_it_is() {
    let (next, total, started) = (AtomicU64::new(0), Mutex::new(Figures::default()), Instant::now());
    thread::scope(|scope| {
        for _ in 0..WORKERS {
            scope.spawn(|| {
                while let Some(seed) = Some(next.fetch_add(1, Relaxed)).filter(|seed| *seed < RUNS) {
                    match run(seed, None) {
                        Ok(figures) => *total.lock().unwrap() += figures,
                        Err(failure) => panic!(
                            "seed {seed}: {}; repeat: cargo run --release -p ministore-sim -- --seed {seed}",
                            failure.what
                        ),
                    }
                }
            });
        }
    });
    let total = total.into_inner().unwrap();
    println!("{}", total.report(started.elapsed().as_secs_f64()));
    assert_eq!(total.runs, RUNS);
    // A run that tried nothing shows nothing.
    let tried = [
        total.power_cuts,
        total.kills,
        total.recoveries_cut_off,
        total.faults,
        total.refused,
        total.rotations,
        total.damages_detected,
        total.releases,
        total.holds,
        total.trimmed_segments,
    ];
    assert!(tried.iter().all(|count| *count > RUNS / 10), "{total:?}");
}

#[test]
fn a_seed_repeats_a_run_exactly() {
    for seed in 0..20 {
        let [first, second] = [(); 2].map(|()| run(seed, None).map(|figures| format!("{figures:?}")));
        assert_eq!(first.ok(), second.ok(), "seed {seed}");
    }
}

/// A hold that was written by a job that failed, and a rotation behind it that deleted what it holds.
#[test]
fn what_once_found_something_finds_nothing_now() {
    for seed in [963_767_546_192] {
        if let Err(failure) = run(seed, None) {
            panic!("seed {seed}: {}", failure.what);
        }
    }
}
