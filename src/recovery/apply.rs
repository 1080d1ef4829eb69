//! Doing what was decided: the one place of recovery that changes files. Each step leaves a journal that the
//! next open understands, wherever it is cut off.

use std::{
    io,
    path::{Path, PathBuf},
    sync::Arc,
};

use super::{
    OpenReport, RecoveredJournal, TruncatedTail,
    decide::Step,
    inspect::{Active, Content, JournalState},
    numbering::first_seq_of,
    scan_cache::ScanCache,
};
use crate::{
    JournalOptions, MiniStoreError, Result,
    format::scan::Tail,
    format::{Chain, Header, LF, seal},
    io::{FileHandle, FileSystem, OpenMode, RenameError, rename_to_free_name},
    journal::ownership::in_the_way,
    journal::{
        close_segment::{close_segment, end_in},
        file_names::FileNames,
        segment_summary::SegmentSummary,
    },
    seeded_bugs::{Bug, seeded},
};

/// Bytes copied at a time.
const COPY_BYTES: usize = 1 << 20;

/// Takes one step of recovery.
pub(super) fn apply_step(
    step: Step,
    disk: &dyn FileSystem,
    names: &FileNames,
    options: &JournalOptions,
    journal: &JournalState,
    cache: &mut ScanCache,
    report: &mut OpenReport,
) -> Result<()> {
    let fail = |action| MiniStoreError::file(names.active(), action);
    match step {
        Step::Done => Ok(()),
        Step::Fail(culprit) => Err(journal.to_error(culprit)),
        Step::PromoteNext => {
            if !sync_next(disk, names, cache)
                .map_err(MiniStoreError::file(names.next(), "rewrite the end of"))?
            {
                return Ok(());
            }
            report.rotation_completed |= !journal.rotated.is_empty();
            report.created |= journal.rotated.is_empty();
            // A blank active file is this journal's, and holds nothing: it is replaced.
            let renamed = match &journal.active {
                Some(_) => disk.rename(&names.next(), &names.active()),
                None => rename_new(disk, names, &names.next(), &names.active()),
            };
            let synced = renamed.and_then(|()| disk.sync_dir(names.dir()));
            synced.map_err(fail("complete the rotation of"))
        }
        Step::RemoveNext => disk
            .remove(&names.next())
            .and_then(|()| disk.sync_dir(names.dir()))
            .map_err(MiniStoreError::file(names.next(), "remove")),
        Step::QuarantineNext => {
            let aside = free_name(disk, names, 0)?;
            let renamed =
                rename_new(disk, names, &names.next(), &aside).and_then(|()| disk.sync_dir(names.dir()));
            renamed.map_err(MiniStoreError::file(names.next(), "rename"))
        }
        Step::CloseRotated => {
            report.rotation_completed = true;
            journal
                .unfinished()
                .map_or(Ok(()), |(path, summary)| finish_archived(disk, names, path, summary, cache))
        }
        Step::CreateActive => {
            report.created |= journal.rotated.is_empty();
            report.rotation_completed |= !journal.rotated.is_empty();
            let header = next_header(options, journal)?;
            create_segment(disk, names, header).map_err(fail("create"))
        }
        Step::WriteHeader => {
            let header = next_header(options, journal)?;
            let active = journal.active.as_ref();
            active.map_or(Ok(()), |active| write_header(&*active.file, header)).map_err(fail("write"))?;
            disk.sync_dir(names.dir()).map_err(fail("sync the directory of"))
        }
        Step::TruncateActive => match &journal.active {
            Some(Active { path, file, content: Content::SegmentSummary(summary) }) => {
                let cut = truncate_tail(disk, names, path, &**file, summary)?;
                report.truncated = cut.or(report.truncated.take());
                Ok(())
            }
            _ => Ok(()),
        },
    }
}

/// Makes sure that what was found of the active segment, which is whole, is durable. `false`: it is not what it was
/// any more, and is to be looked at again.
pub(super) fn rewrite_and_sync_tail(
    disk: &dyn FileSystem,
    names: &FileNames,
    journal: &JournalState,
    cache: &mut ScanCache,
) -> Result<bool> {
    let Some(Active { path, file, content: Content::SegmentSummary(summary) }) = &journal.active else {
        return Err(MiniStoreError::MissingInitialState);
    };
    if seeded(Bug::TrustUnsyncedData) {
        return Ok(true);
    }
    let secured = rewrite_last_group(path, &**file, summary, cache)
        .map_err(MiniStoreError::file(path, "rewrite the end of"))?;
    if seeded(Bug::NoDirSyncAfterCreate) || seeded(Bug::TrustUnsyncedNames) {
        return Ok(secured);
    }
    let synced = tracing::debug_span!("sync").in_scope(|| disk.sync_dir(names.dir()));
    synced.map_err(MiniStoreError::file(names.dir(), "sync the directory"))?;
    Ok(secured)
}

