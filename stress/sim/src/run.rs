//! One run: a journal through several lives, each checked.

use std::{collections::BTreeMap, path::PathBuf};

use ministore_uring::{
    JournalOptions, MiniStore, MiniStoreError, RecoveryPolicy,
    testkit::{
        SimDisk,
        sim::{Rng, Stepped, Stop},
    },
};

use crate::{
    damage,
    figures::Figures,
    life::{Callers, Shared},
    model::{Checked, Model, Promise, Violation, violated},
    reading::{archived, read, read_all, segments},
    settings::{Life, Run, Trouble, set_up_disk},
};

/// Lives that may end while they recover, one after the other.
const RECOVERIES_MAX: u32 = 20;

/// A journal, and what is known of it.
pub struct Journal {
    run: Run,
    rng: Rng,
    pub disk: SimDisk,
    path: PathBuf,
    shared: Shared,
    pub figures: Figures,
    /// Segments that are to be there at least, archived ones.
    archived_least: usize,
    /// Another journal, which is called like a rotated segment of this one.
    foreign: Option<PathBuf>,
}

/// What is in it.
const FOREIGN: &[u8] = b"// MINISTORE JOURNAL v0.1.4\n\"another journal\"\n";

impl Journal {
    pub fn new(seed: u64, trace: bool) -> Self {
        let mut rng = Rng::new(seed);
        let run = Run::select_backend(&mut rng);
        let disk = SimDisk::in_lock_step(rng.number());
        if trace {
            disk.trace();
            disk.note(&format!("{run:?}"));
        }
        let foreign = run.foreign.map(|number| {
            let path = format!("/dir/j.{number:03}");
            disk.put(format!("{path}.lock").as_ref(), b"");
            disk.put(path.as_ref(), FOREIGN);
            PathBuf::from(path)
        });
        let model = Model::new(Promise { batches_whole: run.seals });
        Self {
            run,
            rng,
            disk,
            path: "/dir/j".into(),
            shared: Shared::new(model),
            figures: Figures { runs: 1, ..Figures::default() },
            archived_least: 0,
            foreign,
        }
    }

    /// All lives, one after the other.
    pub fn live(&mut self) -> Checked {
        for _ in 0..self.run.lives {
            let life = Life::select_backend(&self.run, &mut self.rng);
            self.disk.note(&format!("a life: {}", life.describe()));
            set_up_disk(&self.disk, &mut self.rng);
            self.one_life(&life)?;
            self.check_foreign()?;
            self.figures.lives += 1;
            if let Some(violation) = self.disk.violations().first() {
                return violated(violation.clone());
            }
        }
        self.figures.operations = self.disk.operations();
        self.figures.faults = self.disk.faults();
        self.figures.reads = self.shared.reads();
        Ok(())
    }

    /// The other journal is as it was.
    fn check_foreign(&self) -> Checked {
        let Some(path) = &self.foreign else { return Ok(()) };
        match self.disk.read(path) {
            Ok(bytes) if bytes == FOREIGN => Ok(()),
            found => violated(format!("{}: another journal's file was changed: {found:?}", path.display())),
        }
    }

