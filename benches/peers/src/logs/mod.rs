//! One module per log: how it is called, which call is its acknowledgement, and what its documentation promises.
//!
//! Must never work around a log: only the calls that its documentation asks for are made.

pub mod ministore;
pub mod ministore_uring;
pub mod okaywal;
pub mod raft_engine;
pub mod raft_log;
pub mod wal_db;
pub mod walrus;
