//! One life of a store: opened, used by its callers, and ended, well or badly.

use std::{
    future::Future,
    path::Path,
    pin::Pin,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    task::{Context, Poll, Waker},
    time::Duration,
};

use ministore_uring::{
    Append, MiniStore, MiniStoreError, PendingAppend, Result,
    testkit::{
        SimDisk,
        sim::{Rng, Stepped, Turn},
    },
};

use crate::{
    model::{Checked, Model, Told, Violation, violated},
    reading::{read, text_of},
    retention::Moved,
    settings::{Run, Trouble},
};

type Promise<T> = Pin<Box<dyn Future<Output = Result<T>> + Send>>;

/// An append that was accepted.
enum Accepted {
    Plain(PendingAppend),
    /// It is to get this number, or none.
    Meant(u64, PendingAppend),
}

/// An append that was polled, and waits for capacity as far as its caller knows.
struct Waiting {
    append: usize,
    promise: Promise<Accepted>,
    /// Its caller keeps the future and does not poll it.
    is_parked: bool,
}

/// A model that a watcher looks at, too.
#[derive(Clone)]
pub struct Shared {
    model: Arc<Mutex<Model>>,
    /// What the watcher saw.
    seen: Arc<Mutex<Option<Violation>>>,
    reads: Arc<std::sync::atomic::AtomicU64>,
}

impl Shared {
    pub fn new(model: Model) -> Self {
        Self { model: Arc::new(Mutex::new(model)), seen: Arc::default(), reads: Arc::default() }
    }

    pub fn model(&self) -> MutexGuard<'_, Model> {
        self.model.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub fn reads(&self) -> u64 {
        self.reads.load(std::sync::atomic::Ordering::Relaxed)
    }

    /// What the watcher saw, once.
    pub fn complain(&self) -> Checked {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner).take().map_or(Ok(()), Err)
    }

    /// A reader of another process, at this very moment: sees every acknowledged record and nothing else.
    pub fn look(&self, disk: &SimDisk, path: &Path, store: &MiniStore, when: &str) -> Checked {
        let durable = store.durable_seq();
        self.reads.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        let (found, error) = disk.from_outside(|| read(disk, path));
        if disk.is_stopped() {
            return Ok(());
        }
        let overtaken = self.model().deletes && error.as_ref().is_some_and(is_not_found);
        if let Some(error) = error.filter(|_| !overtaken) {
            return violated(format!("a reader {when}, after {} records: {error}", found.len()));
        }
        if overtaken {
            // It was told that retention was faster, and begins anew.
            return Ok(());
        }
        let checked = self.model().check(&found, durable);
        checked.map_err(|Violation(text)| Violation(format!("a reader {when}: {text}")))
    }

    fn see(&self, violation: Violation) {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert(violation);
    }
}

/// What somebody asked of retention.
enum Asked {
    Release,
    /// The hold, and how to tell the model.
    Hold(&'static str, u64),
}

/// A store and its callers.
pub struct Callers<'a> {
    pub disk: &'a SimDisk,
    path: &'a Path,
    pub run: Run,
    pub rng: Rng,
    shared: Shared,
    pub store: MiniStore,
    pub writer: Stepped,
    /// Appends that wait for capacity in the queue, in order.
    waiting: Vec<Waiting>,
    /// Appends on their way: which, and what will tell.
    pending: Vec<(usize, Accepted)>,
    rotations: Vec<Promise<()>>,
    /// What was asked of retention.
    asks: Vec<(Asked, Promise<u64>)>,
    pub released: u64,
    pub held: u64,
    /// Somebody was told that the store gave up.
    pub poisoned: bool,
    pub refused: u64,
    pub acknowledged: u64,
    room_is_limited: bool,
    /// There are no descriptors, or no memory.
    is_short: bool,
    /// Faults that had struck when this life began.
    pub faults_before: u64,
    /// Calls that had been refused when this life began.
    shortages_before: u64,
}

impl<'a> Callers<'a> {
    pub fn new(
        disk: &'a SimDisk,
        path: &'a Path,
        run: Run,
        mut rng: Rng,
        shared: &Shared,
        faults_before: u64,
        (store, writer): (MiniStore, Stepped),
    ) -> Self {
        let watcher = Self::watcher(disk, path, rng.fork(), shared, &store);
        disk.watch(Some(watcher));
        Self {
            disk,
            path,
            run,
            rng,
            shared: shared.clone(),
            store,
            writer,
            waiting: Vec::new(),
            pending: Vec::new(),
            rotations: Vec::new(),
            asks: Vec::new(),
            released: 0,
            held: 0,
            poisoned: false,
            refused: 0,
            acknowledged: 0,
            room_is_limited: false,
            is_short: false,
            faults_before,
            shortages_before: disk.shortages(),
        }
    }

