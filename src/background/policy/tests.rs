//! The rules, held against a second way to say them, on every small journal.

use std::time::Duration;

use proptest::prelude::*;

use super::*;

/// An archived segment.
#[derive(Debug, Clone, Copy)]
struct Segment {
    records: u64,
    bytes: u64,
    age: u64,
    /// The one behind it says where it begins.
    ends: bool,
}

/// A journal from record 1 on.
fn firsts(segments: &[Segment]) -> Vec<u64> {
    let mut first = 1;
    let mut firsts = vec![first];
    for segment in segments {
        first += segment.records;
        firsts.push(first);
    }
    firsts
}

/// Asks about the oldest segment until it stays, as the housekeeper does.
fn deleted(rules: &RetentionPolicy, segments: &[Segment], active_bytes: u64) -> Vec<DeleteReason> {
    let firsts = firsts(segments);
    let mut left = JournalSize {
        segments: segments.len() + 1,
        bytes: active_bytes + segments.iter().map(|segment| segment.bytes).sum::<u64>(),
    };
    let mut deleted = Vec::new();
    for (index, segment) in segments.iter().enumerate() {
        let end = segment.ends.then(|| firsts[index + 1]);
        let oldest = OldestSegment { first: firsts[index], end, age: Some(Duration::from_secs(segment.age)) };
        let Some(why) = rules.delete_reason(left, &oldest) else { break };
        deleted.push(why);
        left = JournalSize { segments: left.segments - 1, bytes: left.bytes - segment.bytes };
    }
    deleted
}

/// The same, said at once: as many as the most demanding rule wants, but not past what is held.
fn expected(rules: &RetentionPolicy, segments: &[Segment], active_bytes: u64) -> usize {
    let RetentionPolicy { limits, trimmed_before, lowest_hold } = *rules;
    let ends = &firsts(segments)[1..];
    let bytes_behind =
        |count: usize| active_bytes + segments[count..].iter().map(|segment| segment.bytes).sum::<u64>();
    let may_go =
        |index: usize| lowest_hold == u64::MAX || (segments[index].ends && ends[index] <= lowest_hold);
    let wanted = |index: usize| {
        segments.len() + 1 - index > limits.max_segments
            || bytes_behind(index) > limits.max_total_bytes
            || segments[index].age > limits.max_age.as_secs()
            || (segments[index].ends && ends[index] <= trimmed_before)
    };
    (0..segments.len()).take_while(|&index| wanted(index) && may_go(index)).count()
}

fn segment() -> impl Strategy<Value = Segment> {
    (1..4_u64, 1..5_u64, 0..4_u64, prop::bool::weighted(0.8))
        .prop_map(|(records, bytes, age, ends)| Segment { records, bytes, age, ends })
}

fn rules() -> impl Strategy<Value = RetentionPolicy> {
    let limits = (
        prop_oneof![Just(usize::MAX), 1..6_usize],
        prop_oneof![Just(u64::MAX), 1..20_u64],
        prop_oneof![Just(Duration::MAX), (1..4_u64).prop_map(Duration::from_secs)],
    );
    let limits = limits.prop_map(|(max_segments, max_total_bytes, max_age)| RetentionLimits {
        max_segments,
        max_total_bytes,
        max_age,
    });
    (limits, prop_oneof![Just(0), 0..20_u64], prop_oneof![Just(u64::MAX), 0..20_u64]).prop_map(
        |(limits, trimmed_before, lowest_hold)| RetentionPolicy { limits, trimmed_before, lowest_hold },
    )
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(4000))]

    #[test]
    fn oldest_unheld_segments_are_selected(
        rules in rules(),
        segments in prop::collection::vec(segment(), 0..6),
        active_bytes in 0..5_u64,
    ) {
        let deleted = deleted(&rules, &segments, active_bytes);
        prop_assert_eq!(deleted.len(), expected(&rules, &segments, active_bytes));
    }

    #[test]
    fn no_record_that_is_held_goes(
        rules in rules(),
        segments in prop::collection::vec(segment(), 0..6),
    ) {
        let gone = deleted(&rules, &segments, 1).len();
        prop_assert!(gone == 0 || firsts(&segments)[gone] <= rules.lowest_hold);
    }
}

const KEEP: RetentionLimits =
    RetentionLimits { max_segments: usize::MAX, max_total_bytes: u64::MAX, max_age: Duration::MAX };

/// Three segments of ten records, the oldest first.
const THREE: [Segment; 3] = [
    Segment { records: 10, bytes: 5, age: 30, ends: true },
    Segment { records: 10, bytes: 5, age: 20, ends: true },
    Segment { records: 10, bytes: 5, age: 10, ends: true },
];

#[test]
fn by_default_everything_is_kept() {
    let rules = RetentionPolicy { limits: KEEP, trimmed_before: 0, lowest_hold: u64::MAX };
    assert_eq!(deleted(&rules, &THREE, 5), []);
}

#[test]
fn each_rule_says_why() {
    let of = |limits, trimmed_before| RetentionPolicy { limits, trimmed_before, lowest_hold: u64::MAX };
    assert_eq!(deleted(&of(KEEP, 21), &THREE, 5), [DeleteReason::Trimmed; 2]);
    assert_eq!(deleted(&of(KEEP, 20), &THREE, 5), [DeleteReason::Trimmed; 1]);
    assert_eq!(
        deleted(&of(RetentionLimits { max_segments: 2, ..KEEP }, 0), &THREE, 5),
        [DeleteReason::Count; 2]
    );
    assert_eq!(
        deleted(&of(RetentionLimits { max_total_bytes: 12, ..KEEP }, 0), &THREE, 5),
        [DeleteReason::Bytes; 2]
    );
    assert_eq!(
        deleted(&of(RetentionLimits { max_age: Duration::from_secs(20), ..KEEP }, 0), &THREE, 5),
        [DeleteReason::Age]
    );
    let released_first = of(RetentionLimits { max_segments: 1, ..KEEP }, 11);
    assert_eq!(
        deleted(&released_first, &THREE, 5),
        [DeleteReason::Trimmed, DeleteReason::Count, DeleteReason::Count]
    );
}

#[test]
fn hold_overrides_every_rule() {
    let limits = RetentionLimits { max_segments: 1, max_total_bytes: 1, max_age: Duration::from_secs(1) };
    for (lowest_hold, gone) in [(0, 0), (1, 0), (10, 0), (11, 1), (20, 1), (21, 2), (31, 3), (u64::MAX, 3)] {
        let rules = RetentionPolicy { limits, trimmed_before: 1000, lowest_hold };
        assert_eq!(deleted(&rules, &THREE, 5).len(), gone, "held from {lowest_hold}");
    }
}

#[test]
fn segment_with_unknown_end_is_held() {
    let unknown = THREE.map(|segment| Segment { ends: false, ..segment });
    let one_left = RetentionLimits { max_segments: 1, ..KEEP };
    let rules = RetentionPolicy { limits: KEEP, trimmed_before: 1000, lowest_hold: u64::MAX };
    assert_eq!(deleted(&rules, &unknown, 5), []);
    let rules = RetentionPolicy { limits: one_left, trimmed_before: 0, lowest_hold: 1000 };
    assert_eq!(deleted(&rules, &unknown, 5), []);
    let rules = RetentionPolicy { limits: one_left, trimmed_before: 0, lowest_hold: u64::MAX };
    assert_eq!(deleted(&rules, &unknown, 5), [DeleteReason::Count; 3]);
}
