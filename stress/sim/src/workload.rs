//! The callers of one incarnation of a store: they append, rotate, trim and hold, until the incarnation ends.

mod faults;
mod outcomes;
mod retention;

use std::{
    future::Future,
    path::Path,
    pin::Pin,
    task::{Context, Poll, Waker},
};

use ministore_uring::{
    Append, MiniStore, MiniStoreError, PendingAppend, Result,
    internals::{Rng, StepOutcome, SteppedWriter},
    testkit::SimDisk,
};

use crate::{
    config::{FaultMode, RunConfig},
    model::{Ack, Checked, violated},
    observer::SharedModel,
    read::text_of,
    run_stats::RunStats,
    workload::retention::RetentionOp,
};

type BoxFuture<T> = Pin<Box<dyn Future<Output = Result<T>> + Send>>;

/// An append that is in the queue or was committed.
enum AcceptedAppend {
    Any(PendingAppend),
    /// It gets this sequence number, or is rejected.
    Expecting(u64, PendingAppend),
}

/// An append that was polled and, as far as its caller knows, waits for capacity in the queue.
struct WaitingAppend {
    append: usize,
    future: BoxFuture<AcceptedAppend>,
    /// Its caller keeps the future and does not poll it.
    is_parked: bool,
}

pub struct Workload<'a> {
    pub disk: &'a SimDisk,
    path: &'a Path,
    pub config: RunConfig,
    pub rng: Rng,
    shared: SharedModel,
    pub store: MiniStore,
    pub writer: SteppedWriter,
    /// Appends that wait for capacity in the queue, in order.
    waiting: Vec<WaitingAppend>,
    /// Accepted appends without a known outcome, each with its index in the model.
    pending: Vec<(usize, AcceptedAppend)>,
    rotations: Vec<BoxFuture<()>>,
    retention_ops: Vec<(RetentionOp, BoxFuture<u64>)>,
    /// What the callers did.
    pub stats: RunStats,
    /// Whether a caller got the error that the store is poisoned.
    pub poisoned: bool,
    has_space_limit: bool,
    /// Whether the process has no descriptors left, or no memory.
    has_shortage: bool,
    /// The number of faults before this incarnation.
    pub faults_before: u64,
    /// The number of failed calls for a shortage before this incarnation.
    shortages_before: u64,
}

impl<'a> Workload<'a> {
    pub fn new(
        disk: &'a SimDisk,
        path: &'a Path,
        config: RunConfig,
        mut rng: Rng,
        shared: &SharedModel,
        faults_before: u64,
        (store, writer): (MiniStore, SteppedWriter),
    ) -> Self {
        disk.watch(Some(shared.watcher(disk, path, rng.fork(), &store)));
        Self {
            disk,
            path,
            config,
            rng,
            shared: shared.clone(),
            store,
            writer,
            waiting: Vec::new(),
            pending: Vec::new(),
            rotations: Vec::new(),
            retention_ops: Vec::new(),
            stats: RunStats::default(),
            poisoned: false,
            has_space_limit: false,
            has_shortage: false,
            faults_before,
            shortages_before: disk.shortages(),
        }
    }

    /// Whether a fault was injected in this incarnation.
    pub fn had_fault(&self) -> bool {
        self.disk.faults() > self.faults_before
    }

    /// Whether a call failed for a shortage in this incarnation. Retention retries it at the next rotation.
    pub fn had_shortage(&self) -> bool {
        self.disk.shortages() > self.shortages_before
    }

    /// Performs random actions of the callers, the writer and the disk.
    pub fn act(&mut self, actions: u64) -> Checked {
        if self.config.fault_mode == FaultMode::Faults && self.rng.chance(25) {
            self.disk.fail_rename(self.rng.range(1, 5));
        }
        for _ in 0..actions {
            match self.rng.below(100) {
                0..26 => self.submit(1)?,
                26..30 => self.submit_expecting()?,
                30..42 => {
                    let count = self.rng.range(1, 7);
                    self.submit(count)?;
                }
                42..70 => self.step(),
                70..78 => self.run_until_idle()?,
                78..84 => self.advance_background(),
                84..87 if self.config.checksums => self.rotate(),
                87..90 => self.shared.check_reader(self.disk, self.path, &self.store, "between two steps")?,
                90..92 => self.drop_append()?,
                92..93 => self.submit_empty(),
                93..97 if self.config.retains => self.change_retention(),
                _ => self.inject_fault()?,
            }
            self.poll_outcomes()?;
            self.shared.take_violation()?;
            if self.disk.is_stopped() {
                break;
            }
        }
        Ok(())
    }

    fn submit(&mut self, count: u64) -> Checked {
        let (mut ids, mut records) = (Vec::new(), Vec::new());
        for _ in 0..count {
            let id = self.shared.lock().new_id();
            let percent_long = if self.config.large { 60 } else { 20 };
            let bytes_max = if self.rng.chance(percent_long) { self.config.text_bytes_max } else { 40 };
            let bytes = self.rng.below(bytes_max);
            ids.push(id);
            records.push((id, text_of(id, bytes)));
        }
        let store = self.store.clone();
        let single = count == 1 && self.rng.chance(80);
        let future: BoxFuture<AcceptedAppend> = Box::pin(async move {
            if single { store.submit(&records[0]).await } else { store.send(Append::batch(records)?).await }
                .map(AcceptedAppend::Any)
        });
        self.start(ids, false, future)
    }