    /// Reads the journal now and then, before an operation of the writer.
    fn watcher(
        disk: &SimDisk,
        path: &Path,
        mut rng: Rng,
        shared: &Shared,
        store: &MiniStore,
    ) -> Box<dyn FnMut() + Send> {
        // The store is held by a clone of its handle only while somebody looks: the last handle closes it.
        let (disk, path, shared, store) = (disk.clone(), path.to_path_buf(), shared.clone(), store.clone());
        let chance = rng.pick(&[0, 2, 5, 20]);
        Box::new(move || {
            if rng.chance(chance) {
                shared.model().answers_are_on_their_way = true;
                if let Err(violation) = shared.look(&disk, &path, &store, "before an operation") {
                    shared.see(violation);
                }
                shared.model().answers_are_on_their_way = false;
            }
        })
    }

    /// Whether something struck in this life.
    pub fn was_struck(&self) -> bool {
        self.disk.faults() > self.faults_before
    }

    /// Whether a call was refused in this life for a shortage. Retention makes it again at the next rotation.
    pub fn was_short(&self) -> bool {
        self.disk.shortages() > self.shortages_before
    }

    /// Callers and writer do this and that.
    pub fn act(&mut self, actions: u64) -> Checked {
        if self.run.trouble == Trouble::Faults && self.rng.chance(25) {
            self.disk.fail_rename(self.rng.range(1, 5));
        }
        for _ in 0..actions {
            match self.rng.below(100) {
                0..26 => self.submit(1)?,
                26..30 => self.submit_meant()?,
                30..42 => {
                    let count = self.rng.range(1, 7);
                    self.submit(count)?;
                }
                42..70 => self.step(),
                70..78 => self.settle()?,
                78..84 => self.work_beside(),
                84..87 if self.run.seals => self.rotate(),
                87..90 => self.shared.look(self.disk, self.path, &self.store, "between two steps")?,
                90..92 => self.go_away()?,
                92..93 => self.submit_nothing(),
                93..97 if self.run.retains => self.retain(),
                _ => self.trouble()?,
            }
            self.listen()?;
            self.shared.complain()?;
            if self.disk.is_stopped() {
                break;
            }
        }
        Ok(())
    }

    fn submit(&mut self, count: u64) -> Checked {
        let (mut ids, mut records) = (Vec::new(), Vec::new());
        for _ in 0..count {
            let id = self.shared.model().new_id();
            let often = if self.run.large { 60 } else { 20 };
            let bytes_max = if self.rng.chance(often) { self.run.text_bytes_max } else { 40 };
            let bytes = self.rng.below(bytes_max);
            ids.push(id);
            records.push((id, text_of(id, bytes)));
        }
        let store = self.store.clone();
        let single = count == 1 && self.rng.chance(80);
        let promise: Promise<Accepted> = Box::pin(async move {
            if single { store.submit(&records[0]).await } else { store.send(Append::batch(records)?).await }
                .map(Accepted::Plain)
        });
        self.start(ids, false, promise)
    }

    /// Polls an append for the first time: that decides its place among the others.
    fn start(&mut self, ids: Vec<u64>, meant: bool, mut promise: Promise<Accepted>) -> Checked {
        let append = self.shared.model().issue(ids, meant);
        match poll(&mut promise) {
            None => {
                let is_parked = self.rng.chance(40);
                if is_parked {
                    self.shared.model().park(append);
                }
                self.waiting.push(Waiting { append, promise, is_parked });
                Ok(())
            }
            Some(outcome) => self.note_accepted(append, outcome),
        }
    }

    /// An append does not wait any more.
    fn note_accepted(&mut self, append: usize, outcome: Result<Accepted>) -> Checked {
        match outcome {
            Ok(accepted) => {
                self.pending.push((append, accepted));
                Ok(())
            }
            // It was never in the queue.
            Err(
                MiniStoreError::Closed | MiniStoreError::Poisoned { .. } | MiniStoreError::WriterPanicked,
            ) => self.shared.model().tell(append, Told::Refused),
            Err(error) => violated(format!("an append was not accepted: {error}")),
        }
    }

