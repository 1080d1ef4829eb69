//! Small programs that use the real engine, each run under thousands of interleavings of its threads. Compiled in
//! `ministore-concurrency` only.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]

mod capacity;
mod closing;
mod enqueue;
mod failure;
mod fixture;
mod follow;
mod lock;
mod queue;
mod read_ahead;
mod retention;
mod rotation;
mod waiting;

use std::path::Path;

/// A program of a few threads that checks its own outcome. It gets an empty directory.
#[derive(Debug, Clone, Copy)]
pub struct Model {
    /// The rule that it checks.
    pub name: &'static str,
    /// Runs once under the scheduler of the model checker.
    pub body: fn(&Path),
}

macro_rules! models {
    ($($module:ident: $($name:ident),+;)+) => {
        /// Every model.
        pub const ALL: &[Model] = &[$($(Model { name: stringify!($name), body: $module::$name },)+)+];
    };
}

models! {
    enqueue: appends_are_acknowledged_once_in_order, dropped_futures_do_not_affect_others;
    capacity: full_queue_accepts_no_more, capacity_is_granted_in_request_order,
        failure_rejects_appends_waiting_for_capacity,
        close_writes_or_rejects_waiting_appends;
    waiting: unpolled_appends_block_no_others, new_appends_do_not_overtake_waiting_ones,
        waiting_appends_may_be_dropped_at_any_moment, dropping_the_first_waiting_append_accepts_others,
        waiting_appends_end_with_a_failure, waiting_appends_end_with_a_close;
    failure: failed_commit_ends_acknowledgements, failure_racing_a_close_replies_to_all_callers;
    closing: requests_racing_a_close_succeed_or_are_rejected, last_handle_may_be_dropped_with_pending_appends,
        closed_journal_can_be_opened_at_once, cancelled_open_leaves_no_lock;
    lock: concurrent_opens_exclude_each_other, open_waits_for_a_lock_being_released;
    read_ahead: stream_yields_every_record_or_may_be_dropped, stream_reports_corruption_before_it_ends,
        parallel_replay_is_complete_and_in_order;
    queue: parked_writer_wakes_for_every_message, last_waker_is_notified_of_the_outcome,
        panicked_writer_rejects_all_callers, commit_delay_loses_no_append,
        commit_delay_ends_with_the_group, commit_delay_ends_at_its_bytes_or_a_full_queue,
        freed_group_capacity_serves_all_waiting_appends;
    rotation: rotation_loses_no_record, rotation_with_preallocation_loses_no_record,
        failed_rename_replies_to_all_callers;
    retention: held_records_survive_concurrent_trims, hold_racing_a_close_succeeds_or_is_rejected;
    follow: wait_durable_returns_or_fails_at_close, wait_durable_reports_a_failed_commit,
        follower_yields_every_record_and_the_end;
}
