//! What looking costs: the same appends unobserved, with a `tracing` subscriber, with a recorder of metrics, and with
//! somebody who reads the statistics all the time. `cargo bench --bench observed --features metrics`.
//!
//! Each measurement is a process of its own, for recorders and subscribers are global. The contestants alternate; figures
//! are medians over the rounds. `-- --rounds N` for another number of rounds.

#![expect(clippy::print_stdout, reason = "what it prints is what it is for")]

use std::{
    env,
    error::Error,
    io,
    process::Command,
    sync::atomic::{AtomicBool, Ordering},
    thread,
    time::{Duration, Instant},
};

use hdrhistogram::Histogram;
use metrics_exporter_prometheus::PrometheusBuilder;
use ministore_uring::{JournalOptions, MiniStore};

const ROUNDS: usize = 7;
const ROUND: Duration = Duration::from_millis(700);
const CALLERS: [usize; 2] = [1, 256];

/// Who looks.
const CONTESTANTS: [&str; 4] = ["nobody", "tracing at info", "metrics, scraped", "stats() every 10 ms"];

/// Between two looks of whoever looks all the time.
const LOOK_EVERY: Duration = Duration::from_millis(10);

/// As JSON, with its quotes, about 300 bytes.
const RECORD_BYTES: usize = 298;

type Outcome<T> = Result<T, Box<dyn Error + Send + Sync>>;

fn main() -> Outcome<()> {
    let args: Vec<String> = env::args().skip(1).filter(|arg| arg != "--bench").collect();
    if let [child, contestant, callers] = args.as_slice()
        && child == "--child"
    {
        let (rate, p50) = measure(contestant, callers.parse()?)?;
        println!("{rate} {p50}");
        return Ok(());
    }
    let rounds = args.iter().position(|arg| arg == "--rounds").and_then(|at| args.get(at + 1)?.parse().ok());
    compare(rounds.unwrap_or(ROUNDS))
}

fn compare(rounds: usize) -> Outcome<()> {
    println!("| callers | who looks | appends/s | ratio | p50 of an append, µs | ratio |");
    println!("| ---: | --- | ---: | ---: | ---: | ---: |");
    for callers in CALLERS {
        let mut found = CONTESTANTS.map(|_| (Vec::new(), Vec::new()));
        for round in 0..rounds {
            // Nobody is always the first.
            for at in (0..CONTESTANTS.len()).map(|at| (round + at) % CONTESTANTS.len()) {
                let (rates, medians) = &mut found[at];
                let (rate, p50) = in_a_process(CONTESTANTS[at], callers)?;
                rates.push(rate);
                medians.push(p50);
            }
        }
        let found = found.map(|(rates, medians)| (median(rates), median(medians)));
        let (base_rate, base_p50) = found[0];
        for (contestant, (rate, p50)) in CONTESTANTS.iter().zip(found) {
            let (rates, latencies) = (rate / base_rate, p50 / base_p50);
            println!("| {callers} | {contestant} | {rate:.0} | {rates:.3} | {p50:.1} | {latencies:.3} |");
        }
    }
    Ok(())
}

fn in_a_process(contestant: &str, callers: usize) -> Outcome<(f64, f64)> {
    let output =
        Command::new(env::current_exe()?).args(["--child", contestant, &callers.to_string()]).output()?;
    let text = String::from_utf8(output.stdout)?;
    match text.split_whitespace().map(str::parse).collect::<Result<Vec<f64>, _>>()?.as_slice() {
        &[rate, p50] => Ok((rate, p50)),
        _ => Err(format!("{contestant}: {}", String::from_utf8_lossy(&output.stderr)).into()),
    }
}

/// Appends a second, and the median of an append in microseconds.
fn measure(contestant: &str, callers: usize) -> Outcome<(f64, f64)> {
    let dir = tempfile::tempdir_in("target")?;
    let done = AtomicBool::new(false);
    let scraped = match contestant {
        "tracing at info" => {
            tracing_subscriber::fmt().with_max_level(tracing::Level::INFO).with_writer(io::sink).init();
            None
        }
        "metrics, scraped" => Some(PrometheusBuilder::new().install_recorder()?),
        _ => None,
    };
    let store = JournalOptions::new().open_blocking(dir.path().join("journal.jsonl"))?;
    thread::scope(|scope| {
        let looks = contestant == CONTESTANTS[3] || scraped.is_some();
        let (done, looked_at) = (&done, store.clone());
        let looking = scope.spawn(move || {
            while looks && !done.load(Ordering::Relaxed) {
                match &scraped {
                    // Prometheus comes every few seconds; the exporter wants to be tidied up as often.
                    Some(recorder) => drop(recorder.render()),
                    None => drop(looked_at.stats()),
                }
                thread::park_timeout(if scraped.is_some() { ROUND / 2 } else { LOOK_EVERY });
            }
        });
        let measured = append(&store, callers);
        done.store(true, Ordering::Relaxed);
        looking.thread().unpark();
        measured
    })
}

/// A closed loop of so many callers.
fn append(store: &MiniStore, callers: usize) -> Outcome<(f64, f64)> {
    let runtime = tokio::runtime::Runtime::new()?;
    let started = Instant::now();
    let tasks: Vec<_> = (0..callers).map(|_| runtime.spawn(one_caller(store.clone(), started))).collect();
    let mut all = Histogram::<u64>::new(3)?;
    for task in tasks {
        all.add(runtime.block_on(task)??)?;
    }
    let rate = all.len() as f64 / started.elapsed().as_secs_f64();
    Ok((rate, all.value_at_quantile(0.5) as f64 / 1000.0))
}

async fn one_caller(store: MiniStore, started: Instant) -> Outcome<Histogram<u64>> {
    let mut latencies = Histogram::new(3)?;
    let record = "x".repeat(RECORD_BYTES);
    while started.elapsed() < ROUND {
        let begun = Instant::now();
        store.append(&record).await?;
        latencies.record(begun.elapsed().as_nanos().try_into()?)?;
    }
    Ok(latencies)
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}
