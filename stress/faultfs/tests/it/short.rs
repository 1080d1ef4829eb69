//! Short writes in the middle of a group: what is acknowledged afterwards is what the file holds. The kernel alone does not
//! see to that: after two of them in a row, io_uring continues with bytes from too far on in the buffer (Linux 6.18).

use std::path::PathBuf;

use ministore_faultfs::{MountOptions, Op, Rule};
use ministore_uring::{Backend, MiniStoreError, Reader, Result, SyncMode};

use crate::rig::{Lane, Rig, backends, bounded, finish, fuse_works, say};

/// Larger than a write may be, and so several requests.
const RECORDS: usize = 30;

/// Lanes past the page cache, and those of the default options.
fn lanes() -> Vec<Lane> {
    let lane = |backend: Backend, sync, trusted, preallocate| Lane {
        backend,
        direct: true,
        sync,
        trusted,
        preallocate,
        group_bytes: 1,
    };
    let of = |backend| {
        [
            lane(backend, SyncMode::Dsync, true, true),
            lane(backend, SyncMode::Fdatasync, true, true),
            lane(backend, SyncMode::Auto, false, true),
            lane(backend, SyncMode::Auto, false, false),
        ]
    };
    backends().into_iter().flat_map(of).collect()
}

#[derive(Debug, Clone, Copy)]
struct Shorts {
    /// The first write that is short, counted from the batch on.
    nth: u64,
    in_a_row: u64,
    bytes: usize,
}

/// Appends a batch over short writes. Returns whether it was acknowledged.
fn append_over_short_writes(lane: Lane, mount: MountOptions, shorts: Shorts) -> bool {
    let context = format!("{lane}, {mount:?}, {shorts:?}");
    let rig = Rig::mounted(lane, mount);
    let store = rig.open(lane.options()).unwrap();
    let batch: Vec<String> = (0..RECORDS).map(|n| format!("{n}-").repeat(600)).collect();
    let mut expected = vec!["before".to_owned()];
    finish(store.append(&expected[0])).unwrap();
    let Shorts { nth, in_a_row, bytes } = shorts;
    let rule = Rule::on(Op::Write).named("j").nth(nth).times(in_a_row).writes_only(bytes);
    rig.fs.set(rule).unwrap();
    let acknowledged = match finish(store.append_batch(&batch)) {
        Ok(_) => true,
        // The kernel makes an error of some: the store is poisoned then, which is honest.
        Err(MiniStoreError::Poisoned { .. }) => false,
        Err(error) => panic!("{context}: {error}"),
    };
    rig.fs.clear().unwrap();
    if acknowledged {
        expected.extend(batch);
        expected.push("after".to_owned());
        finish(store.append("after")).unwrap();
    }
    for path in [rig.path(), rig.behind()] {
        let found = found(path).unwrap_or_else(|error| panic!("{context}: {error}"));
        assert!(found.starts_with(&expected), "{context}: {} of {} are found", found.len(), expected.len());
    }
    drop(store);
    acknowledged
}

fn found(path: PathBuf) -> Result<Vec<String>> {
    let read = move || {
        Reader::open(path)
            .unwrap()
            .records::<String>()
            .map(|record| record.map(|record| record.value))
            .collect()
    };
    bounded(read)
}

#[test]
fn group_is_whole_after_short_writes() {
    if !fuse_works() {
        return;
    }
    let mount = |async_direct_io, open_direct_io| MountOptions {
        async_direct_io,
        open_direct_io,
        unaligned_direct_io: true,
        max_write_bytes: Some(32 << 10),
    };
    let (mut acknowledged, mut poisoned) = (0, 0);
    for lane in lanes() {
        for mount in [mount(false, false), mount(true, false), mount(true, true)] {
            for (nth, in_a_row) in [(1, 1), (1, 2), (1, 3), (2, 1), (2, 2), (3, 2)] {
                for bytes in [1000, 4096] {
                    let shorts = Shorts { nth, in_a_row, bytes };
                    let outcome = append_over_short_writes(lane, mount, shorts);
                    *if outcome { &mut acknowledged } else { &mut poisoned } += 1;
                }
            }
        }
    }
    assert!(acknowledged > poisoned, "{acknowledged} groups acknowledged, {poisoned} poisoned the store");
    say(&format!(
        "faultfs: short writes: {acknowledged} groups acknowledged and whole, {poisoned} poisoned the store"
    ));
}
