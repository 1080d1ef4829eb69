//! The segments of a finished backup, in order, and the check that each continues the one before it.

use std::path::PathBuf;

use super::report::BackupReport;
use crate::{
    MiniStoreError, Result,
    format::SegmentHeader,
    format::scan::read_header,
    io::FileHandle,
    journal::{chain::closing_seal, ownership::not_owned},
};

/// A segment of the finished backup.
#[derive(Debug)]
pub(super) struct BackupPiece {
    /// The number of a rotated segment; `None` for the active one.
    pub(super) number: Option<u64>,
    /// Its place among the segments of the journal; `None` if only the backup has it.
    pub(super) place: Option<usize>,
    /// The file that it was made from, or the file in the backup if only the backup has it.
    pub(super) origin: PathBuf,
    /// Its name in the backup.
    pub(super) target: PathBuf,
    /// The file that gets this name; `None` if the backup has it.
    pub(super) staged: Option<PathBuf>,
    pub(super) method: CopyMethod,
    pub(super) link: LinkEnds,
}

/// How a segment came into the backup.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum CopyMethod {
    Kept,
    Linked,
    Reflinked,
    Copied { bytes: u64 },
}

/// What must fit the segments before and after a segment.
#[derive(Debug, Clone, Copy)]
pub(super) struct LinkEnds {
    pub(super) header: SegmentHeader,
    /// The last seal; `None` if there is none.
    pub(super) last_seal: Option<u32>,
    /// The number of the record after its last one, where it is known.
    pub(super) next_seq: Option<u64>,
}

impl LinkEnds {
    /// Reads those of a closed segment.
    pub(super) fn read(path: &std::path::Path, file: &dyn FileHandle) -> Result<Self> {
        let fail = || MiniStoreError::file(path, "read");
        let header = read_header(file).map_err(fail())?.map_err(|error| MiniStoreError::Corrupt {
            segment: path.into(),
            offset: 0,
            line: 1,
            seq: None,
            reason: error.to_string(),
        })?;
        Ok(Self { header, last_seal: closing_seal(file).map_err(fail())?, next_seq: None })
    }
}

/// Checks that each segment continues the one before it.
///
/// # Errors
///
/// [`MiniStoreError::Corrupt`] if the journal lacks a segment; [`MiniStoreError::NotOwned`] if it does not continue the
/// segments that only the backup has.
pub(super) fn check_links(pieces: &[BackupPiece]) -> Result<()> {
    for pair in pieces.windows(2) {
        let [before, after] = pair else { continue };
        if continues(before, after) {
            continue;
        }
        let (older, newer) = (before.origin.display(), after.origin.display());
        if before.place.is_some() && after.place.is_some() {
            return Err(MiniStoreError::Corrupt {
                segment: after.origin.clone(),
                offset: 0,
                line: 1,
                seq: after.link.header.link().map(|link| link.first_seq),
                reason: format!("it does not continue the segment before it, {older}"),
            });
        }
        let reason = format!(
            "{newer} does not continue it: retention deleted the segments between them before they were backed up, or it is \
             of another journal; name another directory"
        );
        return Err(not_owned(&before.origin, reason));
    }
    Ok(())
}

fn continues(before: &BackupPiece, after: &BackupPiece) -> bool {
    match after.link.header.link() {
        Some(link) => {
            link.prev_seal == before.link.last_seal.unwrap_or(0)
                && before.link.next_seq.is_none_or(|next| next == link.first_seq)
        }
        // A bare header proves nothing. The journal accepts its own segments by their names.
        None => match (before.place, after.place) {
            (Some(before), Some(after)) => before + 1 == after,
            _ => before.number.zip(after.number).is_some_and(|(before, after)| before + 1 == after),
        },
    }
}

/// Counts the segments by how they were made.
pub(super) fn report_of(pieces: &[BackupPiece]) -> BackupReport {
    let mut report = BackupReport::default();
    for piece in pieces {
        match piece.method {
            CopyMethod::Kept => report.kept += 1,
            CopyMethod::Linked => report.linked += 1,
            CopyMethod::Reflinked => report.reflinked += 1,
            CopyMethod::Copied { bytes } => {
                report.copied += 1;
                report.copied_bytes += bytes;
            }
        }
    }
    report
}
