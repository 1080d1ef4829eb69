//! What a workload says about itself, in the same log as the writes and flushes of its disk.

use serde::{Deserialize, Serialize};

use crate::recording::Event;

/// One thing said. It holds from its place in the log on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Mark {
    /// A journal was opened, and recovered where needed: every record below `next_seq` is durable.
    Opened { journal: u64, next_seq: u64 },
    /// Records up to `upto` of this caller were handed over, or will be.
    Issued { journal: u64, generation: u64, caller: u64, upto: u64 },
    /// `count` records of this caller from `number` on were acknowledged; the first has sequence number `seq`. None:
    /// acknowledged before anything is durable, which is a lie told on purpose.
    Acknowledged { journal: u64, generation: u64, caller: u64, number: u64, count: u64, seq: Option<u64> },
    /// The workload ended as planned.
    Done,
}

impl Mark {
    /// The journal it speaks of.
    pub(crate) fn journal(&self) -> Option<u64> {
        match self {
            Self::Opened { journal, .. }
            | Self::Issued { journal, .. }
            | Self::Acknowledged { journal, .. } => Some(*journal),
            Self::Done => None,
        }
    }

    /// The mark that `event` is, if it is one.
    pub(crate) fn of(event: &Event) -> Option<Result<Self, String>> {
        let Event::Mark(text) = event else { return None };
        Some(serde_json::from_str(text).map_err(|error| format!("mark {text}: {error}")))
    }
}
