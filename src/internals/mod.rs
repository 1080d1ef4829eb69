//! What the project's own simulation, fuzz targets and benchmarks use of the crate: feature `unstable-internals`. No
//! interface for users: anything here may change or disappear in any version.
//!
//! Contains the bodies of the fuzz targets ([`fuzz`]) and what only tests need. Owns no part of the engine.

#![allow(missing_docs, reason = "not an interface")]

#[cfg(feature = "unstable-internals")]
pub mod bench;
pub mod fuzz;

pub use crate::{
    commit::writer::{StepOutcome, SteppedWriter},
    format::scan::ReadAt,
    io::{
        CommitBackend, CommitBuffer, CommitError, CommitMethod, CommitOptions, Executor, FileHandle, FileId,
        FileSystem, FileSystemLayer, LockFile, OpenMode,
    },
    options::ReadLimits,
    testkit::{
        fault_plan::{BackgroundPace, CrashKind},
        rng::Rng,
    },
};
