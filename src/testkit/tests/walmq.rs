//! The example broker, crashed: how a program uses the simulated disk for a test of its own.

#[allow(dead_code, unreachable_pub, reason = "it is an example, read by itself")]
#[path = "../../../examples/walmq_metadata/main.rs"]
mod walmq_metadata;

use walmq_metadata::{Broker, BrokerError, Change, Metadata, Snapshot, TopicConfig};

use super::*;
use crate::sync::block_on;

const JOURNAL: &str = "/var/lib/walmq/metadata.jsonl";
const TOPICS: [&str; 3] = ["orders", "mails", "audit"];

/// After so many changes a snapshot is taken.
const SNAPSHOT_EVERY: usize = 25;

/// What outlives a power cut beside the simulated disk: the snapshot, and what was acknowledged.
#[derive(Default)]
struct Outside {
    snapshot: Snapshot,
    acknowledged: Metadata,
    on_its_way: Option<Change>,
    /// The highest that a release gave.
    first_seq: u64,
}

fn open(disk: &SimDisk, snapshot: &Snapshot) -> std::result::Result<Broker, BrokerError> {
    // Small segments, so that rotations and releases are cut off, too.
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

/// Serves until the power is cut.
fn serve(broker: &Broker, outside: &mut Outside) {
    for (number, change) in changes().enumerate() {
        outside.on_its_way = Some(change.clone());
        if block_on(broker.change(change.clone())).is_err() {
            return;
        }
        outside.acknowledged.apply(change).unwrap();
        outside.on_its_way = None;
        if number % SNAPSHOT_EVERY == 0 {
            outside.snapshot = broker.copy();
            let Ok(first_seq) = broker.release(&outside.snapshot) else { return };
            outside.first_seq = first_seq;
        }
    }
}

#[test]
fn broker_state_survives_any_power_cut() {
    let (mut changed, mut released) = (0, 0);
    for operation in 1..300 {
        let disk = SimDisk::new(operation);
        disk.power_cut_at(operation);
        let mut outside = Outside::default();
        if let Ok(broker) = open(&disk, &outside.snapshot) {
            serve(&broker, &mut outside);
        }
        disk.restart();
        let recovered = open(&disk, &outside.snapshot).unwrap().metadata();
        let Outside { acknowledged, on_its_way, first_seq, .. } = outside;
        changed += acknowledged.offset("g", TOPICS[0]);
        released += first_seq.saturating_sub(1);
        let with_it = on_its_way.map(|change| {
            let mut with_it = acknowledged.clone();
            with_it.apply(change).unwrap();
            with_it
        });
        assert!(
            recovered == acknowledged || Some(&recovered) == with_it.as_ref(),
            "operation {operation}: {recovered:?}, not {acknowledged:?}, nor {with_it:?}"
        );
    }
    assert!(changed > 1000 && released > 1000, "{changed} {released}");
}
