//! Every operation of a short run fails once in each way, and no acknowledged record is lost.

use ministore_faultfs::{Op, Rule};
use rustix::io::Errno;

use crate::{
    fixture::{Fixture, StoreConfig, block_on, fuse_works, report},
    workload::{AckLog, Workload, assert_recovers},
};

/// Enough records for several segments.
const WORKLOAD: Workload = Workload { callers: 3, records: 4, padding: 60 };

/// Small, so that the store rotates every few records.
const SEGMENT_BYTES: u64 = 500;

/// More operations of one kind than any run performs.
const MAX_OPS: u64 = 200;

/// Runs a store once for each operation of a kind; in that run, the operation fails as `rule` decides. Returns the
/// number of operations that failed.
fn fail_each_operation(config: StoreConfig, op: Op, how: &str, rule: impl Fn(Rule) -> Rule) -> u64 {
    for nth in 1..=MAX_OPS {
        let context = format!("{config}: {op:?} number {nth} {how}");
        let fixture = Fixture::new(config);
        let store = fixture.open(config.options().max_segment_bytes(SEGMENT_BYTES)).unwrap();
        let rule = fixture.fs.set(rule(Rule::on(op).nth(nth))).unwrap();
        let mut acks = AckLog::default();
        acks.run(&store, WORKLOAD);
        let closed = block_on(store.close());
        let acknowledged = acks.acknowledged() as u32;
        let reached = fixture.fs.fired(rule).unwrap() > 0;
        assert_recovers(&fixture, store, &mut acks, &context);
        if !reached {
            assert!(closed.is_ok(), "{context}: {closed:?}, and no operation failed");
            assert_eq!(acknowledged, WORKLOAD.callers * WORKLOAD.records, "{context}");
            return nth - 1;
        }
    }
    panic!("{config}: more than {MAX_OPS} operations of the kind {op:?}");
}

/// Operations on data.
const DATA_OPS: [Op; 2] = [Op::Write, Op::Sync];

/// Operations on names and files, and reads.
const OTHER_OPS: [Op; 7] = [Op::Open, Op::Create, Op::Read, Op::SetLen, Op::Rename, Op::Remove, Op::SyncDir];

/// Fails all these operations, one by one.
fn fail_everything(what: &str, ops: &[Op], configs: &[StoreConfig], rule: impl Fn(Rule) -> Rule) {
    if !fuse_works() {
        return;
    }
    let mut failed = 0;
    for &config in configs {
        for &op in ops {
            failed += fail_each_operation(config, op, what, &rule);
        }
    }
    assert!(failed > 0, "no operation failed");
    report(&format!("faultfs: {failed} operations {what}, each in its own run of a store"));
}

#[test]
fn one_failure_anywhere_loses_nothing_acknowledged() {
    fail_everything("failed with EIO", &DATA_OPS, &StoreConfig::all(), |rule| rule.fails(Errno::IO));
    fail_everything("failed with EIO", &OTHER_OPS, &StoreConfig::few(), |rule| rule.fails(Errno::IO));
}

#[test]
fn one_enospc_anywhere_loses_nothing_acknowledged() {
    fail_everything("failed with ENOSPC", &DATA_OPS, &StoreConfig::all(), |rule| rule.fails(Errno::NOSPC));
    fail_everything("failed with ENOSPC", &OTHER_OPS, &StoreConfig::few(), |rule| rule.fails(Errno::NOSPC));
    fail_everything("failed with EDQUOT", &DATA_OPS, &StoreConfig::few(), |rule| rule.fails(Errno::DQUOT));
    fail_everything("failed with EDQUOT", &OTHER_OPS, &StoreConfig::few(), |rule| rule.fails(Errno::DQUOT));
}

#[test]
fn permanent_failure_loses_nothing_acknowledged() {
    fail_everything("failed with EIO permanently", &DATA_OPS, &StoreConfig::few(), |rule| {
        rule.fails(Errno::IO).forever()
    });
    fail_everything("failed with EIO permanently", &OTHER_OPS, &StoreConfig::few(), |rule| {
        rule.fails(Errno::IO).forever()
    });
    let full = |rule: Rule| rule.fails(Errno::NOSPC).forever();
    fail_everything("failed with ENOSPC permanently", &[Op::Write, Op::Create], &StoreConfig::few(), full);
}

#[test]
fn data_lost_by_failed_sync_is_not_acknowledged() {
    let sync = [Op::Sync];
    fail_everything("failed, the data gone", &sync, &StoreConfig::all(), |rule| {
        rule.fails_and_reverts(Errno::IO)
    });
}

#[test]
fn data_only_in_page_cache_is_not_trusted() {
    let sync = [Op::Sync];
    let lost = |rule: Rule| rule.fails_and_forgets(Errno::IO);
    fail_everything("failed, the data in the page cache permanently", &sync, &StoreConfig::all(), lost);
    let lost = |rule: Rule| rule.fails_and_forgets(Errno::IO).times(2);
    fail_everything("failed twice, the data in the page cache permanently", &sync, &StoreConfig::few(), lost);
}

#[test]
fn short_write_is_completed_or_not_acknowledged() {
    for (bytes, configs) in [(1, StoreConfig::all()), (512, StoreConfig::few()), (4096, StoreConfig::few())] {
        let short = |rule: Rule| rule.writes_only(bytes);
        fail_everything(&format!("wrote only {bytes} bytes"), &[Op::Write], &configs, short);
    }
}
