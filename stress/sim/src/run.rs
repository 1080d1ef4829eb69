//! One run: a journal through several incarnations of its store, each checked.

mod after_close;
mod recovery;

use std::{path::PathBuf, sync::Arc};

use ministore_uring::{
    JournalOptions, MiniStore, Result,
    internals::{CrashKind, Rng, SteppedWriter},
    testkit::SimDisk,
};

use crate::{
    config::{Incarnation, RunConfig, set_up_disk},
    lying_fs::{Lie, LyingFs},
    model::{Checked, Guarantees, Model, violated},
    observer::SharedModel,
    read::count_rotated,
    run_stats::RunStats,
    workload::Workload,
};

pub struct Run {
    config: RunConfig,
    lie: Option<Lie>,
    rng: Rng,
    pub disk: SimDisk,
    path: PathBuf,
    shared: SharedModel,
    pub stats: RunStats,
    /// The least number of rotated segments that must exist.
    rotated_min: usize,
    /// Another journal, which has the name of a rotated segment of this one.
    foreign: Option<PathBuf>,
}

const FOREIGN_CONTENT: &[u8] = b"// MINISTORE JOURNAL v0.1.4\n\"another journal\"\n";

impl Run {
    pub fn new(seed: u64, lie: Option<Lie>, trace: bool) -> Self {
        let mut rng = Rng::new(seed);
        let config = RunConfig::random(&mut rng);
        let disk = SimDisk::in_lock_step(rng.number());
        if trace {
            disk.trace();
            disk.note(&format!("{config:?}"));
        }
        let foreign = config.foreign_number.map(|number| {
            let path = format!("/dir/j.{number:03}");
            disk.put(format!("{path}.lock").as_ref(), b"");
            disk.put(path.as_ref(), FOREIGN_CONTENT);
            PathBuf::from(path)
        });
        let model = Model::new(Guarantees { atomic_batches: config.checksums });
        Self {
            config,
            lie,
            rng,
            disk,
            path: "/dir/j".into(),
            shared: SharedModel::new(model),
            stats: RunStats { runs: 1, ..RunStats::default() },
            rotated_min: 0,
            foreign,
        }
    }

    /// Runs all incarnations, one after the other.
    pub fn execute(&mut self) -> Checked {
        for _ in 0..self.config.incarnations {
            let incarnation = Incarnation::random(&self.config, &mut self.rng);
            self.disk.note(&format!("incarnation: {}", incarnation.describe()));
            set_up_disk(&self.disk, &mut self.rng);
            self.run_incarnation(&incarnation)?;
            self.check_foreign()?;
            self.stats.incarnations += 1;
            if let Some(violation) = self.disk.violations().first() {
                return violated(violation.clone());
            }
        }
        self.stats.operations = self.disk.operations();
        self.stats.faults = self.disk.faults();
        self.stats.reads = self.shared.reads();
        Ok(())
    }

    /// Opens the journal on this disk, or on a fork of it.
    fn open_stepped(&self, disk: &SimDisk, options: JournalOptions) -> Result<(MiniStore, SteppedWriter)> {
        disk.open_stepped_on(options, &self.path, |fs| match self.lie {
            Some(lie) => Arc::new(LyingFs::new(fs, lie)),
            None => fs,
        })
    }

    /// Checks that the other journal is unchanged.
    fn check_foreign(&self) -> Checked {
        let Some(path) = &self.foreign else { return Ok(()) };
        match self.disk.read(path) {
            Ok(bytes) if bytes == FOREIGN_CONTENT => Ok(()),
            found => violated(format!("{}: another journal's file was changed: {found:?}", path.display())),
        }
    }

