//! A program on `ministate` (and `minisnap`): clients that count at the same time, and a snapshot every now and then. It
//! serves until it is killed, and tells on standard output what it recovered and what was acknowledged.
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

type State = StateManager<Ledger, Count>;

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    // To standard error: what the journal has to say.
    let warnings = tracing_subscriber::filter::LevelFilter::WARN;
    tracing_subscriber::fmt().with_max_level(warnings).with_writer(io::stderr).init();
    let dir = std::env::args().nth(1).ok_or("which directory?")?;
    let state: State = StateManager::open(&dir, JOURNAL).await?;
    let recovered = state.snapshot().await;
    tell(&format!("recovered {} {}", state.sequence(), serde_json::to_string(&recovered)?))?;

    let state = Arc::new(state);
    let mut tasks = tokio::task::JoinSet::new();
    for client in 0..CLIENTS {
        let last = recovered.last.get(&client).copied().unwrap_or(0);
        tasks.spawn(count(Arc::clone(&state), client, last));
    }
    #[cfg(feature = "snapshot")]
    tasks.spawn(snapshots(state));
    while let Some(ended) = tasks.join_next().await {
        ended?.map_err(|error| error.to_string())?;
    }
    Ok(())
}

async fn count(state: Arc<State>, client: u32, last: u64) -> Result<(), Box<dyn Error + Send + Sync>> {
    for number in last + 1.. {
        let note = format!("client {client} counts");
        state.apply(Count { client, number, note }).await?;
        tell(&format!("counted {client} {number}"))?;
    }
    Ok(())
}

#[cfg(feature = "snapshot")]
async fn snapshots(state: Arc<State>) -> Result<(), Box<dyn Error + Send + Sync>> {
    loop {
        state.create_snapshot().await?;
        tell("snapshot")?;
    }
}

fn tell(text: &str) -> io::Result<()> {
    let mut out = io::stdout().lock();
    writeln!(out, "{text}")?;
    out.flush()
}
