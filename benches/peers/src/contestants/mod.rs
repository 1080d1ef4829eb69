//! One module a contestant: how it is called, which call is its acknowledgement, and what its documentation promises.
//!
//! Must never work around a contestant: what it is not asked for by its documentation is not done for it.

pub mod ministore;
pub mod okaywal;
pub mod ours;
pub mod raft_engine;
pub mod wal_db;
pub mod walrus;
