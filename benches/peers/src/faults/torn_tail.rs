//! The last bytes of a log whose writer was killed are gone, zero, or garbage.

use std::{fs::OpenOptions, io, path::Path};

use super::{
    Context, ONE_FILE,
    judge::{Handed, Judgement},
    logfiles::{self, LogFile},
    random::Random,
    report::{Table, Tally, kind_of_words},
    template::{self, End, Fate},
    wire::{Order, Said},
};
use crate::contestant::Kind;

/// How many records the log has.
const RECORDS: u64 = 30;

/// The longest tail that is taken, in bytes: the last records, and some of the ones before.
const TAIL_BYTES_MAX: u64 = 420;

/// What happens to the tail.
#[derive(Debug, Clone, Copy)]
enum Manner {
    Removed,
    Zeroed,
    Garbage,
}

/// What became of a contestant's torn logs.
#[derive(Default)]
struct Outcome {
    fates: Tally,
    refusals: Tally,
    earlier_lost: u64,
    earlier_lost_max: u64,
    invented: u64,
    later: Tally,
}

/// Tears every contestant's log at many lengths, in three manners.
///
/// # Errors
///
/// A child or a file fails without a fault.
pub fn run(context: &Context) -> io::Result<Table> {
    let step = (TAIL_BYTES_MAX / context.rounds.max(1)).clamp(1, 20);
    let mut table = Table::new(
        "torn-tail",
        format!(
            "{RECORDS} acknowledged records, the writer killed; then the last N bytes of the log's data removed (the file \
             ends there), set to zero, or to random bytes (seed {}), for N from 1 to {TAIL_BYTES_MAX} in steps of {step}. \
             *Earlier* records stand wholly before the tail. Then one more record is appended, acknowledged, and the log \
             opened once more.",
            context.seed
        ),
        &[
            "logs",
            "opening and reading",
            "earlier records missing: logs (most in one)",
            "invented records",
            "after one more acknowledged append",
            "refused with",
        ],
    );
    for &kind in &context.kinds {
        let dir = context.fresh("torn-tail", kind)?;
        let (whole, torn) = (dir.join("whole"), dir.join("torn"));
        std::fs::create_dir_all(&whole)?;
        template::write(kind, &whole, ONE_FILE, 1, RECORDS, End::Killed)?;
        let files = logfiles::holding(&whole, &template::records(1..=RECORDS))?;
        let newest = files.last().ok_or_else(|| io::Error::other("no file holds the records"))?;
        let mut outcome = Outcome::default();
        let mut random = Random::new(context.seed);
        let mut logs = 0;
        for tail in (1..=TAIL_BYTES_MAX).step_by(usize::try_from(step).unwrap_or(1)) {
            for manner in [Manner::Removed, Manner::Zeroed, Manner::Garbage] {
                super::remove(&torn)?;
                logfiles::copy(&whole, &torn)?;
                let cut = newest.data_end.saturating_sub(tail);
                tear(&torn.join(&newest.name), cut, newest.data_end, manner, &mut random)?;
                let what = format!("tail of {tail} bytes {manner:?}");
                judge(kind, &torn, &handed(newest, cut), &mut outcome, &mut table, &what)?;
                logs += 1;
            }
        }
        table.row(
            kind,
            vec![
                logs.to_string(),
                outcome.fates.told(),
                format!("{} ({})", outcome.earlier_lost, outcome.earlier_lost_max),
                outcome.invented.to_string(),
                outcome.later.told(),
                outcome.refusals.told(),
            ],
        );
    }
    table.notes.push(
        "The tail was acknowledged: losing it is the damage's doing, and no contestant promises to notice that its newest \
         records are gone whole. \"told\": the API of opening says that something was cut or passed over."
            .to_string(),
    );
    Ok(table)
}

fn tear(path: &Path, cut: u64, end: u64, manner: Manner, random: &mut Random) -> io::Result<()> {
    let bytes = usize::try_from(end - cut).map_err(io::Error::other)?;
    match manner {
        Manner::Removed => OpenOptions::new().write(true).open(path)?.set_len(cut),
        Manner::Zeroed => logfiles::overwrite(path, cut, &vec![0; bytes]),
        Manner::Garbage => logfiles::overwrite(path, cut, &random.bytes(bytes)),
    }
}

/// Every record was handed over; acknowledged and still to be expected are those whose successor begins before the cut.
fn handed(newest: &LogFile, cut: u64) -> Handed {
    let mut handed = Handed::default();
    handed.over.extend((1..=RECORDS).map(|number| (0, number)));
    for pair in newest.places.windows(2) {
        if pair[1].start <= cut {
            handed.ack(0, pair[0].number);
        }
    }
    handed
}

fn judge(
    kind: Kind,
    dir: &Path,
    handed: &Handed,
    outcome: &mut Outcome,
    table: &mut Table,
    what: &str,
) -> io::Result<()> {
    let (mut served, fate) = template::open_and_read(kind, dir, ONE_FILE, handed)?;
    outcome.fates.add(fate.told());
    match fate {
        Fate::Read(_, judgement) => {
            note(kind, &judgement, outcome, table, what);
            let later = Order::Append { appender: 1, from: 1, count: 1, fill_bytes: 0 };
            let acked = served
                .carry_out(&later)
                .iter()
                .any(|event| matches!(event, super::served::Event::Said(Said::Acked(..))));
            drop(served.kill());
            outcome.later.add(if acked {
                after(kind, dir, handed, table, what)?
            } else {
                "not acknowledged"
            });
        }
        Fate::Refused(error) => outcome.refusals.add(kind_of_words(&error)),
        Fate::Broke(how) => table.blame(kind, format!("torn-tail: {what}: {how}")),
    }
    Ok(())
}

fn note(kind: Kind, judgement: &Judgement, outcome: &mut Outcome, table: &mut Table, what: &str) {
    outcome.earlier_lost += u64::from(judgement.missing > 0);
    outcome.earlier_lost_max = outcome.earlier_lost_max.max(judgement.missing);
    outcome.invented += judgement.invented;
    if judgement.is_broken() {
        table.blame(kind, format!("torn-tail: {what}: {judgement:?}"));
    }
}

/// What became of the record that was acknowledged after the log had been opened.
fn after(kind: Kind, dir: &Path, handed: &Handed, table: &mut Table, what: &str) -> io::Result<&'static str> {
    let mut handed = handed.clone();
    handed.ack(1, 1);
    let (_served, fate) = template::open_and_read(kind, dir, ONE_FILE, &handed)?;
    Ok(match fate {
        Fate::Read(_, judgement) if !judgement.is_broken() => "all there",
        Fate::Read(_, judgement) => {
            table.blame(kind, format!("torn-tail: {what}, after another append: {judgement:?}"));
            if judgement.missing > 0 { "acknowledged records missing" } else { "invented records" }
        }
        Fate::Refused(_) => {
            table.blame(kind, format!("torn-tail: {what}, after another append: refused"));
            "refused"
        }
        Fate::Broke(_) => "broke",
    })
}
