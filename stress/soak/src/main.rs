//! Runs everything at once over one journal and checks all of it, all the time: see README.md.
//!
//! A store is opened, used by every kind of caller and read by every kind of reader, ended in one of several ways, and
//! opened again. What was told to callers is kept in a [`ledger`](ledger::Ledger) until the record was read back.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "a test program: whatever is wrong ends it"
)]

mod args;
mod callers;
mod generation;
mod ledger;
mod passing;
mod readers;
mod resources;
mod watchdog;

use std::{process::ExitCode, sync::Arc, time::Instant};

use crate::{args::Args, generation::Generation, ledger::Ledger, resources::Watch, watchdog::Watchdog};

fn main() -> ExitCode {
    match Args::parse(std::env::args().skip(1)) {
        Ok(Args::Read { path }) => readers::process(&path),
        Ok(Args::Soak(soak)) => {
            resources::with_one_arena();
            run(&soak);
        }
        Ok(Args::Pass(pass)) => {
            resources::with_one_arena();
            passing::run(&pass);
        }
        Err(usage) => {
            eprintln!("{usage}");
            return ExitCode::from(2);
        }
    }
    ExitCode::SUCCESS
}

/// Panics where anything is wrong.
fn run(soak: &args::Soak) {
    println!("seed {}, {:?}, {} s", soak.seed, soak.backend, soak.duration.as_secs());
    let dir = tempfile::Builder::new().prefix("ministore-soak").tempdir_in(&soak.dir).unwrap();
    let path = dir.path().join("journal.jsonl");
    let ledger = Arc::new(Ledger::default());
    let _watchdog = Watchdog::start(Arc::clone(&ledger), &path);
    let mut verifier = readers::Verifier::new(&path, Arc::clone(&ledger));
    let mut other = readers::OtherProcess::start(&path);
    let mut random = generation::Random::new(soak.seed);
    let mut watch = Watch::start();
    let mut figures = generation::Figures::default();
    let started = Instant::now();
    while started.elapsed() < soak.duration || figures.generations < 3 {
        let length = soak.duration.saturating_sub(started.elapsed());
        verifier =
            Generation::new(soak.backend, &path, &ledger, length, &mut random).run(verifier, &mut figures);
        watch.look();
        if soak.verbose {
            println!("{:>5} s: {figures}; {watch}", started.elapsed().as_secs());
        }
    }
    figures.other_process_records = other.finish();
    watch.finish();
    assert!(figures.is_whole(), "a kind of work was never done: {figures:?}");
    println!("{:.1} s: {figures}", started.elapsed().as_secs_f64());
    println!("{watch}");
    println!("nothing was lost, repeated, reordered or misnumbered; nothing leaked");
}