    /// An append that is to get a certain number, which it gets if all that is on its way does.
    fn submit_meant(&mut self) -> Checked {
        let id = self.shared.model().new_id();
        let ahead = (self.pending.len() + self.waiting.len()) as u64 + self.rng.pick(&[0, 0, 1]);
        let (store, seq) = (self.store.clone(), self.store.durable_seq() + 1 + ahead);
        let promise: Promise<Accepted> = Box::pin(async move {
            let entry = Append::record(&(id, text_of(id, 20)))?.expect_seq(seq);
            Ok(Accepted::Meant(seq, store.send(entry).await?))
        });
        self.start(vec![id], true, promise)
    }

    /// An empty batch is acknowledged like any other, and writes nothing.
    fn submit_nothing(&mut self) {
        let store = self.store.clone();
        let mut promise: Promise<PendingAppend> =
            Box::pin(async move { store.send(Append::batch::<u64>([])?).await });
        let _ = poll(&mut promise);
    }

    fn rotate(&mut self) {
        let store = self.store.clone();
        let mut promise: Promise<()> = Box::pin(async move { store.rotate().await });
        if poll(&mut promise).is_none() {
            self.rotations.push(promise);
        }
    }

    /// Somebody needs less, or more, than before.
    fn retain(&mut self) {
        let (store, next) = (self.store.clone(), self.store.durable_seq() + 3);
        let name = self.rng.pick(&["a", "b"]);
        match self.rng.below(10) {
            0..4 => {
                let before = self.rng.below(next);
                self.shared.model().retention.release(before);
                self.request_retention(
                    Asked::Release,
                    Box::pin(async move { store.trim_before(before).await }),
                );
            }
            4..8 => {
                let first = store.first_seq().saturating_sub(self.rng.pick(&[0, 0, 0, 2]));
                let seq = first + self.rng.below(next.saturating_sub(first) + 1);
                let ask = self.shared.model().retention.hold(name, Some(seq));
                let hold = Box::pin(async move { store.hold(name, seq).await.map(|()| 0) });
                self.request_retention(Asked::Hold(name, ask), hold);
            }
            8 => {
                let ask = self.shared.model().retention.hold(name, None);
                let release_hold = Box::pin(async move { store.release_hold(name).await.map(u64::from) });
                self.request_retention(Asked::Hold(name, ask), release_hold);
            }
            _ => self.disk.advance_clock(Duration::from_secs(self.rng.range(1, 40))),
        }
    }

    /// Asks at once, in this order.
    fn request_retention(&mut self, asked: Asked, mut promise: Promise<u64>) {
        match poll(&mut promise) {
            None => self.asks.push((asked, promise)),
            // Refused as it was asked: nobody takes it any more.
            Some(_) => {
                if let Asked::Hold(name, ask) = asked {
                    self.shared.model().retention.moved(name, ask, Moved::No);
                }
            }
        }
    }

    fn listen_to_retention(&mut self) -> Checked {
        let mut still = Vec::new();
        for (asked, mut promise) in std::mem::take(&mut self.asks) {
            match poll(&mut promise) {
                None => still.push((asked, promise)),
                Some(outcome) => self.note_retention(asked, outcome)?,
            }
        }
        self.asks = still;
        Ok(())
    }

    fn note_retention(&mut self, asked: Asked, outcome: Result<u64>) -> Checked {
        let excused = self.was_struck() || self.disk.is_stopped();
        let short = self.was_short();
        let moved = match &outcome {
            Ok(_) => Moved::Yes,
            Err(MiniStoreError::Closed | MiniStoreError::Trimmed { .. }) => Moved::No,
            Err(MiniStoreError::InvalidArgument(_)) if !self.run.seals => Moved::No,
            Err(MiniStoreError::StorageFull { .. } | MiniStoreError::Io { .. }) if excused => Moved::No,
            Err(MiniStoreError::Io { .. }) if short => Moved::No,
            Err(MiniStoreError::Poisoned { .. }) if excused => {
                self.poisoned = true;
                Moved::Unknown
            }
            Err(MiniStoreError::WriterPanicked) if excused => Moved::Unknown,
            Err(error) => return violated(format!("retention failed: {error}")),
        };
        match (asked, outcome) {
            (Asked::Release, Ok(first_seq)) => {
                self.released += 1;
                self.shared.model().retention.was_released(first_seq);
            }
            (Asked::Release, Err(_)) => {}
            (Asked::Hold(name, ask), _) => {
                self.held += u64::from(moved == Moved::Yes);
                self.shared.model().retention.moved(name, ask, moved);
            }
        }
        Ok(())
    }