    fn one_life(&mut self, life: &Life) -> Checked {
        if self.rng.chance(40) {
            self.look_before_recovery()?;
        }
        let limited = life.segments_kept < usize::MAX || life.limited_at_open;
        self.shared.model().may_delete_all |= life.segments_kept == 1 || self.run.retains;
        self.shared.model().deletes = limited || self.run.retains;
        self.shared.model().retention.limited |= limited;
        if life.limited_at_open {
            self.archived_least = 0;
        }
        let faults_before = self.disk.faults();
        let Some(opened) = self.open(life)? else { return Ok(()) };
        self.check_recovered(&opened.0, life)?;
        if self.disk.is_stopped() {
            drop(opened);
            return self.crash();
        }
        let rng = self.rng.fork();
        let mut callers =
            Callers::new(&self.disk, &self.path, self.run, rng, &self.shared, faults_before, opened);
        let acted = callers.act(life.actions);
        self.figures.acknowledged += callers.acknowledged;
        self.figures.refused += callers.refused;
        let stats = callers.store.stats();
        self.figures.rotations += stats.rotations;
        self.figures.trimmed_segments += stats.trimmed_segments;
        self.figures.releases += callers.released;
        self.figures.holds += callers.held;
        acted?;
        let ended = end_life(callers, life, &mut self.rng)?;
        self.disk.note(&format!("ended: {ended:?}"));
        match ended {
            Ended::Closed { archived } => {
                self.archived_least = archived;
                self.after_closing()
            }
            Ended::Abandoned if !self.disk.is_stopped() => {
                self.disk.clear_space_limit();
                self.disk.exhaust_descriptors(false);
                self.disk.exhaust_memory(false);
                self.archived_least = 0;
                Ok(())
            }
            Ended::Stopped | Ended::Abandoned | Ended::Failed => {
                self.archived_least = 0;
                self.crash()
            }
        }
    }

    /// The process is started anew.
    fn crash(&mut self) -> Checked {
        let stop = self.disk.stopped().unwrap_or(Stop::PowerCut);
        self.disk.watch(None);
        self.shared.model().end_of_life();
        match stop {
            Stop::PowerCut => self.figures.power_cuts += 1,
            Stop::Kill => self.figures.kills += 1,
        }
        self.disk.heal();
        self.disk.restart_after(stop);
        Ok(())
    }

    /// Nobody has recovered it yet, and it can be read all the same.
    fn look_before_recovery(&mut self) -> Checked {
        let (found, error) = read(&self.disk, &self.path);
        if let Some(error) = error.filter(|_| self.run.seals) {
            return violated(format!("read before recovery, after {} records: {error}", found.len()));
        }
        let checked = self.shared.model().check(&found, 0);
        checked.map_err(|Violation(text)| Violation(format!("read before recovery: {text}")))?;
        if !self.run.seals {
            return Ok(());
        }
        match self.disk.verify(&self.path) {
            Ok(found) => match found.faults.first() {
                Some(fault) => violated(format!("before recovery: {fault}")),
                None => Ok(()),
            },
            Err(MiniStoreError::Io { source }) if source.kind() == std::io::ErrorKind::NotFound => Ok(()),
            Err(error) => violated(format!("before recovery: {error}")),
        }
    }

    /// Opens the journal; where the life ends meanwhile, in the next life.
    fn open(&mut self, life: &Life) -> Checked<Option<(MiniStore, Stepped)>> {
        let mut stop = life.stop;
        for _ in 0..RECOVERIES_MAX {
            if let Some((after, stop)) = stop {
                match stop {
                    Stop::PowerCut => self.disk.power_cut_after(after),
                    Stop::Kill => self.disk.kill_after(after),
                }
            }
            let faults = self.disk.faults();
            match self.disk.open_stepped(life.options.clone(), &self.path) {
                Ok(opened) => return Ok(Some(opened)),
                Err(error @ (MiniStoreError::Corrupt { .. } | MiniStoreError::MissingInitialState)) => {
                    return violated(format!("recovery refuses: {error}"));
                }
                Err(_) if self.disk.is_stopped() => {
                    self.figures.recoveries_cut_off += 1;
                    self.crash()?;
                    stop = self.rng.chance(60).then(|| (self.rng.range(1, 10), Stop::PowerCut));
                }
                Err(_) if self.disk.faults() > faults => {
                    self.disk.stop_now(if self.rng.chance(50) { Stop::Kill } else { Stop::PowerCut });
                    self.crash()?;
                }
                Err(error) => return violated(format!("it cannot be opened: {error}")),
            }
        }
        Ok(None)
    }

