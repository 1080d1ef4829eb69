//! The files of a journal: names, locks, holds, segments, ownership. Also the status of an open journal, which its
//! threads and its callers share.

pub(crate) mod adoption;
pub(crate) mod chain;
pub(crate) mod close_segment;
pub(crate) mod file_names;
pub(crate) mod fork;
pub(crate) mod holds;
pub(crate) mod legacy;
pub(crate) mod lock;
pub(crate) mod older_copy;
pub(crate) mod ownership;
pub(crate) mod parallel_scan;
pub(crate) mod reply;
pub(crate) mod retention_status;
pub(crate) mod segment_set;
pub(crate) mod segment_summary;
pub(crate) mod status;
pub(crate) mod wait_durable;
pub(crate) mod watermark;
