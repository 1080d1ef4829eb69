//! Whether the simulation finds a disk that lies. Bugs of the engine: `stress/seeded-bugs`.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::print_stdout, reason = "tests")]

use std::{
    sync::{
        Mutex,
        atomic::{AtomicUsize, Ordering::Relaxed},
    },
    thread,
};

use clap::ValueEnum;
use ministore_sim::{Failure, Lie, run};

/// The number of runs within which each lie must be found.
const RUNS_MAX: u64 = 3000;

/// The number of concurrent runs. Each run has a background thread too.
const WORKERS: usize = 2;

/// Lies that only rare runs find, and the seed to begin with. A change of the engine makes other runs of the seeds: then the
/// search takes longer, and these numbers should follow it.
const FIRST_SEEDS: [(Lie, u64); 3] =
    [(Lie::DirSyncOfOldNames, 2510), (Lie::SyncOfOldBytes, 210), (Lie::DirSyncAfterLink, 475)];

/// Returns the number of runs until the lie was found, and the failure.
fn find(lie: Lie) -> Option<(u64, Failure)> {
    let rare = FIRST_SEEDS.iter().find(|(rare, _)| *rare == lie);
    let first = rare.map_or(0, |(_, seed)| *seed);
    (0..RUNS_MAX).find_map(|index| {
        let seed = first + index;
        // A run that fails on an honest disk, too, is no finding.
        let failure = run(seed, Some(lie)).err().filter(|_| run(seed, None).is_ok())?;
        Some((index + 1, failure))
    })
}

#[test]
fn every_lie_is_found() {
    let (next, found) = (AtomicUsize::new(0), Mutex::new(Vec::new()));
    thread::scope(|scope| {
        for _ in 0..WORKERS {
            scope.spawn(|| {
                while let Some(&lie) = Lie::value_variants().get(next.fetch_add(1, Relaxed)) {
                    let failure = find(lie);
                    found.lock().unwrap().push((lie, failure));
                }
            });
        }
    });
    let found = found.into_inner().unwrap();
    let mut missed = Vec::new();
    for (lie, failure) in &found {
        match failure {
            Some((runs, failure)) => {
                println!("{:<26} found in run {runs:>3}: {}", format!("{lie:?}"), failure.what)
            }
            None => missed.push(lie),
        }
    }
    assert!(missed.is_empty(), "not found in {RUNS_MAX} runs: {missed:?}");
    assert_eq!(found.len(), Lie::value_variants().len());
}
