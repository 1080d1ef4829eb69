//! A program on `ministate` (and `minisnap`): concurrent clients append numbers while snapshots are written. It runs
//! until it is killed, and reports the recovered state and each acknowledgement on standard output.
//!
//! ```sh
//! ministore-family-ledger DIRECTORY
//! ```

use std::{
    error::Error,
    io::{self, Write},
    sync::Arc,
};

use ministate::StateManager;
use ministore_family_ledger::{Count, JOURNAL, Ledger};

const CLIENTS: u32 = 4;

type LedgerState = StateManager<Ledger, Count>;

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    // Log the warnings of the journal to standard error.
    let warnings = tracing_subscriber::filter::LevelFilter::WARN;
    tracing_subscriber::fmt().with_max_level(warnings).with_writer(io::stderr).init();
    let dir = std::env::args().nth(1).ok_or("usage: ministore-family-ledger DIRECTORY")?;
    let state: LedgerState = StateManager::open(&dir, JOURNAL).await?;
    let recovered = state.snapshot().await;
    report(&format!("recovered {} {}", state.sequence(), serde_json::to_string(&recovered)?))?;

    let state = Arc::new(state);
    let mut tasks = tokio::task::JoinSet::new();
    for client in 0..CLIENTS {
        let last = recovered.last.get(&client).copied().unwrap_or(0);
        tasks.spawn(count(Arc::clone(&state), client, last));
    }
    #[cfg(feature = "snapshot")]
    tasks.spawn(write_snapshots(state));
    while let Some(result) = tasks.join_next().await {
        result?.map_err(|error| error.to_string())?;
    }
    Ok(())
}

async fn count(state: Arc<LedgerState>, client: u32, last: u64) -> Result<(), Box<dyn Error + Send + Sync>> {
    for number in last + 1.. {
        let note = format!("client {client} counts");
        state.apply(Count { client, number, note }).await?;
        report(&format!("counted {client} {number}"))?;
    }
    Ok(())
}

#[cfg(feature = "snapshot")]
async fn write_snapshots(state: Arc<LedgerState>) -> Result<(), Box<dyn Error + Send + Sync>> {
    loop {
        state.create_snapshot().await?;
        report("snapshot")?;
    }
}

fn report(text: &str) -> io::Result<()> {
    let mut out = io::stdout().lock();
    writeln!(out, "{text}")?;
    out.flush()
}