    /// A caller drops its future. An append that still waits is not written then; one that was accepted may be.
    fn go_away(&mut self) -> Checked {
        if !self.waiting.is_empty() && self.rng.chance(60) {
            let which = self.rng.below(self.waiting.len() as u64) as usize;
            let Waiting { append, mut promise, .. } = self.waiting.remove(which);
            let told = if self.rng.chance(50) {
                // Whether it still waits is not known.
                Told::Dropped
            } else {
                match poll(&mut promise) {
                    None | Some(Err(_)) => Told::Refused,
                    Some(Ok(_)) => Told::Gone,
                }
            };
            drop(promise);
            return self.shared.model().tell(append, told);
        }
        if !self.pending.is_empty() {
            let which = self.rng.below(self.pending.len() as u64) as usize;
            let (append, _) = self.pending.remove(which);
            return self.shared.model().tell(append, Told::Gone);
        }
        Ok(())
    }

    fn trouble(&mut self) -> Checked {
        match self.run.trouble {
            Trouble::None => {}
            Trouble::Faults if self.rng.chance(30) => {
                let nth = self.rng.range(1, 12);
                match self.rng.below(10) {
                    0..4 => self.disk.fail_sync(nth),
                    4..6 => self.disk.fail_write(nth),
                    _ => self.disk.fail_rename(nth.div_ceil(6)),
                }
            }
            Trouble::Faults => {}
            Trouble::Shortage if self.is_short && self.rng.chance(30) => self.find_room_again()?,
            Trouble::Shortage => {
                self.is_short = true;
                self.shared.model().room_was_limited = true;
                self.disk.exhaust_descriptors(self.rng.chance(60));
                self.disk.exhaust_memory(self.rng.chance(50));
                self.disk.advance_clock(Duration::from_millis(self.rng.range(1, 2000)));
            }
            Trouble::StorageFull if self.room_is_limited => self.find_room_again()?,
            Trouble::StorageFull => {
                self.room_is_limited = true;
                self.shared.model().room_was_limited = true;
                let room = self.rng.pick(&[0, 1, 30, 100, 1000, 5000, 70_000, 200_000]);
                self.disk.set_space_limit(self.rng.below(room + 1));
            }
        }
        Ok(())
    }

    /// After the longest back-off, everything that was refused must be attempted again.
    fn end_shortage(&mut self) {
        if std::mem::take(&mut self.is_short) {
            self.disk.exhaust_descriptors(false);
            self.disk.exhaust_memory(false);
            self.disk.advance_clock(Duration::from_secs(2));
        }
    }

    /// Once there is room the store must work again.
    pub fn find_room_again(&mut self) -> Checked {
        self.room_is_limited = false;
        self.disk.clear_space_limit();
        self.end_shortage();
        self.settle()?;
        if self.poisoned || self.disk.is_stopped() || self.rng.chance(30) {
            return Ok(());
        }
        let refused = self.refused;
        self.submit(1)?;
        self.settle()?;
        if self.refused > refused && !self.poisoned && !self.disk.is_stopped() {
            return violated("an append was refused for lack of room, and there is room");
        }
        Ok(())
    }

    fn work_beside(&mut self) {
        let operations = self.rng.range(1, 30);
        for _ in 0..operations {
            self.disk.advance_beside();
        }
    }

    fn step(&mut self) {
        let outcomes_first = self.rng.chance(50);
        self.writer.step(outcomes_first);
    }

    /// Lets everything be done that can be done. Nobody may hang then, though some futures are not polled meanwhile.
    pub fn settle(&mut self) -> Checked {
        self.listen()?;
        loop {
            let outcomes_first = self.rng.chance(50);
            let turn = self.writer.step(outcomes_first);
            self.listen()?;
            if turn == Turn::Ended || (turn == Turn::Idle && !self.disk.advance_beside()) {
                break;
            }
        }
        self.waiting.iter_mut().for_each(|waiting| waiting.is_parked = false);
        self.listen()?;
        let hanging = self.waiting.len() + self.pending.len() + self.rotations.len() + self.asks.len();
        if hanging > 0 && !self.disk.is_stopped() {
            return violated(format!(
                "{} appends, {} waiting for room in the queue, {} rotations and {} asks of retention hang",
                self.pending.len(),
                self.waiting.len(),
                self.rotations.len(),
                self.asks.len()
            ));
        }
        Ok(())
    }

