//! Applies the steps of recovery. The next open can continue from the files that an interrupted step leaves.

use std::{
    io,
    path::{Path, PathBuf},
    sync::Arc,
};

use super::{
    OpenReport, RecoveredJournal, TruncatedTail,
    active::{ActiveContent, ActiveFile},
    decide::Step,
    inspect::JournalState,
    rewrite::{rewrite_last_group, sync_next},
    scan_cache::ScanCache,
    truncate::{free_name, truncate_tail},
};
use crate::{
    JournalOptions, MiniStoreError, Result,
    format::{DataEnd, LF, SegmentHeader, seal},
    io::{FileHandle, FileSystem, OpenMode, RenameError, rename_to_free_name},
    journal::{
        close_segment::{close_segment, write_ending},
        file_names::FileNames,
        legacy::first_seq_of,
        older_copy::older_copy_reason,
        segment_summary::SegmentSummary,
    },
};

/// Applies one step of recovery.
pub(super) fn apply_step(
    step: Step,
    fs: &dyn FileSystem,
    names: &FileNames,
    options: &JournalOptions,
    journal: &JournalState,
    cache: &mut ScanCache,
    report: &mut OpenReport,
) -> Result<()> {
    let fail = |action| MiniStoreError::file(names.active(), action);
    match step {
        Step::Done => Ok(()),
        Step::Fail(file) => Err(journal.to_error(file)),
        Step::PromoteNext => {
            if !sync_next(fs, names, cache)
                .map_err(MiniStoreError::file(names.next(), "rewrite the end of"))?
            {
                return Ok(());
            }
            report.rotation_completed |= !journal.rotated.is_empty();
            report.created |= journal.rotated.is_empty();
            // An empty active file belongs to this journal and has no records, so it is replaced.
            let renamed = match &journal.active {
                Some(_) => fs.rename(&names.next(), &names.active()),
                None => rename_noreplace(fs, names, &names.next(), &names.active()),
            };
            let synced = renamed.and_then(|()| fs.sync_dir(names.dir()));
            synced.map_err(fail("complete the rotation of"))
        }
        Step::RemoveNext => fs
            .remove(&names.next())
            .and_then(|()| fs.sync_dir(names.dir()))
            .map_err(MiniStoreError::file(names.next(), "remove")),
        Step::QuarantineNext => {
            let quarantine = free_name(fs, names, 0)?;
            let renamed = rename_noreplace(fs, names, &names.next(), &quarantine)
                .and_then(|()| fs.sync_dir(names.dir()));
            renamed.map_err(MiniStoreError::file(names.next(), "rename"))
        }
        Step::CloseRotated => {
            report.rotation_completed = true;
            journal
                .unfinished()
                .map_or(Ok(()), |(path, summary)| close_rotated(fs, names, path, summary, cache))
        }
        Step::CreateActive => {
            report.created |= journal.rotated.is_empty();
            report.rotation_completed |= !journal.rotated.is_empty();
            let header = next_header(options, journal)?;
            create_segment(fs, names, header).map_err(fail("create"))
        }
        Step::WriteHeader => {
            let header = next_header(options, journal)?;
            let active = journal.active.as_ref();
            active.map_or(Ok(()), |active| write_header(&*active.file, header)).map_err(fail("write"))?;
            fs.sync_dir(names.dir()).map_err(fail("sync the directory of"))
        }
        Step::TruncateActive => match &journal.active {
            Some(ActiveFile { path, file, content: ActiveContent::Segment(summary) }) => {
                let truncated = truncate_tail(fs, names, path, &**file, summary)?;
                report.truncated = truncated.or(report.truncated.take());
                Ok(())
            }
            _ => Ok(()),
        },
    }
}

/// Finishes the recovery of an active segment that is complete and durable: ends it in an LF, and adds a seal to plain lines.
pub(super) fn finish_open(
    fs: &dyn FileSystem,
    options: &JournalOptions,
    journal: JournalState,
    report: OpenReport,
) -> Result<RecoveredJournal> {
    let _span = tracing::debug_span!("end").entered();
    let link = journal.link()?;
    let Some(ActiveFile { path, file, content: ActiveContent::Segment(summary) }) = journal.active else {
        return Err(MiniStoreError::MissingInitialState);
    };
    let checksummed = summary.is_checksummed();
    let header = summary.header;
    let first_seq = first_seq_of(&journal.rotated, header.link(), |path| fs.open(path, OpenMode::ReadOnly));
    let fail = |action| MiniStoreError::file(&path, action);
    let SegmentSummary { records, end, .. } = summary;
    let mut recovered = RecoveredJournal {
        file: Arc::clone(&file),
        header,
        data_end: DataEnd { offset: end.data_end, chain: end.chain, last_seal: end.last_seal },
        checksummed,
        records,
        newest_rotated: journal.rotated.last().map_or(0, |(number, _)| *number),
        first_seq,
        report: OpenReport { next_seq: link.first_seq + records, ..report },
    };
    let is_ending_expected = end.has_newline && end.file_end == end.data_end + 1 + u64::from(end.closed);
    if !checksummed && options.checksums && records == 0 {
        let header = SegmentHeader::of(options.header, link);
        write_header(&*file, header).map_err(fail("write"))?;
        recovered.header = header;
        recovered.data_end = DataEnd::after_header(&header.encode());
        recovered.checksummed = true;
    } else if !checksummed && options.checksums {
        add_seal(&*file, end.data_end, end.chain.seal()).map_err(fail("write"))?;
        recovered.data_end = recovered.data_end.after_seal();
        recovered.checksummed = true;
        recovered.report.legacy_upgraded = true;
    } else if !is_ending_expected {
        write_ending(&*file, end.data_end, &[LF], checksummed).map_err(fail("remove the padding of"))?;
    }
    Ok(recovered)
}