    fn run_incarnation(&mut self, incarnation: &Incarnation) -> Checked {
        if self.rng.chance(40) {
            self.check_before_recovery()?;
        }
        let has_limits = incarnation.segments_kept < usize::MAX || incarnation.limited_at_open;
        {
            let mut model = self.shared.lock();
            model.may_delete_all |= incarnation.segments_kept == 1 || self.config.retains;
            model.deletes = has_limits || self.config.retains;
            model.retention.has_limits |= has_limits;
        }
        if incarnation.limited_at_open {
            self.rotated_min = 0;
        }
        let faults_before = self.disk.faults();
        let Some(opened) = self.open(incarnation)? else { return Ok(()) };
        self.check_recovered(&opened.0, incarnation)?;
        if self.disk.is_stopped() {
            drop(opened);
            return self.crash();
        }
        let rng = self.rng.fork();
        let mut workload =
            Workload::new(&self.disk, &self.path, self.config, rng, &self.shared, faults_before, opened);
        let acted = workload.act(incarnation.actions);
        self.stats += workload.stats;
        let stats = workload.store.stats();
        self.stats.rotations += stats.rotations;
        self.stats.trimmed_segments += stats.trimmed_segments;
        acted?;
        let end = end_incarnation(workload, incarnation, &mut self.rng)?;
        self.disk.note(&format!("ended: {end:?}"));
        match end {
            End::Closed { rotated } => {
                self.rotated_min = rotated;
                self.check_closed()
            }
            End::Dropped if !self.disk.is_stopped() => {
                self.disk.clear_space_limit();
                self.disk.exhaust_descriptors(false);
                self.disk.exhaust_memory(false);
                self.rotated_min = 0;
                Ok(())
            }
            End::Crashed | End::Dropped | End::Failed => {
                self.rotated_min = 0;
                self.crash()
            }
        }
    }

    /// Ends the process and restarts the disk as the crash leaves it.
    fn crash(&mut self) -> Checked {
        let stop = self.disk.stopped().unwrap_or(CrashKind::PowerCut);
        self.disk.watch(None);
        self.shared.lock().end_incarnation();
        match stop {
            CrashKind::PowerCut => self.stats.power_cuts += 1,
            CrashKind::Kill => self.stats.kills += 1,
        }
        self.disk.heal();
        self.disk.restart_after(stop);
        Ok(())
    }
}

/// How an incarnation ended.
#[derive(Debug)]
enum End {
    /// With the number of rotated segments.
    Closed {
        rotated: usize,
    },
    /// All handles were dropped.
    Dropped,
    Crashed,
    /// Closing failed after a fault.
    Failed,
}

fn end_incarnation(mut workload: Workload<'_>, incarnation: &Incarnation, rng: &mut Rng) -> Checked<End> {
    let disk = workload.disk;
    if disk.is_stopped() {
        workload.crash()?;
        return Ok(End::Crashed);
    }
    match rng.below(10) {
        0..4 => {
            disk.stop_now(if rng.chance(60) { CrashKind::PowerCut } else { CrashKind::Kill });
            workload.crash()?;
            Ok(End::Crashed)
        }
        4..6 => {
            workload.drop_handles()?;
            Ok(End::Dropped)
        }
        _ => {
            workload.restore_resources()?;
            workload.run_until_idle()?;
            let may_have_failed = workload.had_fault() || workload.had_shortage();
            if !may_have_failed && !disk.is_stopped() && !workload.config.retains {
                check_retention(&workload, incarnation)?;
            }
            let faults = workload.faults_before;
            match workload.close()? {
                None => Ok(End::Closed { rotated: count_rotated(disk) }),
                Some(_) if disk.is_stopped() => Ok(End::Crashed),
                Some(_) if disk.faults() > faults => {
                    disk.stop_now(if rng.chance(50) { CrashKind::PowerCut } else { CrashKind::Kill });
                    Ok(End::Failed)
                }
                Some(error) => violated(format!("it cannot be closed: {error}")),
            }
        }
    }
}

/// Checks that retention kept as many segments as it should and no more.
fn check_retention(workload: &Workload<'_>, incarnation: &Incarnation) -> Checked {
    let rotations = workload.store.stats().rotations;
    let found = count_rotated(workload.disk) + 1;
    let kept = incarnation.segments_kept;
    if rotations > 0 && found > kept {
        return violated(format!("{found} segments are left, at most {kept} expected"));
    }
    let least = kept.min(1 + rotations as usize);
    if found < least {
        return violated(format!("{found} segments are left, at least {least} expected"));
    }
    Ok(())
}
