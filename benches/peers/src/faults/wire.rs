//! The messages between the program and a child process that serves a log: one line of JSON each.

use serde::{Deserialize, Serialize};

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Command {
    /// Append records one after the other and report the outcome of each.
    Append {
        appender: u32,
        from: u64,
        count: u64,
        /// The length of each record's filling in bytes; 0 for varying lengths.
        fill_bytes: usize,
    },
    /// Append from one thread per element until the process is killed.
    Load {
        /// The first number of each appender.
        from: Vec<u64>,
    },
    /// Append one record on a single-threaded async runtime that also runs a timer.
    AppendAsync {
        appender: u32,
        number: u64,
    },
    Replay,
    Close,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Reply {
    /// The log is open, with the message about truncated or skipped data.
    Opened(Option<String>),
    NotOpened(String),
    Acked(u32, u64),
    Refused(u32, u64, String),
    Panicked(String),
    /// A record was read; whether it is unchanged.
    Found(u32, u64, bool),
    /// Something was read that is not a record, with its length in bytes.
    Garbage(usize),
    Replayed,
    NotReplayed(String),
    /// The runtime's timer fired during an append.
    Ticked,
    NotAsync,
    Done,
    Closed,
    NotClosed(String),
}

/// Returns the length of the filling of record `number` where lengths vary: short ones, and some that span disk blocks.
pub fn varied_fill_bytes(number: u64) -> usize {
    match number % 16 {
        7 => 3000,
        15 => 700,
        other => 20 + (other as usize) * 13,
    }
}
