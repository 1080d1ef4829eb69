//! Lookups in damaged segments.

use super::{JournalFiles, first_segment, get, groups, text};
use crate::{
    MiniStoreError,
    format::{ChainLink, SegmentHeader, testing::SegmentBytes},
};

/// Returns three segments, the last of which is active, and the sequence number of the last record.
fn three_segments() -> ([(&'static str, Vec<u8>); 3], u64) {
    let one = groups(first_segment(), 1..=3, "one");
    let two =
        SegmentBytes::new(SegmentHeader::Checksummed(ChainLink { first_seq: 4, prev_seal: one.last_seal() }));
    let two = groups(two, 4..=5, "one").group(&[text(6, "one"), text(7, "one")]);
    let three =
        SegmentBytes::new(SegmentHeader::Checksummed(ChainLink { first_seq: 8, prev_seal: two.last_seal() }));
    let three = groups(three, 8..=10, "one");
    ([(".001", one.closed()), (".002", two.closed()), ("", three.padded(40))], 10)
}

/// Changes each byte, with and without an index: every record that is returned was appended.
#[test]
fn changed_byte_yields_error_or_right_record() {
    let (segments, last) = three_segments();
    let files = JournalFiles::new();
    let (mut errors, mut right) = (0, 0);
    for (suffix, bytes) in &segments {
        for at in 0..bytes.len() {
            let others = [b' ' ^ b'\t', b'\n' ^ b' ', b'1' ^ b'9', b'}' ^ b' '];
            for change in [1 << (at % 8), others[at % others.len()]] {
                for (suffix, bytes) in &segments {
                    files.write(suffix, bytes);
                }
                let indexed = files.reader();
                assert_eq!(indexed.range::<String>(..).filter_map(Result::ok).count() as u64, last);
                let mut damaged = bytes.clone();
                damaged[at] ^= change;
                files.write(suffix, &damaged);
                for reader in [indexed, files.reader()] {
                    for seq in [1, 3, 4, 6, 7, 8, 10, 11] {
                        let expected = (seq <= last).then(|| text(seq, "one"));
                        match get(&reader, seq) {
                            Ok(found) if found == expected => right += 1,
                            // The last record cannot be distinguished from a commit that was in flight.
                            Ok(None) if seq == last && suffix.is_empty() => {}
                            Ok(found) => panic!("{suffix:?} byte {at} ^ {change}: {seq} is {found:?}"),
                            Err(MiniStoreError::Corrupt { .. } | MiniStoreError::MissingInitialState) => {
                                errors += 1;
                            }
                            Err(error) => panic!("{suffix:?} byte {at} ^ {change}: {seq}: {error}"),
                        }
                    }
                }
            }
        }
    }
    assert!(errors > 1000 && right > 1000, "{errors} errors, {right} right");
}

#[test]
fn damage_after_a_record_does_not_affect_get() {
    let files = JournalFiles::new();
    let segment = groups(first_segment(), 1..=50, "x");
    let mut bytes = segment.closed();
    let half = bytes.len() / 2;
    bytes[half] ^= 1;
    files.write("", &bytes);
    let reader = files.reader();
    assert_eq!(get(&reader, 5).unwrap(), Some(text(5, "x")));
    let found = get(&reader, 45);
    assert!(matches!(found, Err(MiniStoreError::Corrupt { .. })), "{found:?}");
    let found: Vec<_> = reader.range::<String>(3..10).collect();
    assert!(found.len() == 7 && found.iter().all(Result::is_ok), "{found:?}");
}
