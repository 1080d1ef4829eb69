use super::*;

/// Journal 1 keeps everything, journal 0 keeps few segments.
const KEEPS_ALL: u64 = 1;
const KEEPS_FEW: u64 = 0;

fn record(journal: u64, client: u64, number: u64, index: u64, batch_len: u64) -> TestRecord {
    TestRecord::new((journal, 0, client), number, index, batch_len, 20)
}

/// Client 0 wrote a record, then a batch of three. Client 1 wrote a record in between.
fn records(journal: u64) -> Vec<(u64, TestRecord)> {
    let list = [
        record(journal, 0, 1, 0, 1),
        record(journal, 1, 1, 0, 1),
        record(journal, 0, 2, 0, 3),
        record(journal, 0, 3, 1, 3),
        record(journal, 0, 4, 2, 3),
    ];
    (1..).zip(list).collect()
}

fn acked(journal: u64) -> AckedState {
    let markers = [
        Marker::Opened { journal, next_seq: 1 },
        Marker::Issued { journal, generation: 0, client: 0, upto: 4 },
        Marker::Issued { journal, generation: 0, client: 1, upto: 1 },
        Marker::Acknowledged { journal, generation: 0, client: 0, number: 1, count: 1, seq: Some(1) },
        Marker::Acknowledged { journal, generation: 0, client: 1, number: 1, count: 1, seq: Some(2) },
        Marker::Acknowledged { journal, generation: 0, client: 0, number: 2, count: 3, seq: Some(3) },
    ];
    let markers: Vec<(usize, Marker)> = markers.into_iter().enumerate().collect();
    AckedStates::new(&markers).at(markers.len())[usize::try_from(journal).unwrap()].clone()
}

#[test]
fn only_earlier_markers_count() {
    let acknowledged = |number| Marker::Acknowledged {
        journal: 1,
        generation: 0,
        client: 0,
        number,
        count: 1,
        seq: Some(number),
    };
    let markers = [(3, acknowledged(1)), (8, acknowledged(2))];
    let mut acked_states = AckedStates::new(&markers);
    for (at, expected) in [(9, 2), (3, 0), (4, 1), (8, 1)] {
        assert_eq!(acked_states.at(at)[1].acknowledged.len(), expected, "{at}");
    }
}

fn check(acked: &AckedState, records: &[(u64, TestRecord)]) -> Result<(), String> {
    acked.check(&JournalContents { records, segments: 4 })
}

fn renumbered(mut records: Vec<(u64, TestRecord)>) -> Vec<(u64, TestRecord)> {
    for (number, record) in (1..).zip(&mut records) {
        record.0 = number;
    }
    records
}

#[test]
fn acknowledged_records_are_accepted() {
    assert_eq!(check(&acked(KEEPS_ALL), &records(KEEPS_ALL)), Ok(()));
}

#[test]
fn lost_record_is_detected_at_any_position() {
    for lost in 0..5 {
        let mut found = records(KEEPS_ALL);
        found.remove(lost);
        assert!(check(&acked(KEEPS_ALL), &found).is_err(), "{lost}");
        assert!(check(&acked(KEEPS_ALL), &renumbered(found)).is_err(), "{lost}");
    }
    assert!(check(&acked(KEEPS_ALL), &[]).unwrap_err().contains("LOST"));
}

#[test]
fn repeated_or_reordered_record_is_detected() {
    let mut twice = records(KEEPS_ALL);
    twice.insert(1, twice[1].clone());
    assert!(check(&acked(KEEPS_ALL), &renumbered(twice)).is_err());
    let mut swapped = records(KEEPS_ALL);
    swapped.swap(0, 1);
    assert!(check(&acked(KEEPS_ALL), &renumbered(swapped)).is_err());
}

#[test]
fn record_that_was_not_issued_is_detected() {
    let mut found = records(KEEPS_ALL);
    found.push((6, record(KEEPS_ALL, 0, 5, 0, 1)));
    assert!(check(&acked(KEEPS_ALL), &found).unwrap_err().contains("never issued"));
}

#[test]
fn incomplete_unacknowledged_batch_is_detected() {
    let acked = AckedState { acknowledged: BTreeMap::new(), ..acked(KEEPS_ALL) };
    assert_eq!(check(&acked, &records(KEEPS_ALL)[..2]), Ok(()));
    assert!(check(&acked, &records(KEEPS_ALL)[..4]).unwrap_err().contains("batch"));
}

#[test]
fn changed_record_is_detected() {
    let mut found = records(KEEPS_ALL);
    found[3].1.text.replace_range(..1, "!");
    assert!(check(&acked(KEEPS_ALL), &found).unwrap_err().contains("not intact"));
}

#[test]
fn only_retention_may_delete_the_first_records() {
    let found = records(KEEPS_FEW).split_off(2);
    let few = acked(KEEPS_FEW);
    let segments = workload::max_segments(KEEPS_FEW).unwrap();
    assert_eq!(few.check(&JournalContents { records: &found, segments }), Ok(()));
    assert!(few.check(&JournalContents { records: &found, segments: segments - 1 }).is_err());
    let found = records(KEEPS_ALL).split_off(2);
    assert!(acked(KEEPS_ALL).check(&JournalContents { records: &found, segments: 9 }).is_err());
}

#[test]
fn records_found_by_an_open_must_remain() {
    let acked = AckedState { next_seq: 6, acknowledged: BTreeMap::new(), ..acked(KEEPS_ALL) };
    assert_eq!(check(&acked, &records(KEEPS_ALL)), Ok(()));
    assert!(check(&acked, &records(KEEPS_ALL)[..2]).unwrap_err().contains("earlier open"));
}

#[test]
fn loss_of_early_acknowledged_record_is_detected() {
    let acked = AckedState {
        acknowledged: BTreeMap::new(),
        acknowledged_early: BTreeMap::from([((0, 1), 1)]),
        ..acked(KEEPS_ALL)
    };
    assert_eq!(check(&acked, &records(KEEPS_ALL)[..2]), Ok(()));
    assert!(check(&acked, &records(KEEPS_ALL)[..1]).unwrap_err().contains("LOST"));
}

#[test]
fn number_assigned_twice_is_detected() {
    let mut acked = acked(KEEPS_ALL);
    acked.add(&Marker::Acknowledged {
        journal: 1,
        generation: 0,
        client: 1,
        number: 1,
        count: 1,
        seq: Some(5),
    });
    assert!(check(&acked, &records(KEEPS_ALL)).unwrap_err().contains("twice"));
}
