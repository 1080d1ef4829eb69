//! One bit changed in acknowledged data.

use std::{io, path::Path};

use super::{
    Context, ONE_FILE,
    judge::Handed,
    logfiles,
    report::{Table, Tally, kind_of_words},
    template::{self, End, Fate},
};
use crate::contestant::Kind;

/// How many records the log has.
const RECORDS: u64 = 24;

/// What became of a contestant's changed logs.
#[derive(Default)]
struct Outcome {
    refused: u64,
    told: u64,
    silent: u64,
    unharmed: u64,
    broke: Tally,
    invented: u64,
    missing_silent: u64,
    missing_told: u64,
    refusals: Tally,
}

/// Changes one bit at a time.
///
/// # Errors
///
/// A child or a file fails without a fault.
pub fn run(context: &Context) -> io::Result<Table> {
    let mut table = Table::new(
        "changed-byte",
        format!(
            "{RECORDS} acknowledged records, the writer killed; then one bit of one byte is changed (a different bit at \
             each place), in every k-th byte from the start of the file to the beginning of the last record, k chosen for \
             about {} places. Each time the log is opened and read.",
            places(context)
        ),
        &[
            "places",
            "refused",
            "opened, told, records missing (most)",
            "opened silently, records missing (most)",
            "invented records returned",
            "nothing lost",
            "broke",
            "refused with",
        ],
    );
    for &kind in &context.kinds {
        let dir = context.fresh("changed-byte", kind)?;
        let (whole, changed) = (dir.join("whole"), dir.join("changed"));
        std::fs::create_dir_all(&whole)?;
        template::write(kind, &whole, ONE_FILE, 1, RECORDS, End::Killed)?;
        let files = logfiles::holding(&whole, &template::records(1..=RECORDS))?;
        let file = files.last().ok_or_else(|| io::Error::other("no file holds the records"))?;
        let end = file.places.last().map_or(0, |place| place.start);
        let step = (end / places(context)).max(1);
        let mut outcome = Outcome::default();
        let mut tried = 0;
        for offset in (0..end).step_by(usize::try_from(step).map_err(io::Error::other)?) {
            super::remove(&changed)?;
            logfiles::copy(&whole, &changed)?;
            let path = changed.join(&file.name);
            let byte = logfiles::byte_at(&path, offset)? ^ (1 << (tried % 8));
            logfiles::overwrite(&path, offset, &[byte])?;
            judge(kind, &changed, offset, &mut outcome, &mut table)?;
            tried += 1;
        }
        table.row(
            kind,
            vec![
                tried.to_string(),
                outcome.refused.to_string(),
                format!("{} ({})", outcome.told, outcome.missing_told),
                format!("{} ({})", outcome.silent, outcome.missing_silent),
                outcome.invented.to_string(),
                outcome.unharmed.to_string(),
                outcome.broke.told(),
                outcome.refusals.told(),
            ],
        );
    }
    table.notes.push(
        "ministore documents no checksum. wal-db documents that by default it cuts \"together with every intact record after\" \
         the damage, and that `OpenPolicy::Strict` refuses. What walrus-rust's recovery does with damage is not documented."
            .to_string(),
    );
    Ok(table)
}

fn places(context: &Context) -> u64 {
    (context.rounds * 3).clamp(20, 400)
}

fn judge(kind: Kind, dir: &Path, offset: u64, outcome: &mut Outcome, table: &mut Table) -> io::Result<()> {
    let mut handed = Handed::default();
    (1..=RECORDS).for_each(|number| handed.ack(0, number));
    let (_served, fate) = template::open_and_read(kind, dir, ONE_FILE, &handed)?;
    match fate {
        Fate::Refused(error) => {
            outcome.refused += 1;
            outcome.refusals.add(kind_of_words(&error));
        }
        Fate::Broke(how) => {
            outcome.broke.add(kind_of_words(&how));
            table.blame(kind, format!("changed-byte at {offset}: {how}"));
        }
        Fate::Read(told, judgement) => {
            outcome.invented += judgement.invented;
            if judgement.invented > 0 || judgement.missing > 0 {
                table.blame(kind, format!("changed-byte at {offset}: told {told:?}, {judgement:?}"));
            }
            match (judgement.missing, told) {
                (0, _) => outcome.unharmed += 1,
                (missing, Some(_)) => {
                    outcome.told += 1;
                    outcome.missing_told = outcome.missing_told.max(missing);
                }
                (missing, None) => {
                    outcome.silent += 1;
                    outcome.missing_silent = outcome.missing_silent.max(missing);
                }
            }
        }
    }
    Ok(())
}
