//! One measurement, in this process: a log is opened in an empty directory, loaded, closed, and its records are counted.

use std::{path::Path, sync::Arc, time::Duration};

use ministore_uring::{MiniStore, Reader};
use serde::{Deserialize, Serialize, de::IgnoredAny};

use super::{
    awaited::{Ministore, open_ours},
    blocking::{Okaywal, Plain, RaftEngine},
    bulk::{self, Manner},
    echo::{Echo, Load},
    entrant::Entrant,
    events::Events,
    floor::{BULK_BYTES, Floor, InPlace, Way},
    phases::{Figures, Tally, Timing},
    sqlite, tasks,
    threads::{self, Blocking},
};
use crate::contestant::{Answer, Kind, Refusal, Settings};

/// The size of a segment, where one can choose: what ours has by default.
const SEGMENT_BYTES: u64 = 64 << 20;

/// A segment that a short run fills many times.
const SMALL_SEGMENT_BYTES: u64 = 4 << 20;

/// A segment that no run fills.
const ONE_SEGMENT_BYTES: u64 = 1 << 40;

/// What is measured.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Cell {
    /// Who.
    pub entrant: Entrant,
    /// By how many callers.
    pub callers: usize,
    /// With records of how many bytes.
    pub record_bytes: usize,
    /// For how long.
    pub timing: Timing,
    /// Calls in flight of each task that submits.
    pub in_flight: usize,
    /// Whether the records of peers are counted too; ours always are.
    pub count_peers: bool,
}

type Measured = (Tally, Duration);

impl Cell {
    /// Measures in the empty directory `dir`.
    ///
    /// # Errors
    ///
    /// Whatever the log says; that acknowledged records are missing from it, for one.
    pub fn measure(&self, dir: &Path) -> Answer<Figures> {
        let events = Events::new(self.record_bytes)?;
        let (tally, window) = self.load(dir, &events)?;
        let mut figures = tally.figures(window, self.record_bytes);
        if matches!(self.entrant, Entrant::BulkFloorDirect | Entrant::BulkFloorBuffered) {
            // What stands behind the last whole record of each write counts, too.
            let records = bulk::records_per_write(self.record_bytes) as f64;
            figures.bytes_per_second = figures.records_per_second / records * BULK_BYTES as f64;
        }
        if figures.calls == 0 {
            return Err(Refusal("nothing was acknowledged".into()));
        }
        figures.kept = self.kept(dir)?;
        match figures.kept {
            Some(kept) if kept != figures.acknowledged => {
                Err(Refusal(format!("{} records acknowledged, {kept} in the log", figures.acknowledged)))
            }
            _ => Ok(figures),
        }
    }

    fn load(&self, dir: &Path, events: &Events) -> Answer<Measured> {
        match self.entrant {
            Entrant::Append => self.ours(dir, events, None),
            Entrant::AppendSmallSegments => self.ours(dir, events, Some(SMALL_SEGMENT_BYTES)),
            Entrant::AppendOneSegment => self.ours(dir, events, Some(ONE_SEGMENT_BYTES)),
            Entrant::Submit => self.bulk(dir, events, Manner::Submit, self.in_flight),
            Entrant::AppendJson => self.bulk(dir, events, Manner::Json, self.in_flight),
            Entrant::AppendBatch => self.bulk(dir, events, Manner::Batch, bulk::BATCHES_IN_FLIGHT),
            Entrant::Ministore => {
                let runtime = tasks::runtime()?;
                let log = runtime.block_on(Ministore::open(dir))?;
                tasks::closed_loop(&runtime, &Arc::new(log), self.callers, events, self.timing)
            }
            Entrant::Echo => self.echo(events, Load::Line),
            Entrant::EchoEmpty => self.echo(events, Load::Nothing),
            Entrant::BulkFloorDirect => self.in_place(dir, events, Way::Direct),
            Entrant::BulkFloorBuffered => self.in_place(dir, events, Way::Buffered),
            _ => threads::closed_loop(&*self.blocking(dir)?, self.callers, events, self.timing),
        }
    }

