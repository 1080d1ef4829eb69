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

use std::{sync::Arc, time::Instant};

use clap::Parser;
use fastrand::Rng;
use ministore_uring::JournalOptions;

use crate::{
    args::SoakArgs,
    instance::{SoakStats, StoreInstance},
    ledger::Ledger,
    readers::{ReaderProcess, Verifier},
    resources::LeakCheck,
    watchdog::Watchdog,
};

fn main() {
    let args = SoakArgs::parse();
    if let Some(path) = &args.read {
        return readers::run_reader_process(path);
    }
    resources::use_one_arena();
    match args.pass {
        Some(mib) => bounded_memory::run(&args, mib << 20),
        None => run(&args),
    }
}

/// Runs the soak. Panics if a check fails.
fn run(args: &SoakArgs) {
    let duration = args.duration();
    println!("seed {}, {:?}, {} s", args.seed, args.backend, duration.as_secs());
    let dir = tempfile::Builder::new().prefix("ministore-soak").tempdir_in(&args.dir).unwrap();
    let path = dir.path().join("journal.jsonl");
    let ledger = Arc::new(Ledger::default());
    let _watchdog = Watchdog::start(Arc::clone(&ledger), &path);
    let mut verifier = Verifier::new(&path, Arc::clone(&ledger));
    let mut reader_process = ReaderProcess::start(&path);
    let mut random = Rng::with_seed(args.seed);
    let mut leak_check = LeakCheck::start(|| {
        let warm_up = dir.path().join("warm-up.jsonl");
        let store = JournalOptions::new().backend(args.backend).open_blocking(&warm_up).unwrap();
        store.blocking().close().unwrap();
    });
    let mut stats = SoakStats::default();
    let started = Instant::now();
    while started.elapsed() < duration || stats.instances < 3 {
        let time_left = duration.saturating_sub(started.elapsed());
        let instance =
            StoreInstance::new(args.backend, &path, &ledger, stats.instances, time_left, &mut random);
        verifier = instance.run(verifier, &mut stats);
        leak_check.sample();
        if args.verbose {
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