    /// Takes in what callers are told.
    pub fn listen(&mut self) -> Checked {
        self.poll_waiting()?;
        let mut still = Vec::new();
        for (append, mut pending) in std::mem::take(&mut self.pending) {
            match poll_accepted(&mut pending)? {
                None => still.push((append, pending)),
                Some(outcome) => self.note(append, outcome)?,
            }
        }
        self.pending = still;
        let mut rotations = std::mem::take(&mut self.rotations);
        rotations.retain_mut(|rotation| poll(rotation).is_none());
        self.rotations = rotations;
        self.listen_to_retention()
    }

    fn poll_waiting(&mut self) -> Checked {
        let mut still = Vec::new();
        for mut waiting in std::mem::take(&mut self.waiting) {
            let polled = if waiting.is_parked { None } else { poll(&mut waiting.promise) };
            match polled {
                None => still.push(waiting),
                Some(outcome) => self.note_accepted(waiting.append, outcome)?,
            }
        }
        self.waiting = still;
        Ok(())
    }

    fn note(&mut self, append: usize, outcome: Result<u64>) -> Checked {
        let told = match outcome {
            Ok(first) => {
                self.acknowledged += 1;
                Told::Durable(first)
            }
            Err(MiniStoreError::StorageFull { .. } | MiniStoreError::Closed) => {
                self.refused += 1;
                Told::Refused
            }
            // By itself it is no sign of a lack of room.
            Err(MiniStoreError::SeqMismatch { .. }) => Told::Refused,
            Err(MiniStoreError::Unavailable { .. }) if self.was_short() || self.disk.is_stopped() => {
                self.refused += 1;
                Told::Refused
            }
            Err(error @ MiniStoreError::Poisoned { .. }) => {
                if !self.was_struck() && !self.disk.is_stopped() {
                    return violated(format!("it is poisoned, and no fault has struck: {error}"));
                }
                self.poisoned = true;
                Told::Unknown
            }
            Err(MiniStoreError::WriterPanicked) => Told::Unknown,
            Err(error) => return violated(format!("an append failed: {error}")),
        };
        self.shared.model().tell(append, told)
    }

    /// The store is closed, and so is the journal.
    pub fn close(mut self) -> Checked<Option<MiniStoreError>> {
        let store = self.store.clone();
        let mut closing: Promise<()> = Box::pin(async move { store.close().await });
        let mut outcome = poll(&mut closing);
        self.settle()?;
        outcome = outcome.or_else(|| poll(&mut closing));
        let stopped = self.disk.is_stopped();
        self.leave()?;
        match outcome {
            Some(Ok(())) => Ok(None),
            Some(Err(error)) => Ok(Some(error)),
            None if stopped => Ok(Some(MiniStoreError::WriterPanicked)),
            None => violated("closing hangs"),
        }
    }

    /// Every handle is dropped; the writer closes the journal by itself.
    pub fn abandon(mut self) -> Checked {
        self.settle()?;
        self.disk.watch(None);
        let Self { store, mut writer, pending, waiting, rotations, asks, .. } = self;
        drop((store, pending, waiting, rotations, asks));
        while writer.step(false) != Turn::Ended {}
        Ok(())
    }

    /// The process is gone: what it was told by then counts.
    pub fn leave(mut self) -> Checked {
        self.disk.watch(None);
        self.listen()?;
        self.shared.complain()
    }
}

/// The outcome, if it is there; it has to be one that was asked for.
fn poll_accepted(accepted: &mut Accepted) -> Checked<Option<Result<u64>>> {
    let (meant, told) = match accepted {
        Accepted::Plain(pending) => {
            return Ok(poll(&mut Pin::new(pending)).map(|outcome| outcome.map(|receipt| receipt.seq)));
        }
        Accepted::Meant(meant, pending) => (*meant, poll(&mut Pin::new(pending))),
    };
    match &told {
        Some(Ok(receipt)) if receipt.seq != meant => {
            violated(format!("an append meant for {meant} got {receipt:?}"))
        }
        Some(Err(MiniStoreError::SeqMismatch { expected, actual }))
            if *expected != meant || *actual == meant =>
        {
            violated(format!("an append meant for {meant} was refused: {expected} expected, {actual} next"))
        }
        _ => Ok(told.map(|told| told.map(|receipt| receipt.seq))),
    }
}

fn is_not_found(error: &MiniStoreError) -> bool {
    matches!(error, MiniStoreError::Io { source } if source.kind() == std::io::ErrorKind::NotFound)
}

fn poll<T, F: Future<Output = T> + Unpin + ?Sized>(future: &mut F) -> Option<T> {
    match Pin::new(future).poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(value) => Some(value),
        Poll::Pending => None,
    }
}