    /// Polls an append for the first time, which decides its position among the others.
    fn start(&mut self, ids: Vec<u64>, expects_seq: bool, mut future: BoxFuture<AcceptedAppend>) -> Checked {
        let append = self.shared.lock().issue(ids, expects_seq);
        match poll(&mut future) {
            None => {
                let is_parked = self.rng.chance(40);
                if is_parked {
                    self.shared.lock().park(append);
                }
                self.waiting.push(WaitingAppend { append, future, is_parked });
                Ok(())
            }
            Some(outcome) => self.on_accepted(append, outcome),
        }
    }

    /// Submits an append that expects a certain sequence number. It gets it if every append before it is written.
    fn submit_expecting(&mut self) -> Checked {
        let id = self.shared.lock().new_id();
        let ahead = (self.pending.len() + self.waiting.len()) as u64 + self.rng.pick(&[0, 0, 1]);
        let (store, seq) = (self.store.clone(), self.store.durable_seq() + 1 + ahead);
        let future: BoxFuture<AcceptedAppend> = Box::pin(async move {
            let append = Append::record(&(id, text_of(id, 20)))?.expect_seq(seq);
            Ok(AcceptedAppend::Expecting(seq, store.send(append).await?))
        });
        self.start(vec![id], true, future)
    }

    /// Submits an empty batch, which writes nothing.
    fn submit_empty(&mut self) {
        let store = self.store.clone();
        let mut future: BoxFuture<PendingAppend> =
            Box::pin(async move { store.send(Append::batch::<u64>([])?).await });
        let _ = poll(&mut future);
    }

    fn rotate(&mut self) {
        let store = self.store.clone();
        let mut future: BoxFuture<()> = Box::pin(async move { store.rotate().await });
        if poll(&mut future).is_none() {
            self.rotations.push(future);
        }
    }

    /// Drops the future of an append. An append that still waits is then not written; an accepted one may be.
    fn drop_append(&mut self) -> Checked {
        if !self.waiting.is_empty() && self.rng.chance(60) {
            let which = self.rng.below(self.waiting.len() as u64) as usize;
            let WaitingAppend { append, mut future, .. } = self.waiting.remove(which);
            let ack = if self.rng.chance(50) {
                Ack::DroppedWaiting
            } else {
                match poll(&mut future) {
                    None | Some(Err(_)) => Ack::Rejected,
                    Some(Ok(_)) => Ack::Dropped,
                }
            };
            drop(future);
            return self.shared.lock().set_ack(append, ack);
        }
        if !self.pending.is_empty() {
            let which = self.rng.below(self.pending.len() as u64) as usize;
            let (append, _) = self.pending.remove(which);
            return self.shared.lock().set_ack(append, Ack::Dropped);
        }
        Ok(())
    }

    fn advance_background(&mut self) {
        let operations = self.rng.range(1, 30);
        for _ in 0..operations {
            self.disk.advance_background();
        }
    }

    fn step(&mut self) {
        let outcomes_first = self.rng.chance(50);
        self.writer.step(outcomes_first);
    }

    /// Runs the writer and the background thread until neither has work. Then no caller may wait, although the parked
    /// futures are polled only at the end.
    pub fn run_until_idle(&mut self) -> Checked {
        self.poll_outcomes()?;
        loop {
            let outcomes_first = self.rng.chance(50);
            let turn = self.writer.step(outcomes_first);
            self.poll_outcomes()?;
            if turn == StepOutcome::Ended || (turn == StepOutcome::Idle && !self.disk.advance_background()) {
                break;
            }
        }
        self.waiting.iter_mut().for_each(|waiting| waiting.is_parked = false);
        self.poll_outcomes()?;
        let unresolved =
            self.waiting.len() + self.pending.len() + self.rotations.len() + self.retention_ops.len();
        if unresolved > 0 && !self.disk.is_stopped() {
            return violated(format!(
                "{} accepted appends, {} that wait for capacity, {} rotations and {} retention requests hang",
                self.pending.len(),
                self.waiting.len(),
                self.rotations.len(),
                self.retention_ops.len()
            ));
        }
        Ok(())
    }

    /// Closes the store. Returns the error of the close, if it failed.
    pub fn close(mut self) -> Checked<Option<MiniStoreError>> {
        let store = self.store.clone();
        let mut closing: BoxFuture<()> = Box::pin(async move { store.close().await });
        let mut outcome = poll(&mut closing);
        self.run_until_idle()?;
        outcome = outcome.or_else(|| poll(&mut closing));
        let stopped = self.disk.is_stopped();
        self.crash()?;
        match outcome {
            Some(Ok(())) => Ok(None),
            Some(Err(error)) => Ok(Some(error)),
            None if stopped => Ok(Some(MiniStoreError::WriterPanicked)),
            None => violated("closing hangs"),
        }
    }

    /// Drops every handle; the writer then closes the journal.
    pub fn drop_handles(mut self) -> Checked {
        self.run_until_idle()?;
        self.disk.watch(None);
        let Self { store, mut writer, pending, waiting, rotations, retention_ops, .. } = self;
        drop((store, pending, waiting, rotations, retention_ops));
        while writer.step(false) != StepOutcome::Ended {}
        Ok(())
    }

    /// Ends the process. The acknowledgements that the callers have received so far count.
    pub fn crash(mut self) -> Checked {
        self.disk.watch(None);
        self.poll_outcomes()?;
        self.shared.take_violation()
    }
}

fn poll<T, F: Future<Output = T> + Unpin + ?Sized>(future: &mut F) -> Option<T> {
    match Pin::new(future).poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(value) => Some(value),
        Poll::Pending => None,
    }
}
