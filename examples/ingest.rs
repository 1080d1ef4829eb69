//! Two ways to append at a high rate: many tasks that await each append, and one task with many appends in flight.
//! `cargo run --release --example ingest`.

#![expect(clippy::print_stdout, reason = "an example prints its results")]

use std::{collections::VecDeque, time::Instant};

use ministore_uring::{JournalOptions, MiniStore, PendingAppend};
use serde::Serialize;

#[derive(Serialize)]
struct TaskEvent {
    task: usize,
    number: usize,
    text: &'static str,
}

const TEXT: &str = "the text of an event of typical size, that is between one and two hundred bytes";
const TASKS: usize = 256;
const EVENTS_PER_TASK: usize = 400;
const IN_FLIGHT: usize = 8192;

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let dir = tempfile::tempdir_in(".")?;
    let store = JournalOptions::new().open(dir.path().join("events.jsonl")).await?;

    let started = Instant::now();
    let tasks: Vec<_> = (0..TASKS).map(|task| tokio::spawn(append_all(store.clone(), task))).collect();
    for task in tasks {
        task.await??;
    }
    report("appending tasks", started, &store);

    let started = Instant::now();
    let mut pending: VecDeque<PendingAppend> = VecDeque::new();
    for number in 0..TASKS * EVENTS_PER_TASK {
        pending.push_back(store.submit(&TaskEvent { task: 0, number, text: TEXT }).await?);
        if pending.len() == IN_FLIGHT
            && let Some(oldest) = pending.pop_front()
        {
            oldest.await?;
        }
    }
    for append in pending {
        append.await?;
    }
    report("submitting task", started, &store);
    store.close().await?;
    Ok(())
}

async fn append_all(store: MiniStore, task: usize) -> ministore_uring::Result<()> {
    for number in 0..EVENTS_PER_TASK {
        store.append(&TaskEvent { task, number, text: TEXT }).await?;
    }
    Ok(())
}

fn report(label: &str, started: Instant, store: &MiniStore) {
    let rate = (TASKS * EVENTS_PER_TASK) as f64 / started.elapsed().as_secs_f64();
    let stats = store.stats();
    println!("{label}: {rate:.0} durable events/s, {} commits in total, {}", stats.groups, stats.backend);
}
