//! Every operation of a short life fails once, each way it can, and nothing acknowledged is lost.

use ministore_faultfs::{Op, Rule};
use rustix::io::Errno;

use crate::{
    callers::{Load, Log, assert_recovers},
    rig::{Lane, Rig, finish, fuse_works, say},
};

/// Some segments' worth.
const LOAD: Load = Load { callers: 3, records: 4, padding: 60 };

/// A rotation every few records.
const SEGMENT_BYTES: u64 = 500;

/// No life has as many operations of a kind.
const MANY: u64 = 200;

/// Lives one life for each operation of a kind that it makes, in which that operation fails as `rule` says. How
/// many failed.
fn fail_each(lane: Lane, op: Op, how: &str, rule: impl Fn(Rule) -> Rule) -> u64 {
    for nth in 1..=MANY {
        let context = format!("{lane}: {op:?} number {nth} {how}");
        let rig = Rig::new(lane);
        let store = rig.open(lane.options().max_segment_bytes(SEGMENT_BYTES)).unwrap();
        let rule = rig.fs.set(rule(Rule::on(op).nth(nth))).unwrap();
        let mut log = Log::default();
        log.run(&store, LOAD);
        let closed = finish(store.close());
        let acknowledged = log.acknowledged() as u32;
        let reached = rig.fs.fired(rule).unwrap() > 0;
        assert_recovers(&rig, store, &mut log, &context);
        if !reached {
            assert!(closed.is_ok(), "{context}: {closed:?}, and nothing had failed");
            assert_eq!(acknowledged, LOAD.callers * LOAD.records, "{context}");
            return nth - 1;
        }
    }
    panic!("{lane}: more than {MANY} operations of the kind {op:?}");
}

/// What is done to data.
const DATA: [Op; 2] = [Op::Write, Op::Sync];

/// What is done to names and files, and reading.
const NAMES: [Op; 7] = [Op::Open, Op::Create, Op::Read, Op::SetLen, Op::Rename, Op::Remove, Op::SyncDir];

/// Fails everything there is, each way it is reached.
fn fail_everything(what: &str, ops: &[Op], lanes: &[Lane], rule: impl Fn(Rule) -> Rule) {
    if !fuse_works() {
        return;
    }
    let mut failed = 0;
    for &lane in lanes {
        for &op in ops {
            failed += fail_each(lane, op, what, &rule);
        }
    }
    assert!(failed > 0, "nothing was reached");
    say(&format!("faultfs: {failed} operations {what}, each in a life of its own"));
}

#[test]
fn whatever_fails_once_nothing_acknowledged_is_lost() {
    fail_everything("failed with EIO", &DATA, &Lane::all(), |rule| rule.fails(Errno::IO));
    fail_everything("failed with EIO", &NAMES, &Lane::two(), |rule| rule.fails(Errno::IO));
}

#[test]
fn one_enospc_anywhere_loses_nothing_acknowledged() {
    fail_everything("failed with ENOSPC", &DATA, &Lane::all(), |rule| rule.fails(Errno::NOSPC));
    fail_everything("failed with ENOSPC", &NAMES, &Lane::two(), |rule| rule.fails(Errno::NOSPC));
    fail_everything("failed with EDQUOT", &DATA, &Lane::two(), |rule| rule.fails(Errno::DQUOT));
    fail_everything("failed with EDQUOT", &NAMES, &Lane::two(), |rule| rule.fails(Errno::DQUOT));
}

#[test]
fn whatever_fails_from_some_time_on_nothing_acknowledged_is_lost() {
    fail_everything("failed with EIO for ever", &DATA, &Lane::two(), |rule| rule.fails(Errno::IO).for_ever());
    fail_everything("failed with EIO for ever", &NAMES, &Lane::two(), |rule| {
        rule.fails(Errno::IO).for_ever()
    });
    let full = |rule: Rule| rule.fails(Errno::NOSPC).for_ever();
    fail_everything("failed with ENOSPC for ever", &[Op::Write, Op::Create], &Lane::two(), full);
}

#[test]
fn what_a_failed_sync_took_away_was_not_acknowledged() {
    let sync = [Op::Sync];
    fail_everything("failed, the data gone", &sync, &Lane::all(), |rule| rule.fails_and_reverts(Errno::IO));
}

#[test]
fn what_a_failed_sync_left_in_the_page_cache_only_is_not_built_on() {
    let sync = [Op::Sync];
    let lost = |rule: Rule| rule.fails_and_forgets(Errno::IO);
    fail_everything("failed, the data in the page cache for ever", &sync, &Lane::all(), lost);
    let lost = |rule: Rule| rule.fails_and_forgets(Errno::IO).times(2);
    fail_everything("failed twice, the data in the page cache for ever", &sync, &Lane::two(), lost);
}

#[test]
fn a_short_write_is_completed_or_not_acknowledged() {
    for (bytes, lanes) in [(1, Lane::all()), (512, Lane::two().to_vec()), (4096, Lane::two().to_vec())] {
        let short = |rule: Rule| rule.writes_only(bytes);
        fail_everything(&format!("wrote only {bytes} bytes"), &[Op::Write], &lanes, short);
    }
}
