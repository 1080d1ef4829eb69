//! Short writes in the middle of a group: the file contains all acknowledged records. The kernel alone does not
//! ensure that: after two short writes in a row, io_uring continues with bytes from a wrong offset of the buffer
//! (Linux 6.18).

use std::path::PathBuf;

use ministore_faultfs::{MountOptions, Op, Rule};
use ministore_uring::{Backend, MiniStoreError, Reader, Result, SyncMode};

use crate::fixture::{Fixture, StoreConfig, backends, block_on, fuse_works, report, run_with_timeout};

/// More data than one write request can carry.
const RECORDS: usize = 30;

/// Direct configurations, and configurations with the default options.
fn configs() -> Vec<StoreConfig> {
    let config = |backend: Backend, sync, trusted, preallocate| StoreConfig {
        backend,
        direct: true,
        sync,
        trusted,
        preallocate,
        group_bytes: 1,
    };
    let of = |backend| {
        [
            config(backend, SyncMode::Dsync, true, true),
            config(backend, SyncMode::Fdatasync, true, true),
            config(backend, SyncMode::Auto, false, true),
            config(backend, SyncMode::Auto, false, false),
        ]
    };
    backends().into_iter().flat_map(of).filter(StoreConfig::is_supported).collect()
}

#[derive(Debug, Clone, Copy)]
struct ShortWrites {
    /// The first short write, counted from the batch on.
    nth: u64,
    count: u64,
    bytes: usize,
}

/// Appends a batch while writes are short. Returns whether it was acknowledged.
fn append_with_short_writes(config: StoreConfig, mount: MountOptions, short_writes: ShortWrites) -> bool {
    let context = format!("{config}, {mount:?}, {short_writes:?}");
    let fixture = Fixture::mounted(config, mount);
    let store = fixture.open(config.options()).unwrap();
    let batch: Vec<String> = (0..RECORDS).map(|n| format!("{n}-").repeat(600)).collect();
    let mut expected = vec!["before".to_owned()];
    block_on(store.append(&expected[0])).unwrap();
    let ShortWrites { nth, count, bytes } = short_writes;
    let rule = Rule::on(Op::Write).named("j").nth(nth).times(count).writes_only(bytes);
    fixture.fs.set(rule).unwrap();
    let acknowledged = match block_on(store.append_batch(&batch)) {
        Ok(_) => true,
        // The kernel turns some short writes into an error; then the store is poisoned.
        Err(MiniStoreError::Poisoned { .. }) => false,
        Err(error) => panic!("{context}: {error}"),
    };
    fixture.fs.clear().unwrap();
    if acknowledged {
        expected.extend(batch);
        expected.push("after".to_owned());
        block_on(store.append("after")).unwrap();
    }
    for path in [fixture.path(), fixture.backing_path()] {
        let found = read_values(path).unwrap_or_else(|error| panic!("{context}: {error}"));
        assert!(found.starts_with(&expected), "{context}: {} of {} are found", found.len(), expected.len());
    }
    drop(store);
    acknowledged
}

fn read_values(path: PathBuf) -> Result<Vec<String>> {
    let read = move || {
        Reader::open(path)
            .unwrap()
            .records::<String>()
            .map(|record| record.map(|record| record.value))
            .collect()
    };
    run_with_timeout(read)
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
        ..MountOptions::default()
    };
    let (mut acknowledged, mut poisoned) = (0, 0);
    for config in configs() {
        for mount in [mount(false, false), mount(true, false), mount(true, true)] {
            for (nth, count) in [(1, 1), (1, 2), (1, 3), (2, 1), (2, 2), (3, 2)] {
                for bytes in [1000, 4096] {
                    let short_writes = ShortWrites { nth, count, bytes };
                    let is_acknowledged = append_with_short_writes(config, mount, short_writes);
                    *if is_acknowledged { &mut acknowledged } else { &mut poisoned } += 1;
                }
            }
        }
    }
    assert!(acknowledged > poisoned, "{acknowledged} groups acknowledged, {poisoned} poisoned the store");
    report(&format!(
        "faultfs: short writes: {acknowledged} groups acknowledged and whole, {poisoned} poisoned the store"
    ));
}
