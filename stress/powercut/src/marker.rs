//! Markers that the workload adds to the log of the writes and flushes of its disk.

use ministore_faultfs::recording::Event;
use serde::{Deserialize, Serialize};

/// One marker. It applies from its position in the log on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Marker {
    /// A journal was opened: every record below `next_seq` is durable.
    Opened { journal: u64, next_seq: u64 },
    /// This client has submitted records up to `upto`, or will do so.
    Issued { journal: u64, generation: u64, client: u64, upto: u64 },
    /// `count` records of this client from `number` on were acknowledged. The first has sequence number `seq`, or
    /// `None` if the control marked them as acknowledged before they were durable.
    Acknowledged { journal: u64, generation: u64, client: u64, number: u64, count: u64, seq: Option<u64> },
    /// The workload ended as planned.
    Done,
}

impl Marker {
    /// Returns the journal that the marker refers to.
    pub(crate) fn journal(&self) -> Option<u64> {
        match self {
            Self::Opened { journal, .. }
            | Self::Issued { journal, .. }
            | Self::Acknowledged { journal, .. } => Some(*journal),
            Self::Done => None,
        }
    }

    /// Parses the marker in `event`. Returns `None` for other events.
    pub(crate) fn parse(event: &Event) -> Option<Result<Self, String>> {
        let Event::Marker(text) = event else { return None };
        Some(serde_json::from_str(text).map_err(|error| format!("marker {text}: {error}")))
    }
}