    /// Right after recovery: everything is there, and would be after another power cut.
    fn check_recovered(&mut self, store: &MiniStore, life: &Life) -> Checked {
        let next_seq = store.open_report().next_seq;
        // What goes at opening goes first: nobody is overtaken then.
        while life.limited_at_open && self.disk.advance_beside() {}
        if self.disk.is_stopped() {
            return Ok(());
        }
        let found = read_all(&self.disk, &self.path, "read after recovery");
        if self.disk.is_stopped() {
            return Ok(());
        }
        let found = found?;
        let mut model = self.shared.model();
        let checked = model
            .check(&found, 0)
            .and_then(|()| model.recovered(&found, next_seq))
            .and_then(|()| model.retention.recovered(&store.holds(), next_seq))
            .and_then(|()| model.retention.check(found.first().map_or(next_seq, |(seq, _)| *seq), true));
        drop(model);
        checked.map_err(|Violation(text)| Violation(format!("after recovery: {text}")))?;
        let first_seq = found.first().map_or(next_seq, |(seq, _)| *seq);
        if self.run.seals && store.first_seq() != first_seq {
            return violated(format!("first_seq is {}, and {first_seq} is found", store.first_seq()));
        }
        if archived(&self.disk) < self.archived_least {
            return violated(format!("of {} archived segments some are gone", self.archived_least));
        }
        match self.disk.verify(&self.path) {
            _ if self.disk.is_stopped() => return Ok(()),
            Ok(examined) => {
                // The file may be padded while it is read: what looks torn is no fault then.
                if let Some(fault) = examined.faults.first() {
                    return violated(format!("after recovery: {fault}"));
                }
            }
            Err(error) => return violated(format!("after recovery: {error}")),
        }
        if self.rng.chance(50) {
            self.cut_power_again(&found, next_seq, &store.holds())?;
        }
        if self.rng.chance(30) {
            self.recover_again(&found)?;
        }
        Ok(())
    }

    /// What recovery let anybody see survives a power cut at this very moment.
    fn cut_power_again(
        &mut self,
        found: &[(u64, u64)],
        next_seq: u64,
        holds: &BTreeMap<String, u64>,
    ) -> Checked {
        let fork = self.disk.fork(self.rng.number());
        fork.heal();
        fork.restart_after(Stop::PowerCut);
        let again = fork.open_stepped(self.plain_options(), &self.path);
        let (store, _writer) = match again {
            Ok(opened) => opened,
            Err(error) => return violated(format!("a power cut right after recovery: {error}")),
        };
        let seen = read_all(&fork, &self.path, "a power cut right after recovery")?;
        if seen != found || store.open_report().next_seq != next_seq {
            return violated(format!(
                "a power cut right after recovery: {} records are left of {}, the next is {}, not {next_seq}",
                seen.len(),
                found.len(),
                store.open_report().next_seq,
            ));
        }
        if store.holds() != *holds {
            return violated(format!("a power cut right after recovery: {holds:?} are {:?}", store.holds()));
        }
        Ok(())
    }

    /// A journal that was recovered is not changed by another recovery.
    fn recover_again(&mut self, found: &[(u64, u64)]) -> Checked {
        let fork = self.disk.fork(self.rng.number());
        fork.heal();
        fork.forget_dropped();
        fork.restart_after(Stop::Kill);
        for round in 0..2 {
            let before = segments(&fork, &self.path);
            let opened = fork.open_stepped(self.plain_options(), &self.path);
            // What comes after the recovery is not to be done.
            fork.stop_now(Stop::Kill);
            if let Err(error) = opened {
                return violated(format!("a second recovery: {error}"));
            }
            drop(opened);
            fork.restart_after(Stop::Kill);
            // Work beside may have been begun by the first life, and is undone by the first recovery.
            if round == 1 && segments(&fork, &self.path) != before {
                let after = segments(&fork, &self.path);
                let changed = before.iter().zip(&after).find(|(before, after)| before != after);
                let changed = changed.map(|((path, before), (_, after))| {
                    format!("{}, from {} bytes to {}", path.display(), before.len(), after.len())
                });
                return violated(format!("a second recovery changes files: {changed:?}"));
            }
        }
        let torn = fork.verify(&self.path).map(|examined| examined.torn_tail);
        if !matches!(torn, Ok(None)) {
            return violated(format!("after a second recovery: {torn:?}"));
        }
        if read_all(&fork, &self.path, "after a second recovery")? != found {
            return violated("a second recovery changes what is read");
        }
        Ok(())
    }

