//! Runs all kinds of clients and readers concurrently on one journal and checks every record: see README.md.
//!
//! A store is opened, used by the clients and readers, closed or dropped, and opened again. A
//! [`ledger`](ledger::Ledger) keeps the outcomes that clients received until each record has been read back.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "a test program: any failure ends it"
)]

mod args;
mod bounded_memory;
mod clients;
mod instance;
mod ledger;
mod readers;
mod resources;
mod watchdog;

use std::{process::ExitCode, sync::Arc, time::Instant};

use crate::{
    args::{Args, SoakConfig},
    instance::{Random, SoakStats, StoreInstance},
    ledger::Ledger,
    readers::{ReaderProcess, Verifier},
    resources::LeakCheck,
    watchdog::Watchdog,
};

fn main() -> ExitCode {
    match Args::parse(std::env::args().skip(1)) {
        Ok(Args::Read { path }) => readers::run_reader_process(&path),
        Ok(Args::Soak(config)) => {
            resources::use_one_arena();
            run(&config);
        }
        Ok(Args::BoundedMemory(config)) => {
            resources::use_one_arena();
            bounded_memory::run(&config);
        }
        Err(usage) => {
            eprintln!("{usage}");
            return ExitCode::from(2);
        }
    }
    ExitCode::SUCCESS
}

/// Runs the soak. Panics if a check fails.
fn run(config: &SoakConfig) {
    println!("seed {}, {:?}, {} s", config.seed, config.backend, config.duration.as_secs());
    let dir = tempfile::Builder::new().prefix("ministore-soak").tempdir_in(&config.dir).unwrap();
    let path = dir.path().join("journal.jsonl");
    let ledger = Arc::new(Ledger::default());
    let _watchdog = Watchdog::start(Arc::clone(&ledger), &path);
    let mut verifier = Verifier::new(&path, Arc::clone(&ledger));
    let mut reader_process = ReaderProcess::start(&path);
    let mut random = Random::new(config.seed);
    let mut leak_check = LeakCheck::start();
    let mut stats = SoakStats::default();
    let started = Instant::now();
    while started.elapsed() < config.duration || stats.instances < 3 {
        let time_left = config.duration.saturating_sub(started.elapsed());
        let instance = StoreInstance::new(config.backend, &path, &ledger, time_left, &mut random);
        verifier = instance.run(verifier, &mut stats);
        leak_check.sample();
        if config.verbose {
            println!("{:>5} s: {stats}; {leak_check}", started.elapsed().as_secs());
        }
    }
    stats.other_process_records = reader_process.finish();
    leak_check.finish();
    assert!(stats.is_complete(), "a kind of operation never happened: {stats:?}");
    println!("{:.1} s: {stats}", started.elapsed().as_secs_f64());
    println!("{leak_check}");
    println!("nothing was lost, repeated, reordered or misnumbered; nothing leaked");
}
