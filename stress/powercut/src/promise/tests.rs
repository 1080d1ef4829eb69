use super::*;

/// Journal 1 keeps everything, journal 0 keeps few segments.
const KEEPS_ALL: u64 = 1;
const KEEPS_FEW: u64 = 0;

fn line(journal: u64, caller: u64, number: u64, place: u64, batch: u64) -> Line {
    Line::new((journal, 0, caller), number, place, batch, 20)
}

/// Caller 0 wrote a record, then a batch of three; caller 1 wrote a record in between.
fn records(journal: u64) -> Vec<(u64, Line)> {
    let lines = [
        line(journal, 0, 1, 0, 1),
        line(journal, 1, 1, 0, 1),
        line(journal, 0, 2, 0, 3),
        line(journal, 0, 3, 1, 3),
        line(journal, 0, 4, 2, 3),
    ];
    (1..).zip(lines).collect()
}

fn promise(journal: u64) -> Promise {
    let said = [
        Mark::Opened { journal, next_seq: 1 },
        Mark::Issued { journal, generation: 0, caller: 0, upto: 4 },
        Mark::Issued { journal, generation: 0, caller: 1, upto: 1 },
        Mark::Acknowledged { journal, generation: 0, caller: 0, number: 1, count: 1, seq: Some(1) },
        Mark::Acknowledged { journal, generation: 0, caller: 1, number: 1, count: 1, seq: Some(2) },
        Mark::Acknowledged { journal, generation: 0, caller: 0, number: 2, count: 3, seq: Some(3) },
    ];
    let marks: Vec<(usize, Mark)> = said.into_iter().enumerate().collect();
    Promises::new(&marks).at(marks.len())[usize::try_from(journal).unwrap()].clone()
}

#[test]
fn only_what_was_said_before_is_promised() {
    let said = |number| Mark::Acknowledged {
        journal: 1,
        generation: 0,
        caller: 0,
        number,
        count: 1,
        seq: Some(number),
    };
    let marks = [(3, said(1)), (8, said(2))];
    let mut promises = Promises::new(&marks);
    for (at, expected) in [(9, 2), (3, 0), (4, 1), (8, 1)] {
        assert_eq!(promises.at(at)[1].acknowledged.len(), expected, "{at}");
    }
}

fn check(promise: &Promise, records: &[(u64, Line)]) -> Result<(), String> {
    promise.check(&Found { records, segments: 4 })
}

fn renumbered(mut records: Vec<(u64, Line)>) -> Vec<(u64, Line)> {
    for (number, record) in (1..).zip(&mut records) {
        record.0 = number;
    }
    records
}

#[test]
fn what_was_promised_is_found() {
    assert_eq!(check(&promise(KEEPS_ALL), &records(KEEPS_ALL)), Ok(()));
}

#[test]
fn a_lost_record_is_noticed_wherever_it_was() {
    for lost in 0..5 {
        let mut found = records(KEEPS_ALL);
        found.remove(lost);
        assert!(check(&promise(KEEPS_ALL), &found).is_err(), "{lost}");
        assert!(check(&promise(KEEPS_ALL), &renumbered(found)).is_err(), "{lost}");
    }
    assert!(check(&promise(KEEPS_ALL), &[]).unwrap_err().contains("LOST"));
}

#[test]
fn a_record_found_twice_or_out_of_order_is_noticed() {
    let mut twice = records(KEEPS_ALL);
    twice.insert(1, twice[1].clone());
    assert!(check(&promise(KEEPS_ALL), &renumbered(twice)).is_err());
    let mut swapped = records(KEEPS_ALL);
    swapped.swap(0, 1);
    assert!(check(&promise(KEEPS_ALL), &renumbered(swapped)).is_err());
}

#[test]
fn a_record_that_was_not_issued_is_noticed() {
    let mut found = records(KEEPS_ALL);
    found.push((6, line(KEEPS_ALL, 0, 5, 0, 1)));
    assert!(check(&promise(KEEPS_ALL), &found).unwrap_err().contains("never issued"));
}

#[test]
fn half_a_batch_is_noticed_though_it_was_not_acknowledged() {
    let promise = Promise { acknowledged: BTreeMap::new(), ..promise(KEEPS_ALL) };
    assert_eq!(check(&promise, &records(KEEPS_ALL)[..2]), Ok(()));
    assert!(check(&promise, &records(KEEPS_ALL)[..4]).unwrap_err().contains("batch"));
}

#[test]
fn a_changed_record_is_noticed() {
    let mut found = records(KEEPS_ALL);
    found[3].1.text.replace_range(..1, "!");
    assert!(check(&promise(KEEPS_ALL), &found).unwrap_err().contains("not what"));
}

#[test]
fn only_retention_may_take_from_the_front_and_only_so_much() {
    let found = records(KEEPS_FEW).split_off(2);
    let few = promise(KEEPS_FEW);
    let segments = workload::segments_max(KEEPS_FEW).unwrap();
    assert_eq!(few.check(&Found { records: &found, segments }), Ok(()));
    assert!(few.check(&Found { records: &found, segments: segments - 1 }).is_err());
    let found = records(KEEPS_ALL).split_off(2);
    assert!(promise(KEEPS_ALL).check(&Found { records: &found, segments: 9 }).is_err());
}

#[test]
fn what_an_open_found_stays() {
    let promise = Promise { next_seq: 6, acknowledged: BTreeMap::new(), ..promise(KEEPS_ALL) };
    assert_eq!(check(&promise, &records(KEEPS_ALL)), Ok(()));
    assert!(check(&promise, &records(KEEPS_ALL)[..2]).unwrap_err().contains("open had found"));
}

#[test]
fn a_record_acknowledged_too_early_is_missed() {
    let promise = Promise {
        acknowledged: BTreeMap::new(),
        acknowledged_early: BTreeMap::from([((0, 1), 1)]),
        ..promise(KEEPS_ALL)
    };
    assert_eq!(check(&promise, &records(KEEPS_ALL)[..2]), Ok(()));
    assert!(check(&promise, &records(KEEPS_ALL)[..1]).unwrap_err().contains("LOST"));
}

#[test]
fn a_number_given_out_twice_is_noticed() {
    let mut promise = promise(KEEPS_ALL);
    promise.add(&Mark::Acknowledged {
        journal: 1,
        generation: 0,
        caller: 1,
        number: 1,
        count: 1,
        seq: Some(5),
    });
    assert!(check(&promise, &records(KEEPS_ALL)).unwrap_err().contains("twice"));
}
