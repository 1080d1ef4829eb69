//! The active rules and their decisions about operations. Never touches a file.

use std::{
    collections::BTreeMap,
    sync::{Condvar, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use rustix::io::Errno;

use crate::protocol::{Delay, Op, OpEffect, Rule, RuleId, UnsyncedData};

/// The longest wait for an event; after it, the wait is reported as failed.
const AWAIT_TIMEOUT: Duration = Duration::from_secs(60);

/// A requested operation, not performed yet.
#[derive(Debug, Clone)]
pub(crate) struct Operation {
    pub(crate) op: Op,
    pub(crate) names: Vec<String>,
    /// Whether it changes the file system.
    pub(crate) changes: bool,
}

/// The decision about one operation.
#[derive(Debug)]
pub(crate) struct OpDecision {
    pub(crate) delay: Delay,
    rule: RuleId,
    pub(crate) effect: OpEffect,
}

#[derive(Debug, Default)]
pub(crate) struct Faults {
    table: Mutex<RuleTable>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct RuleTable {
    rules: BTreeMap<RuleId, ActiveRule>,
    last_id: u64,
    counts: BTreeMap<Op, u64>,
    space: Option<SpaceLimit>,
    read_only: bool,
}

#[derive(Debug)]
struct ActiveRule {
    rule: Rule,
    /// Operations that matched the rule so far.
    matched: u64,
    /// Operations that it was applied to.
    fired: u64,
    /// Operations that it blocks now.
    blocked: u64,
}

#[derive(Debug, Clone, Copy)]
struct SpaceLimit {
    bytes: u64,
    errno: i32,
}

impl Faults {
    pub(crate) fn add(&self, rule: Rule) -> RuleId {
        let mut table = self.table();
        table.last_id += 1;
        let id = RuleId(table.last_id);
        table.rules.insert(id, ActiveRule { rule, matched: 0, fired: 0, blocked: 0 });
        id
    }

    pub(crate) fn release(&self, id: RuleId) {
        self.table().rules.remove(&id);
        self.changed.notify_all();
    }

    pub(crate) fn clear(&self) {
        let mut table = self.table();
        table.rules.clear();
        (table.space, table.read_only) = (None, false);
        drop(table);
        self.changed.notify_all();
    }

    pub(crate) fn set_space_limit(&self, bytes: u64, errno: i32) {
        self.table().space = Some(SpaceLimit { bytes, errno });
    }

    pub(crate) fn set_read_only(&self) {
        self.table().read_only = true;
    }

    pub(crate) fn count(&self, op: Op) -> u64 {
        self.table().counts.get(&op).copied().unwrap_or(0)
    }

    pub(crate) fn fired(&self, id: RuleId) -> u64 {
        self.table().fired(id)
    }

    /// Waits until the rule was applied `times` times. Returns `false` on a timeout.
    pub(crate) fn await_fired(&self, id: RuleId, times: u64) -> bool {
        self.wait_until(|table| table.fired(id) >= times)
    }

    /// Waits until the rule blocks `operations` operations. Returns `false` on a timeout.
    pub(crate) fn await_blocked(&self, id: RuleId, operations: u64) -> bool {
        self.wait_until(|table| table.rules.get(&id).is_some_and(|active| active.blocked >= operations))
    }

    /// Counts an operation and decides about it.
    pub(crate) fn decide(&self, operation: &Operation) -> OpDecision {
        let mut table = self.table();
        *table.counts.entry(operation.op).or_default() += 1;
        let mut decision = OpDecision { delay: Delay::None, rule: RuleId(0), effect: OpEffect::Proceed };
        for (id, active) in &mut table.rules {
            if !active.rule.matches(operation.op, &operation.names) {
                continue;
            }
            active.matched += 1;
            let Rule { nth, times, .. } = active.rule;
            if decision.rule == RuleId(0) && active.matched >= nth && active.matched - nth < times {
                active.fired += 1;
                decision = OpDecision { delay: active.rule.delay, rule: *id, effect: active.rule.effect };
            }
        }
        if table.read_only && operation.changes {
            decision.effect =
                OpEffect::Fail { errno: Errno::ROFS.raw_os_error(), unsynced: UnsyncedData::Kept };
        }
        drop(table);
        self.changed.notify_all();
        decision
    }

    /// Waits for as long as the decision delays the operation.
    pub(crate) fn apply_delay(&self, decision: &OpDecision) {
        match decision.delay {
            Delay::None => {}
            Delay::For(time) => std::thread::sleep(time),
            Delay::UntilReleased => self.wait_for_release(decision.rule),
        }
    }

    fn wait_for_release(&self, id: RuleId) {
        let mut table = self.table();
        if let Some(active) = table.rules.get_mut(&id) {
            active.blocked += 1;
        }
        self.changed.notify_all();
        while table.rules.contains_key(&id) {
            table = self.changed.wait(table).unwrap_or_else(PoisonError::into_inner);
        }
    }

    /// Returns how many of `bytes` a file may grow by, and the error for the rest.
    pub(crate) fn reserve_space(&self, bytes: u64) -> (u64, Option<Errno>) {
        let mut table = self.table();
        let Some(space) = &mut table.space else { return (bytes, None) };
        let granted = bytes.min(space.bytes);
        space.bytes -= granted;
        (granted, (granted < bytes).then_some(Errno::from_raw_os_error(space.errno)))
    }

    pub(crate) fn release_space(&self, bytes: u64) {
        if let Some(space) = &mut self.table().space {
            space.bytes += bytes;
        }
    }

    fn table(&self) -> MutexGuard<'_, RuleTable> {
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn wait_until(&self, mut condition: impl FnMut(&RuleTable) -> bool) -> bool {
        let waited = self.changed.wait_timeout_while(self.table(), AWAIT_TIMEOUT, |table| !condition(table));
        !waited.unwrap_or_else(PoisonError::into_inner).1.timed_out()
    }
}

impl RuleTable {
    fn fired(&self, id: RuleId) -> u64 {
        self.rules.get(&id).map_or(0, |active| active.fired)
    }
}
