//! The metadata of a message queue, kept in a journal: topics with their configuration, consumer groups with their
//! members, and the acknowledged offset of each group in each topic. A replay of the journal gives the state.
//!
//! ```sh
//! cargo run --example walmq_metadata
//! ```
//!
//! Suggested reading order: `change.rs` (the records of the journal), `metadata.rs` (the state they produce),
//! `broker.rs` (makes a change durable, then visible), `snapshot.rs` (allows old records to be deleted).

#![allow(missing_docs, clippy::print_stdout, reason = "an example")]

mod broker;
mod change;
mod metadata;
mod snapshot;

use std::{path::Path, sync::Arc};

pub use broker::{Broker, BrokerError};
pub use change::{Change, TopicConfig};
pub use metadata::{Metadata, Refused};
pub use snapshot::Snapshot;
use tokio::task::JoinSet;

const CONSUMERS: u32 = 64;
const OFFSETS: u64 = 100;

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let dir = std::env::temp_dir().join(format!("walmq-metadata-{}", std::process::id()));
    std::fs::create_dir_all(&dir)?;
    let result = serve(&dir).await;
    std::fs::remove_dir_all(&dir)?;
    result
}

async fn serve(dir: &Path) -> Result<(), Box<dyn std::error::Error>> {
    let broker = Arc::new(Broker::open(dir).await?);
    broker.create_topic("orders", TopicConfig { partitions: 3, retention_hours: 72 }).await?;

    // One write makes the concurrent acknowledgements of many consumers durable.
    let mut consumers = JoinSet::new();
    for number in 0..CONSUMERS {
        consumers.spawn(consume(Arc::clone(&broker), format!("group {number}")));
    }
    while let Some(result) = consumers.join_next().await {
        result??;
    }
    let stats = broker.journal().stats();
    println!("{} changes were made durable by {} writes", stats.records, stats.groups);

    // The snapshot replaces the records so far.
    let saver = Arc::clone(&broker);
    let first_seq = tokio::task::spawn_blocking(move || saver.snapshot()).await??;
    println!("a snapshot was taken; the journal begins with record {first_seq}");
    broker.acknowledge("group 0", "orders", OFFSETS + 1).await?;
    broker.close().await?;

    let broker = Broker::open(dir).await?;
    assert_eq!(broker.offset("group 0", "orders"), OFFSETS + 1);
    assert_eq!(broker.offset("group 1", "orders"), OFFSETS);
    println!("opened again: {} groups kept their offsets", broker.metadata().groups.len());
    broker.close().await?;
    Ok(())
}

async fn consume(broker: Arc<Broker>, group: String) -> Result<(), BrokerError> {
    broker.join(&group, "a").await?;
    for offset in 1..=OFFSETS {
        broker.acknowledge(&group, "orders", offset).await?;
    }
    broker.leave(&group, "a").await
}
