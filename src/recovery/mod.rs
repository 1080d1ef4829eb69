//! Opening a journal for writing: what is there ([`observe`]), what to do about it ([`decide`](mod@decide), which
//! never sees a file), and doing it ([`act`], the one place that cuts a file).
//!
//! Recovery goes step by step: look, decide on one step, take it, look again, until nothing is left to do. A crash
//! between two steps is therefore nothing new: the next open goes on from there.

mod act;
mod decide;
mod newest;
mod numbering;
mod observe;
mod report;
mod scanned;
#[cfg(test)]
mod tests;

use std::sync::Arc;

pub(crate) use act::{close_segment, mark_closed};
pub(crate) use decide::{ActiveState, ArchivedState, NextState, States, Step, decide};
pub(crate) use observe::Journal;
pub use report::{CutTail, OpenReport};
pub(crate) use scanned::{check_plain_lines, scan_to_end};

use crate::{
    JournalOptions, Result,
    device::{Disk, DiskFile},
    format::Chain,
    names::Names,
};

/// The active segment, ready to be continued: it ends in LF behind `data_end` (or the closed mark and LF).
#[derive(Debug)]
pub(crate) struct Recovered {
    pub(crate) file: Arc<dyn DiskFile>,
    /// Behind its last seal, or header, or plain line.
    pub(crate) data_end: u64,
    pub(crate) chain: Chain,
    /// Its commit groups carry seals.
    pub(crate) sealed: bool,
    /// Its last seal.
    pub(crate) last_seal: Option<u32>,
    /// Records in it.
    pub(crate) records: u64,
    /// The number of the newest archived segment; 0 for none.
    pub(crate) newest_archived: u64,
    pub(crate) report: OpenReport,
}

/// Makes the journal whole and ready to be continued. The caller holds its lock.
///
/// # Errors
///
/// `Corrupt` and `MissingInitialState` change nothing; others are what the operating system says.
pub(crate) fn recover(disk: &dyn Disk, names: &Names, options: &JournalOptions) -> Result<Recovered> {
    let mut report = OpenReport::default();
    loop {
        let journal = Journal::observe(disk, names)?;
        match decide(journal.states(), options.recovery) {
            Step::Ready => return act::make_ready(disk, names, options, journal, report),
            step => act::take(step, disk, names, options, &journal, &mut report)?,
        }
    }
}
