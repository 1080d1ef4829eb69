//! Groups: their contents, their buffers, and when they are full.

use bytes::Bytes;
use proptest::{collection::vec, prelude::*};

use super::{
    super::{
        group::{GroupBuffers, RETAINED_CAPACITY_BYTES},
        queue_state::RETAINED_BUFFERS,
        queued_append::COPY_THRESHOLD_BYTES,
    },
    *,
};
use crate::format::LF;

/// Bytes of a full group.
const FULL_BYTES: u64 = 1 << 20;

/// Returns a group outside any queue.
fn new_group(buffers: GroupBuffers) -> Group {
    Group::with_buffers(buffers, FULL_BYTES, status())
}

/// Generates payloads with their number of records.
fn appends() -> impl Strategy<Value = Vec<(Bytes, u64)>> {
    let lens = prop_oneof![
        3 => vec(1_usize..40, 0..4),
        1 => vec(COPY_THRESHOLD_BYTES - 2..COPY_THRESHOLD_BYTES + 3, 1..2),
        1 => vec(COPY_THRESHOLD_BYTES / 2 - 2..COPY_THRESHOLD_BYTES / 2 + 3, 1..4),
    ];
    let lines = (lens, any::<u8>()).prop_map(|(lens, seed)| {
        let line = |(at, len): (usize, &usize)| vec![b'a' + (seed.wrapping_add(at as u8) % 26); *len];
        let lines: Vec<_> = lens.iter().enumerate().map(line).collect();
        (Bytes::from(lines.join(&LF)), lines.len() as u64)
    });
    vec(lines, 0..12)
}

fn group_of(appends: &[(Bytes, u64)], buffers: GroupBuffers) -> Group {
    let mut group = new_group(buffers);
    for (at, (bytes, records)) in appends.iter().enumerate() {
        let lines = if at % 2 == 0 { Payload::Bytes(bytes.clone()) } else { Payload::Vec(bytes.to_vec()) };
        drop(group.add(&mut QueuedAppend { records: *records, ..queued(lines, 10) }));
    }
    group
}

fn check_group(group: &mut Group, appends: &[(Bytes, u64)]) -> Result<(), TestCaseError> {
    let written: Vec<_> =
        appends.iter().filter(|(_, records)| *records > 0).map(|(bytes, _)| &bytes[..]).collect();
    let json = |(bytes, records): &(Bytes, u64)| bytes.len() as u64 - records.saturating_sub(1);
    let each = appends.iter().map(|append| (&append.0[..], append.1, json(append)));
    prop_assert_eq!(group.pieces().collect::<Vec<_>>().join(&LF), written.join(&LF));
    prop_assert!(group.each().eq(each));
    prop_assert_eq!(group.appends(), appends.len());
    prop_assert_eq!(group.records(), appends.iter().map(|append| append.1).sum::<u64>());
    prop_assert_eq!(group.bytes(), appends.iter().map(|append| append.0.len() as u64).sum::<u64>());
    prop_assert_eq!(group.json_bytes(), appends.iter().map(json).sum::<u64>());
    prop_assert_eq!(group.permits(), 10 * appends.len() as u64);
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 128, ..ProptestConfig::default() })]

    /// In new buffers and in those of another group.
    #[test]
    fn group_returns_the_appends_added_to_it(first in appends(), second in appends()) {
        let mut group = group_of(&first, GroupBuffers::default());
        check_group(&mut group, &first)?;
        let mut group = group_of(&second, group.take_buffers());
        check_group(&mut group, &second)?;
    }

    #[test]
    fn each_slot_gets_its_first_seq(appends in appends(), first in 1_u64..1 << 60) {
        let mut group = new_group(GroupBuffers::default());
        let slots: Vec<_> = appends
            .iter()
            .map(|(bytes, records)| {
                let lines = Payload::Bytes(bytes.clone());
                group.add(&mut QueuedAppend { records: *records, ..queued(lines, 0) })
            })
            .collect();
        prop_assert!(slots.iter().all(|slot| slot.outcome().is_none()));
        group.complete(AppendOutcome::Durable(committed(first)));
        let (mut next, mut offset) = (first, 1000);
        for (slot, (bytes, records)) in slots.iter().zip(&appends) {
            let Some(AppendOutcome::Durable(info)) = slot.outcome() else { panic!("not durable") };
            prop_assert_eq!((info.seq, info.offset), (next, offset));
            next += records;
            offset += if *records > 0 { bytes.len() as u64 + 1 } else { 0 };
        }
    }
}

