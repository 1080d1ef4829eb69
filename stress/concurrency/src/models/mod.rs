//! Small programs over the real engine, each run under thousands of interleavings of its threads; and the ways in which
//! the engine can be made wrong, to see that the models would notice. Compiled in `ministore-concurrency` only.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]

mod capacity;
mod closing;
mod enqueue;
mod failure;
mod follow;
mod lock;
mod queue;
mod read_ahead;
mod retention;
mod rig;
mod rotation;
mod waiting;

use std::path::Path;

pub use crate::seeded_bugs::Bug;
use crate::seeded_bugs::seed;

/// A program of a few threads that checks its own outcome. It is given an empty directory.
#[derive(Debug, Clone, Copy)]
pub struct Model {
    /// The rule that it shows.
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
    enqueue: every_append_is_answered_once_and_in_order, whoever_gives_up_hurts_nobody;
    capacity: no_more_is_accepted_than_there_is_room_for, room_is_granted_in_the_order_it_was_asked_for,
        whoever_waits_for_room_learns_that_there_will_be_none,
        whoever_waits_for_room_at_a_close_is_written_or_refused;
    waiting: unpolled_appends_block_no_others, new_appends_do_not_overtake_waiting_ones,
        waiting_appends_may_be_dropped_at_any_moment, dropping_the_first_waiting_append_accepts_others,
        waiting_appends_end_with_a_failure, waiting_appends_end_with_a_close;
    failure: nothing_is_acknowledged_after_a_failed_commit, a_failure_racing_a_close_answers_everybody;
    closing: what_races_a_close_is_written_or_refused, the_last_handle_may_go_before_the_answers_come,
        a_closed_journal_is_free_at_once, a_cancelled_open_leaves_the_journal_free;
    lock: one_of_two_openers_gets_the_journal, a_lock_is_waited_for_while_it_is_being_released;
    read_ahead: a_stream_gives_every_record_or_may_be_dropped, a_stream_tells_an_error_from_the_end,
        what_is_read_in_parallel_is_whole_and_in_order;
    queue: a_parked_writer_hears_of_whatever_comes, whoever_asked_last_learns_the_outcome,
        a_writer_that_ends_without_a_word_refuses_everybody, a_commit_delay_loses_nobody,
        what_ends_a_group_ends_its_delay, what_is_enough_ends_a_delay_and_so_does_a_full_queue,
        room_that_comes_back_in_one_piece_serves_all_who_waited;
    rotation: no_record_is_lost_between_segments, segments_written_ahead_lose_no_record,
        a_failed_rename_answers_everybody;
    retention: what_is_held_stays_while_others_release_it, what_is_asked_at_a_close_is_done_or_refused;
    follow: whoever_waits_for_a_number_is_told_or_refused, whoever_waits_for_a_number_learns_of_a_failure,
        a_follower_gets_every_record_and_the_end;
}

/// Runs `act` with a seeded bug. All modelled threads share the thread that this is called on.
pub fn with_bug<T>(bug: Bug, act: impl FnOnce() -> T) -> T {
    let _off = Off;
    seed(Some(bug));
    act()
}

/// Switches the bug off when it goes.
struct Off;

impl Drop for Off {
    fn drop(&mut self) {
        seed(None);
    }
}
