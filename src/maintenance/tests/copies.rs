//! What copying a live journal file by file leaves.

use super::*;

/// Writes what copying a live journal file by file leaves: the active segment as it was before a rotation, and the segment that it
/// became.
fn copied_live_journal(dir: &Path, copied_bytes: impl FnOnce(&[u8]) -> Vec<u8>) -> PathBuf {
    let path = journal(dir, 3);
    let rotated = fs::read(dir.join("j.jsonl.002")).unwrap();
    fs::write(&path, copied_bytes(&rotated)).unwrap();
    path
}

/// Replaces the end of a segment by padding, from the given line on.
fn padded_from(line: usize) -> impl Fn(&[u8]) -> Vec<u8> {
    move |bytes| {
        let end = memchr::memchr_iter(b'\n', bytes).nth(line - 2).unwrap();
        [&bytes[..end], &[b' '; 500]].concat()
    }
}

#[test]
fn older_copy_of_a_segment_is_moved_aside() {
    type Change = Box<dyn Fn(&[u8]) -> Vec<u8>>;
    let with_gap = |bytes: &[u8]| {
        let mut bytes = bytes.to_vec();
        let lines: Vec<_> = memchr::memchr_iter(b'\n', &bytes).collect();
        bytes[lines[1]..lines[3]].fill(b' ');
        bytes
    };
    let changes: [(&str, Change); 4] = [
        ("header only", Box::new(padded_from(2))),
        ("a group", Box::new(padded_from(4))),
        ("a torn group", Box::new(padded_from(3))),
        ("a group is missing", Box::new(with_gap)),
    ];
    for (what, change) in changes {
        for is_repaired in [false, true] {
            let dir = tempfile::tempdir().unwrap();
            let path = copied_live_journal(dir.path(), &change);
            let copy = fs::read(&path).unwrap();
            let found = verify(&path).unwrap();
            assert_eq!((found.faults.len(), found.records), (1, 12), "{what}: {found:?}");
            assert!(found.faults[0].reason.contains("older copy of"), "{what}: {found:?}");
            let new = dir.path().join("new.jsonl");
            assert_eq!(salvage(&path, &new).unwrap().records, 12, "{what}");
            assert_eq!(values(&new), (0..12).collect::<Vec<_>>(), "{what}: no record twice");
            if is_repaired {
                let done = repair(&path, RepairMode::Apply).unwrap();
                assert_eq!((done.lost.len(), done.unrepairable.len()), (0, 0), "{what}: {done:?}");
            } else {
                let strict = JournalOptions::new().open_blocking(&path);
                assert!(matches!(strict, Err(MiniStoreError::Corrupt { .. })), "{what}: {strict:?}");
                let options = JournalOptions::new().recovery(RecoveryPolicy::TruncateDamagedEnd);
                let store = options.open_blocking(&path).unwrap();
                assert_eq!(store.open_report().next_seq, 13, "{what}");
                assert!(store.open_report().truncated.is_some(), "{what}");
            }
            assert_eq!(values(&path), (0..12).collect::<Vec<_>>(), "{what}");
            assert_eq!(verify(&path).unwrap().faults, [], "{what}");
            assert!(fs::read(dir.path().join("j.jsonl.truncated-0")).unwrap() == copy, "{what}");
        }
    }
}

#[test]
fn changed_copy_of_a_segment_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let path = copied_live_journal(dir.path(), padded_from(4));
    damage(&path, 3);
    let before = files(dir.path());
    assert!(matches!(JournalOptions::new().open_blocking(&path), Err(MiniStoreError::Corrupt { .. })));
    assert!(!repair(&path, RepairMode::Apply).unwrap().unrepairable.is_empty());
    assert_eq!(files(dir.path())[..before.len()], before, "nothing was changed");
}

#[test]
fn stray_next_segment_is_kept_and_salvaged() {
    let dir = tempfile::tempdir().unwrap();
    let path = journal(dir.path(), 3);
    // As copying a live journal leaves it: the last segment is that of a later moment.
    fs::rename(&path, dir.path().join("j.jsonl.next")).unwrap();
    fs::rename(dir.path().join("j.jsonl.001"), &path).unwrap();
    fs::remove_file(dir.path().join("j.jsonl.002")).unwrap();
    let found = verify(&path).unwrap();
    assert_eq!((found.faults.len(), found.records), (1, 12), "open refuses it, too: {found:?}");
    let before = files(dir.path());
    let report = repair(&path, RepairMode::Apply).unwrap();
    assert_eq!((report.actions.len(), report.unrepairable.len(), report.lost.len()), (0, 1, 0));
    assert_eq!(files(dir.path())[..before.len()], before, "nothing was changed");
    let new = dir.path().join("new.jsonl");
    let salvaged = salvage(&path, &new).unwrap();
    let map: Vec<_> =
        salvaged.map.iter().map(|run| (run.old_first_seq, run.new_first_seq, run.records)).collect();
    assert_eq!(map, [(Some(1), 1, 6), (Some(13), 7, 6)]);
    let lost: Vec<_> = salvaged.lost.iter().map(|lost| (lost.first_seq, lost.records)).collect();
    assert_eq!(lost, [(Some(7), 6)]);
    assert_eq!(values(&new), (0..6).chain(12..18).collect::<Vec<_>>());
}
