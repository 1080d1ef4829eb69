//! A counter whose state is rebuilt from its journal: run it several times, with `cargo run --example counter`. The first
//! run leaves 100, each later one 25 more.

#![expect(clippy::print_stdout, reason = "what it prints is what it is for")]

use std::path::{Path, PathBuf};

use ministore_uring::{MiniStore, Result};
use serde::{Deserialize, Serialize};

#[derive(Debug, Serialize, Deserialize)]
enum Mutation {
    Set { value: i64 },
    Inc { by: i64 },
}

#[derive(Debug, Default, PartialEq, Eq)]
struct Counter {
    value: i64,
}

impl Counter {
    fn apply(&mut self, mutation: &Mutation) {
        match mutation {
            Mutation::Set { value } => self.value = *value,
            Mutation::Inc { by } => self.value += by,
        }
    }
}

fn main() -> Result<()> {
    let path =
        std::env::args_os().nth(1).map_or_else(|| PathBuf::from("target/counter.jsonl"), PathBuf::from);
    pollster::block_on(run(path))
}

async fn run(path: PathBuf) -> Result<()> {
    let mut counter = rebuilt(&path).await?;
    println!("found {}", counter.value);

    let store = MiniStore::open(&path).await?;
    let mutation = if counter.value == 0 { Mutation::Set { value: 100 } } else { Mutation::Inc { by: 25 } };
    // First the log, then the state: what is applied is durable.
    store.append(&mutation).await?;
    counter.apply(&mutation);
    assert_eq!(rebuilt(&path).await?, counter, "what was applied is what will be found");
    println!("left {}", counter.value);
    store.close().await
}

async fn rebuilt(path: &Path) -> Result<Counter> {
    let mut counter = Counter::default();
    for mutation in MiniStore::replay::<Mutation, _>(path).await? {
        counter.apply(&mutation);
    }
    Ok(counter)
}