/// The last step: the active segment is whole, and durable; ends it in LF and puts its lines under a seal.
pub(super) fn finish_open(
    disk: &dyn FileSystem,
    options: &JournalOptions,
    journal: JournalState,
    report: OpenReport,
) -> Result<RecoveredJournal> {
    let _span = tracing::debug_span!("end").entered();
    let link = journal.link()?;
    let Some(Active { path, file, content: Content::SegmentSummary(summary) }) = journal.active else {
        return Err(MiniStoreError::MissingInitialState);
    };
    let sealed = summary.is_sealed();
    let stated = summary.header.link();
    let first_seq = first_seq_of(&journal.rotated, stated, |path| disk.open(path, OpenMode::ReadOnly));
    let fail = |action| MiniStoreError::file(&path, action);
    let SegmentSummary { records, end, .. } = summary;
    let mut recovered = RecoveredJournal {
        file: Arc::clone(&file),
        data_end: end.data_end,
        chain: end.chain,
        sealed,
        last_seal: end.last_seal,
        records,
        newest_rotated: journal.rotated.last().map_or(0, |(number, _)| *number),
        first_seq,
        report: OpenReport { next_seq: link.first + records, ..report },
    };
    let ends_as_it_should = end.has_newline && end.file_end == end.data_end + 1 + u64::from(end.closed);
    if !sealed && options.checksums && records == 0 {
        let header = Header::Checksummed(link);
        write_header(&*file, header).map_err(fail("write"))?;
        let text = header.encode();
        recovered.data_end = text.len() as u64;
        recovered.chain = Chain::from_header(&text);
        recovered.sealed = true;
    } else if !sealed && options.checksums {
        let seal = end.chain.seal();
        seal_plain_lines(&*file, end.data_end, seal).map_err(fail("write"))?;
        recovered.data_end += seal::encode(seal).len() as u64;
        recovered.chain = Chain::from_seal(seal);
        recovered.last_seal = Some(seal);
        recovered.sealed = true;
        recovered.report.legacy_upgraded = true;
    } else if seeded(Bug::RecoveryTruncatesTooLittle) && end.tail.is_some() {
        file.write_at(&[LF], end.data_end).map_err(fail("write"))?;
    } else if !ends_as_it_should {
        end_in(&*file, end.data_end, &[LF], sealed).map_err(fail("remove the padding of"))?;
    }
    Ok(recovered)
}

/// Makes the last group durable, from whose writing the journal may have been cut off: the write may not have
/// been synced, or its sync may have failed. Such a group is still read from the page cache, as whole as any, and no
/// later sync writes it; a power cut would take it from under the groups that follow. So it is written once more,
/// in place, with the LF before it, which was written with it. (What stands before that was synced earlier.)
///
/// The page cache may forget such a group at any time, also between two looks at it: it is looked at once more, for it
/// stays as it is now. `false` where it was gone. Lines that no seal covers count as lines whatever stands in them: only
/// the chain tells that they are the same.
fn rewrite_last_group(
    path: &Path,
    file: &dyn FileHandle,
    summary: &SegmentSummary,
    cache: &mut ScanCache,
) -> io::Result<bool> {
    let SegmentSummary { last_group, ref end, .. } = *summary;
    let start = last_group.min(end.data_end).saturating_sub(1);
    let ending = u64::from(end.has_newline) + u64::from(end.closed);
    tracing::debug_span!("write_again").in_scope(|| {
        copy_range(file, start, end.data_end + ending, file, start)?;
        file.set_len(file.len()?)
    })?;
    tracing::debug_span!("sync").in_scope(|| file.sync())?;
    if end.closed || seeded(Bug::NoRecheckOfLastGroup) {
        // Whatever stands before a closed mark was synced before the mark was written.
        return Ok(true);
    }
    Ok(cache.scan(path, file)?.is_ok_and(|SegmentSummary { end: again, .. }| {
        (again.data_end, again.chain) == (end.data_end, end.chain)
    }))
}

/// The active name is given to durable bytes alone. `false` where they were gone.
fn sync_next(disk: &dyn FileSystem, names: &FileNames, cache: &mut ScanCache) -> io::Result<bool> {
    if seeded(Bug::TrustUnsyncedData) {
        return Ok(true);
    }
    let path = names.next();
    let file = disk.open(&path, OpenMode::ReadWrite)?;
    match cache.scan(&path, &*file)? {
        Ok(summary) => rewrite_last_group(&path, &*file, &summary, cache),
        Err(_) => Ok(false),
    }
}

/// Creates the active segment. It gets its name only when its header is durable.
fn create_segment(disk: &dyn FileSystem, names: &FileNames, header: Header) -> io::Result<()> {
    let file = disk.open(&names.next(), OpenMode::CreateNew)?;
    write_header(&*file, header)?;
    if seeded(Bug::NoDirSyncAfterCreate) {
        return rename_new(disk, names, &names.next(), &names.active());
    }
    disk.sync_dir(names.dir())?;
    rename_new(disk, names, &names.next(), &names.active())?;
    disk.sync_dir(names.dir())
}

fn write_header(file: &dyn FileHandle, header: Header) -> io::Result<()> {
    let mut line = header.encode();
    line.push(LF);
    file.write_at(&line, 0)?;
    file.set_len(line.len() as u64)?;
    file.sync()
}

