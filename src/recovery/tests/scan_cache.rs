//! Later looks of the same opening: what they read, and that they see what a look at everything would.

use std::{cell::RefCell, io, path::Path};

use crate::{
    format::scan::ReadAt,
    format::testing::{FIRST, SegmentBytes},
    journal::file_names::FileNames,
    journal::segment_summary::{SegmentSummary, scan_to_end},
    recovery::{ScanCache, decide::Step},
};

/// A file that remembers where it was read first.
#[derive(Default)]
struct Watched {
    bytes: Vec<u8>,
    first: RefCell<Option<u64>>,
}

impl ReadAt for Watched {
    fn read_at(&self, into: &mut [u8], offset: u64) -> io::Result<usize> {
        let mut first = self.first.borrow_mut();
        *first = Some(first.map_or(offset, |first| first.min(offset)));
        self.bytes.as_slice().read_at(into, offset)
    }
}

impl Watched {
    fn new(bytes: Vec<u8>) -> Self {
        Self { bytes, ..Self::default() }
    }

    /// Where a look began.
    fn look(&self, cache: &mut ScanCache) -> (SegmentSummary, u64) {
        let summary = cache.scan(name(), self).unwrap().unwrap();
        (summary, self.first.take().unwrap())
    }
}

fn name() -> &'static Path {
    Path::new("/journal/j")
}

fn groups(count: usize) -> SegmentBytes {
    (0..count).fold(SegmentBytes::new(FIRST), |segment, nth| {
        segment.group(&[format!("{{\"nth\":{nth}}}"), "\"more\"".into()])
    })
}

/// What a look says, without what it does not depend on.
fn said(summary: &SegmentSummary) -> String {
    format!("{summary:?}")
}

#[test]
fn a_later_look_begins_before_the_group_before_the_last() {
    let file = Watched::new(groups(9).padded(5000));
    let mut cache = ScanCache::default();
    let (first, began) = file.look(&mut cache);
    assert_eq!((first.records, began), (18, 0));
    for _ in 0..3 {
        let (again, began) = file.look(&mut cache);
        assert_eq!(said(&again), said(&first));
        assert_eq!(began, groups(7).data_end() as u64 + 1, "behind the LF before the last two groups");
    }
}

#[test]
fn a_later_look_sees_whatever_became_of_what_was_not_synced() {
    let whole = groups(5).padded(1200);
    let (durable, data_end) = (groups(4).data_end(), groups(5).data_end());
    let lost = |from: usize, to: usize, byte: u8| {
        let mut bytes = whole.clone();
        bytes[from..to].fill(byte);
        bytes
    };
    let mut forgotten = vec![whole.clone()];
    // The LF before the last group was written with it.
    for at in durable..data_end {
        forgotten.extend([lost(at, data_end, b' '), lost(durable, at + 1, b' ')]);
        forgotten.extend([lost(at, data_end, 0), lost(at, whole.len(), 0), lost(at, at + 1, b'?')]);
        forgotten.push(whole[..at].to_vec());
    }
    forgotten.extend([lost(data_end, whole.len(), 0), lost(data_end + 700, whole.len(), 0)]);
    forgotten.push(groups(4).closed());
    forgotten.push(groups(6).ended());
    for bytes in forgotten {
        let mut cache = ScanCache::default();
        Watched::new(whole.clone()).look(&mut cache);
        let expected = scan_to_end(bytes.as_slice()).unwrap().unwrap();
        for _ in 0..2 {
            let (found, _) = Watched::new(bytes.clone()).look(&mut cache);
            assert_eq!(said(&found), said(&expected), "{}", String::from_utf8_lossy(&bytes));
        }
    }
}

#[test]
fn where_less_verifies_than_did_everything_is_read_again() {
    let mut cache = ScanCache::default();
    Watched::new(groups(5).padded(99)).look(&mut cache);
    let (found, began) = Watched::new(groups(4).padded(400)).look(&mut cache);
    assert_eq!((found.records, began), (8, 0));
}

#[test]
fn another_file_of_the_same_name_is_read_from_its_start() {
    let dir = tempfile::tempdir().unwrap();
    let names = FileNames::resolve(&*crate::io::os_file_system(), &dir.path().join("j")).unwrap();
    for (step, path, forgotten) in [
        (Step::PromoteNext, names.active(), true),
        (Step::CreateActive, names.active(), true),
        (Step::WriteHeader, names.active(), true),
        (Step::PromoteNext, names.next(), true),
        (Step::RemoveNext, names.next(), true),
        (Step::QuarantineNext, names.next(), true),
        (Step::RemoveNext, names.active(), false),
        (Step::TruncateActive, names.active(), false),
        (Step::CloseRotated, names.rotated(1), false),
    ] {
        let file = Watched::new(groups(5).padded(99));
        let mut cache = ScanCache::default();
        for _ in 0..2 {
            cache.scan(&path, &file).unwrap().unwrap();
        }
        cache.invalidate(step, &names);
        file.first.take();
        cache.scan(&path, &file).unwrap().unwrap();
        assert_eq!(file.first.take() == Some(0), forgotten, "{step:?}, {}", path.display());
    }
}
