//! A counter whose state is rebuilt from its journal. Run it several times with `cargo run --example counter`. The
//! first run sets the counter to 100, and each later run adds 25.

#![expect(clippy::print_stdout, reason = "an example prints its results")]

use std::path::{Path, PathBuf};

use ministore_uring::{MiniStore, Result};
use serde::{Deserialize, Serialize};

#[derive(Debug, Serialize, Deserialize)]
enum CounterMutation {
    Set { value: i64 },
    Inc { by: i64 },
}

#[derive(Debug, Default, PartialEq, Eq)]
struct Counter {
    value: i64,
}

impl Counter {
    fn apply(&mut self, mutation: &CounterMutation) {
        match mutation {
            CounterMutation::Set { value } => self.value = *value,
            CounterMutation::Inc { by } => self.value += by,
        }
    }
}

fn main() -> Result<()> {
    let path =
        std::env::args_os().nth(1).map_or_else(|| PathBuf::from("target/counter.jsonl"), PathBuf::from);
    pollster::block_on(run(path))
}

async fn run(path: PathBuf) -> Result<()> {
    let mut counter = rebuild(&path).await?;
    println!("found {}", counter.value);

    let store = MiniStore::open(&path).await?;
    let mutation = if counter.value == 0 {
        CounterMutation::Set { value: 100 }
    } else {
        CounterMutation::Inc { by: 25 }
    };
    // Append first, then apply, so that the state contains only durable mutations.
    store.append(&mutation).await?;
    counter.apply(&mutation);
    assert_eq!(rebuild(&path).await?, counter, "a replay gives the same state");
    println!("stored {}", counter.value);
    store.close().await
}

async fn rebuild(path: &Path) -> Result<Counter> {
    let mut counter = Counter::default();
    for mutation in MiniStore::replay::<CounterMutation, _>(path).await? {
        counter.apply(&mutation);
    }
    Ok(counter)
}
