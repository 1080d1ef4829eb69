//! The changes of the metadata, which are the records of the journal. A variant must stay readable once it was
//! released.

use serde::{Deserialize, Serialize};

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
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
