//! What the program and a child that holds a contestant say to each other: one line of JSON each.

use serde::{Deserialize, Serialize};

/// What the child is told to do.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Order {
    /// Append records one after the other and say what became of each.
    Append {
        /// Whose they are.
        appender: u32,
        /// The first number.
        from: u64,
        /// How many.
        count: u64,
        /// How long the filling of each is, in bytes; 0 for lengths that vary.
        fill_bytes: usize,
    },
    /// As many appenders as there are numbers, each going on from its number until the process is killed.
    Load {
        /// The first number of each appender.
        from: Vec<u64>,
    },
    /// As [`Order::Append`] of one record, on an async runtime with one thread that also has to answer a timer.
    AppendAsync {
        /// Whose it is.
        appender: u32,
        /// Its number.
        number: u64,
    },
    /// Give back every record.
    Replay,
    /// Close the log and end.
    Close,
}

/// What the child says.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Said {
    /// The log is open; and what opening told of data cut away or passed over.
    Opened(Option<String>),
    /// It is not: the contestant's error.
    NotOpened(String),
    /// An append was acknowledged.
    Acked(u32, u64),
    /// An append gave an error.
    Refused(u32, u64, String),
    /// A call panicked.
    Panicked(String),
    /// A record that was found, and whether nothing in it was changed.
    Found(u32, u64, bool),
    /// Something was found that is no record, of so many bytes.
    Garbage(usize),
    /// There are no more records.
    Replayed,
    /// Replaying gave an error.
    NotReplayed(String),
    /// The runtime's timer went off while an append was under way.
    Ticked,
    /// The contestant has no call for async callers.
    NotAsync,
    /// The order was carried out.
    Done,
    /// The log is closed.
    Closed,
    /// Closing gave an error.
    NotClosed(String),
}

/// How long the filling of record `number` is where lengths vary: short ones, and some that span disk blocks.
#[must_use]
pub fn varied_fill_bytes(number: u64) -> usize {
    match number % 16 {
        7 => 3000,
        15 => 700,
        other => 20 + (other as usize) * 13,
    }
}