    /// Options under which opening changes nothing but what recovery must.
    fn plain_options(&self) -> JournalOptions {
        let policy =
            if self.run.seals { RecoveryPolicy::Strict } else { RecoveryPolicy::TruncateAtFirstError };
        JournalOptions::new().checksums(self.run.seals).recovery(policy)
    }

    /// A closed journal is complete: a power cut takes nothing, and damage shows.
    fn after_closing(&mut self) -> Checked {
        let found = read_all(&self.disk, &self.path, "read after closing")?;
        self.shared.model().check(&found, 0)?;
        if self.run.seals && self.run.trouble != Trouble::Faults {
            for _ in 0..self.rng.below(4) {
                self.figures.damages += 1;
                let seed = self.rng.number();
                self.figures.damages_detected +=
                    u64::from(damage::try_one(&self.disk, &self.path, &found, seed)?);
            }
        }
        if self.run.seals && self.rng.chance(20) {
            let seed = self.rng.number();
            self.figures.damages += 1;
            self.figures.damages_detected += 1;
            damage::try_foreign_next(&self.disk, &self.path, &found, seed)?;
        }
        if self.rng.chance(30) {
            self.disk.stop_now(if self.rng.chance(50) { Stop::PowerCut } else { Stop::Kill });
            self.crash()?;
        }
        Ok(())
    }
}

/// How a life ended.
#[derive(Debug)]
enum Ended {
    Closed {
        archived: usize,
    },
    Abandoned,
    /// Crashed.
    Stopped,
    /// It could not be closed, after a fault.
    Failed,
}

fn end_life(mut callers: Callers<'_>, life: &Life, rng: &mut Rng) -> Checked<Ended> {
    let disk = callers.disk;
    if disk.is_stopped() {
        callers.leave()?;
        return Ok(Ended::Stopped);
    }
    match rng.below(10) {
        0..4 => {
            disk.stop_now(if rng.chance(60) { Stop::PowerCut } else { Stop::Kill });
            callers.leave()?;
            Ok(Ended::Stopped)
        }
        4..6 => {
            callers.abandon()?;
            Ok(Ended::Abandoned)
        }
        _ => {
            callers.find_room_again()?;
            callers.settle()?;
            let was_refused = callers.was_struck() || callers.was_short();
            if !was_refused && !disk.is_stopped() && !callers.run.retains {
                check_retention(&callers, life)?;
            }
            let faults = callers.faults_before;
            match callers.close()? {
                None => Ok(Ended::Closed { archived: archived(disk) }),
                Some(_) if disk.is_stopped() => Ok(Ended::Stopped),
                Some(_) if disk.faults() > faults => {
                    disk.stop_now(if rng.chance(50) { Stop::PowerCut } else { Stop::Kill });
                    Ok(Ended::Failed)
                }
                Some(error) => violated(format!("it cannot be closed: {error}")),
            }
        }
    }
}

/// Retention keeps what it should and no more.
fn check_retention(callers: &Callers<'_>, life: &Life) -> Checked {
    let rotations = callers.store.stats().rotations;
    let there = archived(callers.disk) + 1;
    if rotations > 0 && there > life.segments_kept {
        return violated(format!("{there} segments are left, and {} were to be kept", life.segments_kept));
    }
    let least = life.segments_kept.min(1 + rotations as usize);
    if there < least {
        return violated(format!("{there} segments are left, and {least} were to be kept"));
    }
    Ok(())
}