#[test]
fn first_outcome_of_a_group_is_kept() {
    let mut group = new_group(GroupBuffers::default());
    let slot = group.add(&mut queued(line(1), 0));
    group.complete(AppendOutcome::Durable(committed(5)));
    group.complete(AppendOutcome::Rejected);
    drop(group);
    assert!(matches!(slot.outcome(), Some(AppendOutcome::Durable(info)) if info.seq == 5));
}

#[test]
fn group_is_full_at_its_maximum_bytes() {
    let ends = QueueEnds::new(1000, 10);
    for bytes in [9, 5, 10, 1, 8, 1, 1, 30] {
        drop(ends.submit(bytes));
    }
    let groups = std::iter::from_fn(|| ends.poll_group().map(|group| (group.appends(), group.bytes())));
    assert_eq!(groups.collect::<Vec<_>>(), [(2, 14), (1, 10), (3, 10), (2, 31)]);
}

#[test]
fn dropped_group_rejects_its_appends() {
    let ends = QueueEnds::new(100, 100);
    let mut pending = ends.submit(1);
    let woken = Arc::new(WakeCounter::default());
    assert!(poll(&mut pending, &Waker::from(Arc::clone(&woken))).is_pending());
    drop(ends.group());
    assert_eq!(woken.0.load(SeqCst), 1);
    assert!(matches!(now(pending), Err(MiniStoreError::WriterPanicked)));
}

#[test]
fn buffers_of_a_group_are_reused_for_the_next() {
    let ends = QueueEnds::new(1000, 1000);
    drop(ends.submit(700));
    let group = ends.group();
    let memory = group.pieces().next().unwrap().as_ptr();
    ends.complete(group, AppendOutcome::Rejected);
    drop(ends.submit(600));
    assert_eq!(ends.group().pieces().next().unwrap().as_ptr(), memory);
}

#[test]
fn buffers_of_large_groups_shrink() {
    let mut group = new_group(GroupBuffers::default());
    let small = COPY_THRESHOLD_BYTES - 1;
    for _ in 0..2 * RETAINED_CAPACITY_BYTES / small {
        drop(group.add(&mut queued(line(small), 0)));
    }
    for _ in 0..RETAINED_CAPACITY_BYTES / 10 {
        drop(group.add(&mut QueuedAppend { records: 0, ..queued(line(0), 0) }));
    }
    drop(group.add(&mut queued(line(COPY_THRESHOLD_BYTES), 0)));
    assert!(group.bytes() > RETAINED_CAPACITY_BYTES as u64);
    let retained = group.take_buffers();
    assert!(
        retained.bytes() > 0 && retained.bytes() <= 2 * RETAINED_CAPACITY_BYTES,
        "{} bytes are retained",
        retained.bytes()
    );
}

#[test]
fn buffers_of_at_most_two_groups_are_kept() {
    let ends = QueueEnds::new(1000, 1);
    for _ in 0..8 {
        drop(ends.submit(1));
    }
    let groups: Vec<_> = (0..8).map(|_| ends.group()).collect();
    groups.into_iter().for_each(|group| ends.complete(group, AppendOutcome::Rejected));
    assert_eq!(ends.queue.lock().spare.len(), RETAINED_BUFFERS);
}

#[test]
fn expect_seq_append_gets_its_own_group() {
    let ends = QueueEnds::new(100, 100);
    for expected_seq in [None, None, Some(3), Some(4), None, None] {
        drop(ends.append(QueuedAppend { expected_seq, ..queued(line(1), 1) }));
    }
    let groups =
        std::iter::from_fn(|| ends.poll_group().map(|group| (group.appends(), group.expected_seq())));
    assert_eq!(groups.collect::<Vec<_>>(), [(2, None), (1, Some(3)), (1, Some(4)), (2, None)]);
}

#[test]
fn expect_seq_append_is_not_encoded_early() {
    let ends = QueueEnds::new(100, 100);
    let append = || QueuedAppend { expected_seq: Some(9), ..queued(line(1), 1) };
    drop(ends.append(append()));
    drop(ends.submit(1));
    assert!(ends.mailbox().take_full_group().is_none());
    drop(ends.group());
    assert!(ends.mailbox().take_full_group().is_none(), "the group is not full yet");
    drop(ends.append(append()));
    assert!(ends.mailbox().take_full_group().is_some());
}
