//! The same faults, and the same loads, on ministore-uring and other write-ahead logs.
//!
//! Every log is used in the way that its own documentation calls the most durable, behind one small trait
//! ([`contestant::Contestant`]); what each crate promises, and where it says so, stands beside the code that calls it.

pub mod contestant;
pub mod contestants;
pub mod faults;
pub mod speed;
pub mod versions;
pub mod volatile;
