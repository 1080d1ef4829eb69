//! The rules that are in force, and what they say about an operation. Never touches a file.

use std::{
    collections::BTreeMap,
    sync::{Condvar, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use rustix::io::Errno;

use crate::protocol::{AfterFailure, Op, Rule, RuleId, Then, Wait};

/// Whoever waits longer than this for something to happen is told that it did not.
const AWAIT: Duration = Duration::from_secs(60);

/// An operation that is about to be made.
#[derive(Debug, Clone)]
pub(crate) struct Event {
    pub(crate) op: Op,
    pub(crate) names: Vec<String>,
    /// It would change something.
    pub(crate) changes: bool,
}

/// What is to be done with an operation.
#[derive(Debug)]
pub(crate) struct Verdict {
    pub(crate) wait: Wait,
    rule: RuleId,
    pub(crate) then: Then,
}

#[derive(Debug, Default)]
pub(crate) struct Faults {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct State {
    rules: BTreeMap<RuleId, Active>,
    last_id: u64,
    counts: BTreeMap<Op, u64>,
    room: Option<Room>,
    read_only: bool,
}

#[derive(Debug)]
struct Active {
    rule: Rule,
    /// Operations that the rule is about, so far.
    met: u64,
    /// Operations that it was applied to.
    fired: u64,
    /// Operations that it holds back at this moment.
    held: u64,
}

#[derive(Debug, Clone, Copy)]
struct Room {
    bytes: u64,
    errno: i32,
}

impl Faults {
    pub(crate) fn add(&self, rule: Rule) -> RuleId {
        let mut state = self.state();
        state.last_id += 1;
        let id = RuleId(state.last_id);
        state.rules.insert(id, Active { rule, met: 0, fired: 0, held: 0 });
        id
    }

    pub(crate) fn release(&self, id: RuleId) {
        self.state().rules.remove(&id);
        self.changed.notify_all();
    }

    pub(crate) fn clear(&self) {
        let mut state = self.state();
        state.rules.clear();
        (state.room, state.read_only) = (None, false);
        drop(state);
        self.changed.notify_all();
    }

    pub(crate) fn set_space_limit(&self, bytes: u64, errno: i32) {
        self.state().room = Some(Room { bytes, errno });
    }

    pub(crate) fn set_read_only(&self) {
        self.state().read_only = true;
    }

    pub(crate) fn counts(&self) -> BTreeMap<Op, u64> {
        self.state().counts.clone()
    }

    pub(crate) fn fired(&self, id: RuleId) -> u64 {
        self.state().fired(id)
    }

    /// `false` where it did not happen in time.
    pub(crate) fn await_fired(&self, id: RuleId, times: u64) -> bool {
        self.wait_until(|state| state.fired(id) >= times)
    }

    /// `false` where it did not happen in time.
    pub(crate) fn await_held(&self, id: RuleId, operations: u64) -> bool {
        self.wait_until(|state| state.rules.get(&id).is_some_and(|active| active.held >= operations))
    }

    /// Counts an operation, and says what is to be done with it.
    pub(crate) fn meet(&self, event: &Event) -> Verdict {
        let mut state = self.state();
        *state.counts.entry(event.op).or_default() += 1;
        let mut verdict = Verdict { wait: Wait::Not, rule: RuleId(0), then: Then::Go };
        for (id, active) in &mut state.rules {
            if !active.rule.matches(event.op, &event.names) {
                continue;
            }
            active.met += 1;
            let Rule { nth, times, .. } = active.rule;
            if verdict.rule == RuleId(0) && active.met >= nth && active.met - nth < times {
                active.fired += 1;
                verdict = Verdict { wait: active.rule.wait, rule: *id, then: active.rule.then };
            }
        }
        if state.read_only && event.changes {
            verdict.then = Then::Fail { errno: Errno::ROFS.raw_os_error(), unsynced: AfterFailure::Kept };
        }
        drop(state);
        self.changed.notify_all();
        verdict
    }

    /// Returns once the operation may go on.
    pub(crate) fn wait(&self, verdict: &Verdict) {
        match verdict.wait {
            Wait::Not => {}
            Wait::For(time) => std::thread::sleep(time),
            Wait::UntilReleased => self.wait_for_release(verdict.rule),
        }
    }

    fn wait_for_release(&self, id: RuleId) {
        let mut state = self.state();
        if let Some(active) = state.rules.get_mut(&id) {
            active.held += 1;
        }
        self.changed.notify_all();
        while state.rules.contains_key(&id) {
            state = self.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
    }

    /// How many of `bytes` a file may grow by, and the error for the others.
    pub(crate) fn take_room(&self, bytes: u64) -> (u64, Option<Errno>) {
        let mut state = self.state();
        let Some(room) = &mut state.room else { return (bytes, None) };
        let granted = bytes.min(room.bytes);
        room.bytes -= granted;
        (granted, (granted < bytes).then_some(Errno::from_raw_os_error(room.errno)))
    }

    pub(crate) fn give_room_back(&self, bytes: u64) {
        if let Some(room) = &mut self.state().room {
            room.bytes += bytes;
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn wait_until(&self, mut condition: impl FnMut(&State) -> bool) -> bool {
        let waited = self.changed.wait_timeout_while(self.state(), AWAIT, |state| !condition(state));
        !waited.unwrap_or_else(PoisonError::into_inner).1.timed_out()
    }
}

impl State {
    fn fired(&self, id: RuleId) -> u64 {
        self.rules.get(&id).map_or(0, |active| active.fired)
    }
}