    fn blocking(&self, dir: &Path) -> Answer<Box<dyn Blocking>> {
        let plain = |kind: Kind| kind.open(dir, Settings { segment_bytes: SEGMENT_BYTES });
        Ok(match self.entrant {
            Entrant::AppendBlocking => Box::new(Plain(plain(Kind::Ours)?)),
            Entrant::WalDb => Box::new(Plain(plain(Kind::WalDb)?)),
            Entrant::WalrusRust => Box::new(Plain(plain(Kind::Walrus)?)),
            Entrant::Okaywal => Box::new(Okaywal::open(dir)?),
            Entrant::RaftEngine => Box::new(RaftEngine::open(dir, SEGMENT_BYTES)?),
            Entrant::Sqlite => Box::new(sqlite::Shared::open(dir)?),
            Entrant::SqliteConnections => Box::new(sqlite::Connections::open(dir)?),
            Entrant::FloorDirect => Box::new(Floor::prepare(dir, Way::Direct, self.record_bytes)?),
            Entrant::FloorBuffered => Box::new(Floor::prepare(dir, Way::Buffered, self.record_bytes)?),
            #[cfg(feature = "rocksdb")]
            Entrant::Rocksdb => Box::new(super::rocks::Rocks::open(dir)?),
            other => return Err(Refusal(format!("{}: not in this program", other.name()))),
        })
    }

    fn ours(&self, dir: &Path, events: &Events, segment_bytes: Option<u64>) -> Answer<Measured> {
        let runtime = tasks::runtime()?;
        let log = Arc::new(open_ours(dir, segment_bytes)?);
        let measured = tasks::closed_loop(&runtime, &log, self.callers, events, self.timing)?;
        log.blocking().close().map_err(Refusal::of)?;
        Ok(measured)
    }

    fn bulk(&self, dir: &Path, events: &Events, manner: Manner, in_flight: usize) -> Answer<Measured> {
        let runtime = tasks::runtime()?;
        let log = open_ours(dir, None)?;
        let measured = bulk::in_flight(&runtime, &log, manner, in_flight, events, self.timing)?;
        log.blocking().close().map_err(Refusal::of)?;
        Ok(measured)
    }

    fn echo(&self, events: &Events, load: Load) -> Answer<Measured> {
        let runtime = tasks::runtime()?;
        let echo = Arc::new(Echo::start(load).map_err(Refusal::of)?);
        tasks::closed_loop(&runtime, &echo, self.callers, events, self.timing)
    }

    fn in_place(&self, dir: &Path, events: &Events, way: Way) -> Answer<Measured> {
        bulk::in_place(InPlace::prepare(dir, way, BULK_BYTES)?, events, self.timing)
    }

    /// How many records are in the log, read in its own way; nothing where it is not read.
    fn kept(&self, dir: &Path) -> Answer<Option<u64>> {
        let replayed = |kind: Kind| {
            let log = kind.open(dir, Settings { segment_bytes: SEGMENT_BYTES })?;
            Ok(Some(log.replay()?.len() as u64))
        };
        match self.entrant {
            Entrant::Append
            | Entrant::AppendBlocking
            | Entrant::Submit
            | Entrant::AppendBatch
            | Entrant::AppendJson
            | Entrant::AppendSmallSegments
            | Entrant::AppendOneSegment => ours_kept(dir).map(Some),
            _ if !self.count_peers => Ok(None),
            Entrant::Ministore => replayed(Kind::Ministore),
            Entrant::WalDb => replayed(Kind::WalDb),
            Entrant::WalrusRust => replayed(Kind::Walrus),
            Entrant::RaftEngine => replayed(Kind::RaftEngine),
            Entrant::Sqlite | Entrant::SqliteConnections => sqlite::kept(dir).map(Some),
            #[cfg(feature = "rocksdb")]
            Entrant::Rocksdb => super::rocks::kept(dir).map(Some),
            // okaywal's segments are emptied while it runs; limits keep nothing.
            _ => Ok(None),
        }
    }
}

/// Every record of every segment, its seal checked; and what the next opening says is durable.
fn ours_kept(dir: &Path) -> Answer<u64> {
    let path = dir.join("journal");
    let mut kept = 0;
    for record in Reader::open(&path).unwrap().records::<IgnoredAny>() {
        record.map_err(Refusal::of)?;
        kept += 1;
    }
    let durable = MiniStore::open_blocking(&path).map_err(Refusal::of)?.durable_seq();
    if durable == kept {
        Ok(kept)
    } else {
        Err(Refusal(format!("{kept} records read, but {durable} durable")))
    }
}
