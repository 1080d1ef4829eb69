//! A file of the log is gone: the first, one in the middle, the last.

use std::io;

use super::{
    Context, SMALL_FILES,
    judge::Handed,
    logfiles,
    report::{Table, words},
    template::{self, End, Fate},
};
/// How often the log is opened to be written: walrus begins a new file at every opening.
const SESSIONS: u64 = 3;

/// How many records each time.
const RECORDS: u64 = 40;

/// Removes files from every contestant's log.
///
/// # Errors
///
/// A child or a file fails without a fault.
pub fn run(context: &Context) -> io::Result<Table> {
    let mut table = Table::new(
        "missing-file",
        format!(
            "{SESSIONS} times {RECORDS} acknowledged records, closed each time, in files of 4 KiB where the contestant lets \
             one choose (okaywal: one segment; walrus-rust: a file an opening); then one file that holds records is removed."
        ),
        &["files with records", "first", "one in the middle", "last"],
    );
    for &kind in &context.kinds {
        let dir = context.fresh("missing-file", kind)?;
        let whole = dir.join("whole");
        std::fs::create_dir_all(&whole)?;
        for session in 0..SESSIONS {
            template::write(kind, &whole, SMALL_FILES, session * RECORDS + 1, RECORDS, End::Closed)?;
        }
        let files = logfiles::holding(&whole, &template::records(1..=SESSIONS * RECORDS))?;
        if files.is_empty() {
            return Err(io::Error::other(format!("{}: no file holds the records", kind.name())));
        }
        let mut cells = vec![files.len().to_string()];
        let last = files.len() - 1;
        for index in [(last > 0).then_some(0), (last > 1).then_some(last / 2), Some(last)] {
            let Some(index) = index else {
                cells.push("no such file".to_string());
                continue;
            };
            let damaged = dir.join(format!("without-{index}"));
            logfiles::copy(&whole, &damaged)?;
            std::fs::remove_file(damaged.join(&files[index].name))?;
            let mut handed = Handed::default();
            (1..=SESSIONS * RECORDS).for_each(|number| handed.ack(0, number));
            let (_served, fate) = template::open_and_read(kind, &damaged, SMALL_FILES, &handed)?;
            cells.push(match fate {
                Fate::Refused(error) => format!("refused: {}", words(&error)),
                Fate::Broke(how) => {
                    table.blame(kind, format!("missing-file {index}: {how}"));
                    format!("broke: {}", words(&how))
                }
                Fate::Read(told, judgement) => {
                    // Older segments may be gone, by retention, and the newest file may have been a new one: documented.
                    if judgement.invented > 0 || (index != 0 && index != last) {
                        table.blame(kind, format!("missing-file {index}: {judgement:?}"));
                    }
                    let how = if told.is_some() { "opened and told" } else { "opened silently" };
                    let held = files[index].places.len();
                    format!(
                        "{how}, {} records missing of {held} in the file, {} invented",
                        judgement.missing, judgement.invented
                    )
                }
            });
        }
        table.row(kind, cells);
    }
    table.notes.push(
        "ministore-uring documents that the oldest segments may be gone (retention): its records keep their sequence numbers, \
         so a reader sees that the journal does not begin at 1; and that a file cannot tell by itself that the newest groups \
         are gone whole. raft-engine and wal-db delete their own oldest files too when told to."
            .to_string(),
    );
    Ok(table)
}