/// A seal of its own for lines that have none, so that what is appended cannot be mistaken for one of them.
fn seal_plain_lines(file: &dyn FileHandle, data_end: u64, seal: u32) -> io::Result<()> {
    let mut ending = seal::encode(seal).to_vec();
    ending.push(LF);
    end_in(file, data_end, &ending, false)
}

fn finish_archived(
    disk: &dyn FileSystem,
    names: &FileNames,
    path: &Path,
    summary: &SegmentSummary,
    cache: &mut ScanCache,
) -> Result<()> {
    let file = disk.open(path, OpenMode::ReadWrite).map_err(MiniStoreError::file(path, "open"))?;
    truncate_tail(disk, names, path, &*file, summary)?;
    // On its own, before the mark: one that stands there says that everything before it is durable.
    let secured = rewrite_last_group(path, &*file, summary, cache);
    if !secured.map_err(MiniStoreError::file(path, "rewrite the end of"))? {
        return Ok(());
    }
    close_segment(&*file, summary.end.data_end, summary.is_sealed())
        .map_err(MiniStoreError::file(path, "close"))
}

/// Cuts what does not verify, after a copy of it was made durable.
fn truncate_tail(
    disk: &dyn FileSystem,
    names: &FileNames,
    path: &Path,
    file: &dyn FileHandle,
    summary: &SegmentSummary,
) -> Result<Option<TruncatedTail>> {
    let Some(tail) = &summary.end.tail else { return Ok(None) };
    let saved_to = if tail.bytes > 0 {
        let copy = free_name(disk, names, tail.offset)?;
        keep_copy(disk, names, file, tail, &copy).map_err(MiniStoreError::file(&copy, "write"))?;
        Some(copy)
    } else {
        None
    };
    let too_much = seeded(Bug::RecoveryTruncatesTooMuch) && summary.last_group > 0;
    let data_end = if too_much { summary.last_group - 1 } else { summary.end.data_end };
    end_in(file, data_end, &[LF], summary.is_sealed()).map_err(MiniStoreError::file(path, "truncate"))?;
    let (offset, bytes, reason) = (tail.offset, tail.bytes, tail.reason.to_owned());
    let kept = saved_to.as_deref().map(Path::display).map(tracing::field::display);
    tracing::warn!(segment = %path.display(), offset, bytes, reason, saved_to = kept, "truncated torn tail");
    Ok(saved_to.map(|kept| TruncatedTail {
        segment: path.into(),
        offset,
        bytes,
        saved_to: Some(kept),
        reason,
    }))
}

fn keep_copy(
    disk: &dyn FileSystem,
    names: &FileNames,
    file: &dyn FileHandle,
    tail: &Tail,
    copy: &Path,
) -> io::Result<()> {
    let kept = disk.open(copy, OpenMode::CreateNew)?;
    copy_range(file, tail.offset, tail.offset + tail.bytes, &*kept, 0)?;
    kept.sync()?;
    disk.sync_dir(names.dir())
}

fn copy_range(from: &dyn FileHandle, start: u64, end: u64, to: &dyn FileHandle, at: u64) -> io::Result<()> {
    let mut buffer = vec![0; COPY_BYTES.min(end.saturating_sub(start) as usize)];
    let mut done = 0;
    while start + done < end {
        let want = buffer.len().min((end - start - done) as usize);
        let count = from.read_at(&mut buffer[..want], start + done)?;
        if count == 0 {
            break;
        }
        to.write_at(&buffer[..count], at + done)?;
        done += count as u64;
    }
    Ok(())
}

/// A name for bytes cut at `offset` that nothing has yet.
fn free_name(disk: &dyn FileSystem, names: &FileNames, offset: u64) -> Result<PathBuf> {
    for path in (0..).map(|copy| names.cut(offset, copy)) {
        if in_the_way(disk, &path).map_err(MiniStoreError::file(&path, "stat"))?.is_none() {
            return Ok(path);
        }
    }
    Ok(names.cut(offset, u32::MAX))
}

/// The header of a segment that follows the newest archived one.
fn next_header(options: &JournalOptions, journal: &JournalState) -> Result<Header> {
    if !options.checksums {
        return Ok(Header::Plain);
    }
    journal.link().map(Header::Checksummed)
}

/// Never replaces another file.
fn rename_new(disk: &dyn FileSystem, names: &FileNames, from: &Path, to: &Path) -> io::Result<()> {
    rename_to_free_name(disk, names.dir(), from, to).map_err(RenameError::into_io)
}

/// Completes renames by links: each of these files has its new name, durably.
pub(super) fn remove_names(disk: &dyn FileSystem, names: &FileNames, old: &[PathBuf]) -> Result<()> {
    for path in old {
        tracing::info!(file = %path.display(), "completed interrupted rename");
        disk.remove(path).map_err(MiniStoreError::file(path, "remove"))?;
    }
    disk.sync_dir(names.dir()).map_err(MiniStoreError::file(names.dir(), "sync the directory"))
}
