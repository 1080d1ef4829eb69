//! The metadata of a message queue, kept in a journal: topics with their configuration, consumer groups and their
//! members, and how far each group has acknowledged each topic. The state is what the journal says, replayed.
//!
//! ```sh
//! cargo run --example walmq_metadata
//! ```

#![allow(missing_docs, clippy::print_stdout, reason = "an example")]

use std::{
    collections::{BTreeMap, BTreeSet},
    path::Path,
};

use ministore_uring::{JournalOptions, MiniStore, Record, Result};
use serde::{Deserialize, Serialize};

/// What happens to the metadata. These are the records of the journal.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub enum Change {
    CreateTopic { topic: String, config: TopicConfig },
    DeleteTopic { topic: String },
    Join { group: String, member: String },
    Leave { group: String, member: String },
    Acknowledge { group: String, topic: String, offset: u64 },
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TopicConfig {
    pub partitions: u32,
    pub retention_hours: u32,
}

/// What all changes so far come to.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Metadata {
    pub topics: BTreeMap<String, TopicConfig>,
    pub groups: BTreeMap<String, BTreeSet<String>>,
    /// By group and topic.
    pub offsets: BTreeMap<(String, String), u64>,
}

impl Metadata {
    fn apply(&mut self, change: Change) {
        match change {
            Change::CreateTopic { topic, config } => {
                self.topics.insert(topic, config);
            }
            Change::DeleteTopic { topic } => {
                self.topics.remove(&topic);
                self.offsets.retain(|(_, of), _| *of != topic);
            }
            Change::Join { group, member } => {
                self.groups.entry(group).or_default().insert(member);
            }
            Change::Leave { group, member } => {
                if let Some(members) = self.groups.get_mut(&group) {
                    members.remove(&member);
                }
            }
            // Consumers may acknowledge out of order: the farthest counts.
            Change::Acknowledge { group, topic, offset } => {
                let acknowledged = self.offsets.entry((group, topic)).or_default();
                *acknowledged = offset.max(*acknowledged);
            }
        }
    }

    pub fn offset(&self, group: &str, topic: &str) -> u64 {
        self.offsets.get(&(group.to_owned(), topic.to_owned())).copied().unwrap_or(0)
    }
}

/// The metadata and the journal it is kept in.
#[derive(Debug)]
pub struct Broker {
    journal: MiniStore,
    metadata: Metadata,
}

impl Broker {
    pub fn open(path: &Path) -> Result<Self> {
        let journal = JournalOptions::new().open_blocking(path)?;
        Self::resume(journal, MiniStore::records(path))
    }

    /// Opens the journal first, so that what is replayed has been recovered.
    pub fn resume(journal: MiniStore, changes: impl Iterator<Item = Result<Record<Change>>>) -> Result<Self> {
        let mut metadata = Metadata::default();
        for change in changes {
            metadata.apply(change?.value);
        }
        Ok(Self { journal, metadata })
    }

    /// Makes a change. When this returns it is durable; only then does anybody see it.
    pub fn change(&mut self, change: Change) -> Result<()> {
        self.journal.blocking().append(&change)?;
        self.metadata.apply(change);
        Ok(())
    }

    pub fn metadata(&self) -> &Metadata {
        &self.metadata
    }

    pub fn close(self) -> Result<()> {
        self.journal.blocking().close()
    }
}

#[allow(dead_code, reason = "a test uses the broker, and not this")]
fn main() -> std::result::Result<(), Box<dyn std::error::Error>> {
    let path = std::env::temp_dir().join(format!("walmq-metadata-{}.jsonl", std::process::id()));
    let mut broker = Broker::open(&path)?;
    let config = TopicConfig { partitions: 3, retention_hours: 72 };
    broker.change(Change::CreateTopic { topic: "orders".into(), config })?;
    broker.change(Change::Join { group: "billing".into(), member: "a".into() })?;
    for offset in 1..=10 {
        broker.change(Change::Acknowledge { group: "billing".into(), topic: "orders".into(), offset })?;
    }
    broker.close()?;

    let broker = Broker::open(&path)?;
    println!("{:#?}", broker.metadata());
    assert_eq!(broker.metadata().offset("billing", "orders"), 10);
    broker.close()?;
    std::fs::remove_file(&path)?;
    std::fs::remove_file(path.with_extension("jsonl.lock"))?;
    Ok(())
}
