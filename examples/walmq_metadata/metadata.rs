//! The state produced by the changes. It is deterministic: the same changes in the same order give the same metadata.
//! It uses no clock, file or journal.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use super::{Change, TopicConfig};

#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Metadata {
    pub topics: BTreeMap<String, TopicConfig>,
    pub groups: BTreeMap<String, ConsumerGroup>,
}

#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ConsumerGroup {
    pub members: BTreeSet<String>,
    /// The acknowledged offset of each topic.
    pub offsets: BTreeMap<String, u64>,
}

/// Why a change has no effect.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    #[error("the topic exists already")]
    TopicExists,
    #[error("the topic does not exist")]
    NoSuchTopic,
    #[error("the group does not exist")]
    NoSuchGroup,
    #[error("not a member of the group")]
    NotAMember,
}

impl Metadata {
    pub fn offset(&self, group: &str, topic: &str) -> u64 {
        let group = self.groups.get(group);
        group.and_then(|group| group.offsets.get(topic)).copied().unwrap_or(0)
    }

    /// Checks that a change would have an effect now.
    pub fn check(&self, change: &Change) -> Result<(), Refused> {
        let exists = |topic: &String| self.topics.contains_key(topic);
        let group = |name: &String| self.groups.get(name).ok_or(Refused::NoSuchGroup);
        match change {
            Change::CreateTopic { topic, .. } if exists(topic) => Err(Refused::TopicExists),
            Change::DeleteTopic { topic } if !exists(topic) => Err(Refused::NoSuchTopic),
            Change::Leave { group: name, member } if !group(name)?.members.contains(member) => {
                Err(Refused::NotAMember)
            }
            Change::Acknowledge { topic, .. } if !exists(topic) => Err(Refused::NoSuchTopic),
            Change::Acknowledge { group: name, .. } => group(name).map(drop),
            _ => Ok(()),
        }
    }

    /// Applies a change. A rejected change stays in the journal, and each replay rejects it again.
    pub fn apply(&mut self, change: Change) -> Result<(), Refused> {
        self.check(&change)?;
        match change {
            Change::CreateTopic { topic, config } => {
                self.topics.insert(topic, config);
            }
            Change::DeleteTopic { topic } => {
                self.topics.remove(&topic);
                for group in self.groups.values_mut() {
                    group.offsets.remove(&topic);
                }
            }
            Change::Join { group, member } => {
                self.groups.entry(group).or_default().members.insert(member);
            }
            Change::Leave { group, member } => {
                let group = self.groups.get_mut(&group).ok_or(Refused::NoSuchGroup)?;
                group.members.remove(&member);
            }
            // Consumers may acknowledge out of order, so the highest offset counts.
            Change::Acknowledge { group, topic, offset } => {
                let group = self.groups.get_mut(&group).ok_or(Refused::NoSuchGroup)?;
                let acknowledged = group.offsets.entry(topic).or_default();
                *acknowledged = offset.max(*acknowledged);
            }
        }
        Ok(())
    }
}
