//! The example broker, crashed: how a program uses the simulated disk for a test of its own.

#[allow(unreachable_pub, reason = "it is an example, read by itself")]
#[path = "../../../examples/walmq_metadata.rs"]
mod walmq_metadata;

use walmq_metadata::{Broker, Change, Metadata, TopicConfig};

use super::*;

const JOURNAL: &str = "/var/lib/walmq/metadata.jsonl";
const TOPICS: [&str; 3] = ["orders", "mails", "audit"];

fn open(disk: &SimDisk) -> Result<Broker> {
    // Small segments, so that rotations are cut off, too.
    let store = disk.open_blocking(JournalOptions::new().max_bytes_per_segment(600), JOURNAL)?;
    Broker::resume(store, disk.records(JOURNAL))
}

/// Serves until the power is cut; says what was acknowledged, and what was on its way.
fn serve(broker: &mut Broker) -> (Metadata, Option<Change>) {
    let config = TopicConfig { partitions: 1, retention_hours: 1 };
    let creations = TOPICS.map(|topic| Change::CreateTopic { topic: topic.into(), config: config.clone() });
    let joining = Change::Join { group: "g".into(), member: "m".into() };
    let acknowledgements = (1..200).map(|offset| {
        let topic = TOPICS[offset as usize % TOPICS.len()].into();
        Change::Acknowledge { group: "g".into(), topic, offset }
    });
    for change in creations.into_iter().chain([joining]).chain(acknowledgements) {
        if broker.change(change.clone()).is_err() {
            return (broker.metadata().clone(), Some(change));
        }
    }
    (broker.metadata().clone(), None)
}

#[test]
fn after_any_power_cut_every_acknowledged_offset_is_there() {
    let mut offsets = 0;
    for operation in 1..150 {
        let disk = SimDisk::new(operation);
        disk.cut_power_at(operation);
        let served = open(&disk).map(|mut broker| serve(&mut broker));
        disk.restart();
        let recovered = open(&disk).unwrap();
        let (acknowledged, on_its_way) = served.unwrap_or_default();
        for topic in TOPICS {
            let (told, found) = (acknowledged.offset("g", topic), recovered.metadata().offset("g", topic));
            let may_be = match &on_its_way {
                Some(Change::Acknowledge { topic: of, offset, .. }) if of == topic => *offset,
                _ => told,
            };
            assert!(found == told || found == may_be, "operation {operation}, {topic}: {found}, not {told}");
            offsets += u64::from(told > 0);
        }
        assert!(
            acknowledged.topics.iter().all(|topic| recovered.metadata().topics.get(topic.0) == Some(topic.1))
        );
    }
    assert!(offsets > 100, "{offsets}");
}
