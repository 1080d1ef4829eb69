//! The cost of observing: the same appends without an observer, with a `tracing` subscriber, with a metrics
//! recorder, and with a thread that reads the statistics periodically.
//! `cargo bench --bench observed --features metrics`.
//!
//! Each measurement runs in its own process, because recorders and subscribers are global. The observers alternate;
//! the results are medians over the rounds. `-- --rounds N` sets the number of rounds.

#![expect(clippy::print_stdout, reason = "prints its results")]

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
const ROUND_TIME: Duration = Duration::from_millis(700);
const CALLERS: [usize; 2] = [1, 256];

/// The compared observers.
const OBSERVERS: [&str; 4] = ["none", "tracing at info", "metrics, scraped", "stats() every 10 ms"];

/// The interval between two reads of the statistics.
const STATS_INTERVAL: Duration = Duration::from_millis(10);

/// About 300 bytes as JSON, with the quotes.
const RECORD_BYTES: usize = 298;

type BenchResult<T> = Result<T, Box<dyn Error + Send + Sync>>;

fn main() -> BenchResult<()> {
    let args: Vec<String> = env::args().skip(1).filter(|arg| arg != "--bench").collect();
    if let [child, observer, callers] = args.as_slice()
        && child == "--child"
    {
        let (rate, p50) = measure(observer, callers.parse()?)?;
        println!("{rate} {p50}");
        return Ok(());
    }
    let rounds = args.iter().position(|arg| arg == "--rounds").and_then(|at| args.get(at + 1)?.parse().ok());
    compare(rounds.unwrap_or(ROUNDS))
}

fn compare(rounds: usize) -> BenchResult<()> {
    println!("| callers | observer | appends/s | ratio | p50 of an append, µs | ratio |");
    println!("| ---: | --- | ---: | ---: | ---: | ---: |");
    for callers in CALLERS {
        let mut samples = OBSERVERS.map(|_| (Vec::new(), Vec::new()));
        for round in 0..rounds {
            // The first observer is always the baseline.
            for at in (0..OBSERVERS.len()).map(|at| (round + at) % OBSERVERS.len()) {
                let (rates, medians) = &mut samples[at];
                let (rate, p50) = run_in_process(OBSERVERS[at], callers)?;
                rates.push(rate);
                medians.push(p50);
            }
        }
        let samples = samples.map(|(rates, medians)| (median(rates), median(medians)));
        let (base_rate, base_p50) = samples[0];
        for (observer, (rate, p50)) in OBSERVERS.iter().zip(samples) {
            let (rates, latencies) = (rate / base_rate, p50 / base_p50);
            println!("| {callers} | {observer} | {rate:.0} | {rates:.3} | {p50:.1} | {latencies:.3} |");
        }
    }
    Ok(())
}

fn run_in_process(observer: &str, callers: usize) -> BenchResult<(f64, f64)> {
    let output =
        Command::new(env::current_exe()?).args(["--child", observer, &callers.to_string()]).output()?;
    let text = String::from_utf8(output.stdout)?;
    match text.split_whitespace().map(str::parse).collect::<Result<Vec<f64>, _>>()?.as_slice() {
        &[rate, p50] => Ok((rate, p50)),
        _ => Err(format!("{observer}: {}", String::from_utf8_lossy(&output.stderr)).into()),
    }
}

/// Returns the appends per second, and the median latency of an append in microseconds.
fn measure(observer: &str, callers: usize) -> BenchResult<(f64, f64)> {
    let dir = tempfile::tempdir_in("target")?;
    let done = AtomicBool::new(false);
    let scraped = match observer {
        "tracing at info" => {
            tracing_subscriber::fmt().with_max_level(tracing::Level::INFO).with_writer(io::sink).init();
            None
        }
        "metrics, scraped" => Some(PrometheusBuilder::new().install_recorder()?),
        _ => None,
    };
    let store = JournalOptions::new().open_blocking(dir.path().join("journal.jsonl"))?;
    thread::scope(|scope| {
        let has_reader = observer == OBSERVERS[3] || scraped.is_some();
        let (done, observed_store) = (&done, store.clone());
        let reader = scope.spawn(move || {
            while has_reader && !done.load(Ordering::Relaxed) {
                match &scraped {
                    // Prometheus scrapes every few seconds; the exporter's histograms must be drained as often.
                    Some(recorder) => drop(recorder.render()),
                    None => drop(observed_store.stats()),
                }
                thread::park_timeout(if scraped.is_some() { ROUND_TIME / 2 } else { STATS_INTERVAL });
            }
        });
        let measured = append(&store, callers);
        done.store(true, Ordering::Relaxed);
        reader.thread().unpark();
        measured
    })
}

/// Appends in a closed loop from `callers` tasks.
fn append(store: &MiniStore, callers: usize) -> BenchResult<(f64, f64)> {
    let runtime = tokio::runtime::Runtime::new()?;
    let started = Instant::now();
    let tasks: Vec<_> = (0..callers).map(|_| runtime.spawn(run_caller(store.clone(), started))).collect();
    let mut all = Histogram::<u64>::new(3)?;
    for task in tasks {
        all.add(runtime.block_on(task)??)?;
    }
    let rate = all.len() as f64 / started.elapsed().as_secs_f64();
    Ok((rate, all.value_at_quantile(0.5) as f64 / 1000.0))
}

async fn run_caller(store: MiniStore, started: Instant) -> BenchResult<Histogram<u64>> {
    let mut latencies = Histogram::new(3)?;
    let record = "x".repeat(RECORD_BYTES);
    while started.elapsed() < ROUND_TIME {
        let append_started = Instant::now();
        store.append(&record).await?;
        latencies.record(append_started.elapsed().as_nanos().try_into()?)?;
    }
    Ok(latencies)
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}
