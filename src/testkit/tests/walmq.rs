//! Crashes of the example broker: how a program uses the simulated disk for a test of its own.

#[allow(dead_code, unreachable_pub, reason = "an example program")]
#[path = "../../../examples/walmq_metadata/main.rs"]
mod walmq_metadata;

use walmq_metadata::{Broker, BrokerError, Change, Metadata, Snapshot, TopicConfig};

use super::*;
use crate::sync::block_on;

const JOURNAL: &str = "/var/lib/walmq/metadata.jsonl";
const TOPICS: [&str; 3] = ["orders", "mails", "audit"];

/// A snapshot is taken each time after this many changes.
const SNAPSHOT_EVERY: usize = 25;

/// The state outside the simulated disk that survives a power cut: the snapshot, and the acknowledged changes.
#[derive(Default)]
struct ExternalState {
    snapshot: Snapshot,
    acknowledged: Metadata,
    in_flight: Option<Change>,
    /// The highest first sequence number that a release returned.
    first_seq: u64,
}

fn open(disk: &SimDisk, snapshot: &Snapshot) -> std::result::Result<Broker, BrokerError> {
    // Small segments, so that power cuts interrupt rotations and releases, too.
    let store = disk.open_blocking(JournalOptions::new().max_segment_bytes(600), JOURNAL)?;
    let changes = disk.reader(JOURNAL).records_from(snapshot.seq + 1);
    Broker::resume(store, snapshot.clone(), changes, Path::new("/"))
}

fn changes() -> impl Iterator<Item = Change> {
    let config = TopicConfig { partitions: 1, retention_hours: 1 };
    let creations = TOPICS.map(|topic| Change::CreateTopic { topic: topic.into(), config: config.clone() });
    let joining = Change::Join { group: "g".into(), member: "m".into() };
    let acknowledgements = (1..200).map(|offset| {
        let topic = TOPICS[offset as usize % TOPICS.len()].into();
        Change::Acknowledge { group: "g".into(), topic, offset }
    });
    creations.into_iter().chain([joining]).chain(acknowledgements)
}

/// Applies changes until the power is cut.
fn serve(broker: &Broker, external: &mut ExternalState) {
    for (number, change) in changes().enumerate() {
        external.in_flight = Some(change.clone());
        if block_on(broker.change(change.clone())).is_err() {
            return;
        }
        external.acknowledged.apply(change).unwrap();
        external.in_flight = None;
        if number % SNAPSHOT_EVERY == 0 {
            external.snapshot = broker.copy();
            let Ok(first_seq) = broker.release(&external.snapshot) else { return };
            external.first_seq = first_seq;
        }
    }
}

#[test]
fn broker_state_survives_any_power_cut() {
    let (mut changed, mut released) = (0, 0);
    for operation in 1..300 {
        let disk = SimDisk::new(operation);
        disk.power_cut_at(operation);
        let mut external = ExternalState::default();
        if let Ok(broker) = open(&disk, &external.snapshot) {
            serve(&broker, &mut external);
        }
        disk.restart();
        let recovered = open(&disk, &external.snapshot).unwrap().metadata();
        let ExternalState { acknowledged, in_flight, first_seq, .. } = external;
        changed += acknowledged.offset("g", TOPICS[0]);
        released += first_seq.saturating_sub(1);
        let including_it = in_flight.map(|change| {
            let mut including_it = acknowledged.clone();
            including_it.apply(change).unwrap();
            including_it
        });
        assert!(
            recovered == acknowledged || Some(&recovered) == including_it.as_ref(),
            "operation {operation}: {recovered:?}, not {acknowledged:?}, nor {including_it:?}"
        );
    }
    assert!(changed > 1000 && released > 1000, "{changed} {released}");
}