/// Creates the active segment. It gets its name only after its header is durable.
fn create_segment(fs: &dyn FileSystem, names: &FileNames, header: SegmentHeader) -> io::Result<()> {
    let file = fs.open(&names.next(), OpenMode::CreateNew)?;
    write_header(&*file, header)?;
    fs.sync_dir(names.dir())?;
    rename_noreplace(fs, names, &names.next(), &names.active())?;
    fs.sync_dir(names.dir())
}

fn write_header(file: &dyn FileHandle, header: SegmentHeader) -> io::Result<()> {
    let mut line = header.encode();
    line.push(LF);
    file.write_at(&line, 0)?;
    file.set_len(line.len() as u64)?;
    file.sync()
}

/// Adds a seal after plain lines, so that no later line can be mistaken for one of them.
fn add_seal(file: &dyn FileHandle, data_end: u64, seal: u32) -> io::Result<()> {
    let mut ending = seal::encode(seal).to_vec();
    ending.push(LF);
    write_ending(file, data_end, &ending, false)
}

/// Truncates the tail of the newest rotated segment and closes it.
fn close_rotated(
    fs: &dyn FileSystem,
    names: &FileNames,
    path: &Path,
    summary: &SegmentSummary,
    cache: &mut ScanCache,
) -> Result<()> {
    let file = fs.open(path, OpenMode::ReadWrite).map_err(MiniStoreError::file(path, "open"))?;
    truncate_tail(fs, names, path, &*file, summary)?;
    // A separate sync before the close marker, which means that everything before it is durable.
    let rewritten = rewrite_last_group(path, &*file, summary, cache);
    if !rewritten.map_err(MiniStoreError::file(path, "rewrite the end of"))? {
        return Ok(());
    }
    close_segment(&*file, summary.end.data_end, summary.is_checksummed())
        .map_err(MiniStoreError::file(path, "close"))
}

/// Returns the header of the segment after the newest rotated one.
fn next_header(options: &JournalOptions, journal: &JournalState) -> Result<SegmentHeader> {
    if !options.checksums {
        return Ok(SegmentHeader::Plain);
    }
    journal.link().map(|link| SegmentHeader::of(options.header, link))
}

/// Renames a file without replacing another one.
fn rename_noreplace(fs: &dyn FileSystem, names: &FileNames, from: &Path, to: &Path) -> io::Result<()> {
    rename_to_free_name(fs, names.dir(), from, to).map_err(RenameError::into_io)
}

/// Moves the file with the active name, an older copy of a rotated segment, to a name that no later step uses.
pub(super) fn quarantine_older_copy(
    fs: &dyn FileSystem,
    names: &FileNames,
    original: &Path,
    report: &mut OpenReport,
) -> Result<()> {
    let (path, saved_to) = (names.active(), free_name(fs, names, 0)?);
    let len = fs.id_and_len(&path).map_err(MiniStoreError::file(&path, "stat"))?;
    let renamed = rename_noreplace(fs, names, &path, &saved_to).and_then(|()| fs.sync_dir(names.dir()));
    renamed.map_err(MiniStoreError::file(&path, "rename"))?;
    let reason = older_copy_reason(original);
    tracing::warn!(segment = %path.display(), reason, saved_to = %saved_to.display(), "moved older copy of a segment");
    let bytes = len.map_or(0, |(_, bytes)| bytes);
    report.truncated =
        Some(TruncatedTail { segment: path, offset: 0, bytes, saved_to: Some(saved_to), reason });
    Ok(())
}

/// Completes renames by links: removes the old names of files whose new names are durable.
pub(super) fn remove_names(fs: &dyn FileSystem, names: &FileNames, old: &[PathBuf]) -> Result<()> {
    for path in old {
        tracing::info!(file = %path.display(), "completed interrupted rename");
        fs.remove(path).map_err(MiniStoreError::file(path, "remove"))?;
    }
    fs.sync_dir(names.dir()).map_err(MiniStoreError::file(names.dir(), "sync the directory"))
}
