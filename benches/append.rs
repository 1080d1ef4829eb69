//! Durable appends per second: this crate and `ministore` 0.1.7, alternating in one run.
//! `cargo bench --bench append`.
//!
//! The two stores alternate, so that both run under the same load of the machine. The results are medians over the
//! rounds.

#![expect(clippy::print_stdout, reason = "prints its results")]

use std::{
    future::Future,
    path::Path,
    sync::Arc,
    time::{Duration, Instant},
};

use serde::Serialize;
use tokio::sync::Mutex;

const ROUNDS: usize = 5;
const ROUND_TIME: Duration = Duration::from_millis(1000);
const CALLERS: [usize; 4] = [1, 16, 64, 256];

/// About 300 bytes as JSON.
#[derive(Debug, Clone, Serialize)]
struct Event {
    number: u64,
    text: String,
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let runtime = tokio::runtime::Runtime::new()?;
    let dir = tempfile::tempdir_in("target")?;
    println!("| callers | ministore 0.1.7, appends/s | ministore-uring, appends/s | ratio |");
    println!("| ---: | ---: | ---: | ---: |");
    for callers in CALLERS {
        let (mut ministore_rates, mut uring_rates) = (Vec::new(), Vec::new());
        for round in 0..ROUNDS {
            let path = |name: &str| dir.path().join(format!("{name}-{callers}-{round}.jsonl"));
            ministore_rates.push(runtime.block_on(run_ministore(&path("ministore"), callers))?);
            uring_rates.push(runtime.block_on(run_ministore_uring(&path("ministore-uring"), callers))?);
        }
        let (ministore_rate, uring_rate) = (median(ministore_rates), median(uring_rates));
        println!(
            "| {callers} | {ministore_rate:.0} | {uring_rate:.0} | {:.1} |",
            uring_rate / ministore_rate
        );
    }
    Ok(())
}

async fn run_ministore(path: &Path, callers: usize) -> Result<f64, Box<dyn std::error::Error>> {
    let options = ministore::MiniStoreOptions::new().max_segments(usize::MAX);
    let store = Arc::new(Mutex::new(options.open(path).await?));
    run(callers, move |event| {
        let store = Arc::clone(&store);
        async move { store.lock().await.append(&event).await.is_ok() }
    })
    .await
}

async fn run_ministore_uring(path: &Path, callers: usize) -> Result<f64, Box<dyn std::error::Error>> {
    let store = ministore_uring::JournalOptions::new().open(path).await?;
    let rate = run(callers, {
        let store = store.clone();
        move |event| {
            let store = store.clone();
            async move { store.append(&event).await.is_ok() }
        }
    })
    .await;
    store.close().await?;
    rate
}

/// Appends in a closed loop from `callers` tasks. Returns the appends per second.
async fn run<F>(
    callers: usize,
    append: impl Fn(Event) -> F + Clone + Send + 'static,
) -> Result<f64, Box<dyn std::error::Error>>
where
    F: Future<Output = bool> + Send,
{
    let started = Instant::now();
    let tasks: Vec<_> = (0..callers)
        .map(|_| {
            let append = append.clone();
            tokio::spawn(async move {
                let mut count = 0u64;
                while started.elapsed() < ROUND_TIME {
                    let event = Event { number: count, text: "x".repeat(270) };
                    if !append(event).await {
                        return Err("an append failed");
                    }
                    count += 1;
                }
                Ok(count)
            })
        })
        .collect();
    let mut total = 0;
    for task in tasks {
        total += task.await??;
    }
    Ok(total as f64 / started.elapsed().as_secs_f64())
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}
