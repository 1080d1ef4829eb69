//! Retention where the power is cut, where time passes as told, and where somebody listens.

use std::sync::{
    Mutex,
    atomic::{AtomicU64, Ordering::Relaxed},
};

use tracing::{
    Event, Level, Metadata, Subscriber,
    field::{Field, Visit},
    span,
};

use super::{sim::Stepped, *};
use crate::MiniStoreOptions;

const JOURNAL: &str = "j";

/// A consumer that moves on, and a program that releases whatever it may. Says where the hold is, and where it may be.
fn live(disk: &SimDisk, acknowledged: &mut (u64, u64)) -> Result<()> {
    let store = disk.open_blocking(JournalOptions::new().preallocate(false), JOURNAL)?;
    for round in 0..4 {
        let next = store.durable_seq() + 1;
        store.blocking().append_batch(next..next + 3)?;
        store.blocking().rotate()?;
        let place = round * 3 + 2;
        acknowledged.1 = place;
        store.blocking().hold("consumer", place)?;
        acknowledged.0 = place;
        let first = store.blocking().trim_before(u64::MAX)?;
        assert!(first <= place, "{first} is the first, and {place} is held");
    }
    store.blocking().close()
}

#[test]
fn power_cut_loses_no_held_record_and_no_hold() {
    let mut tried = 0;
    for seed in 0..8 {
        for operation in 1.. {
            let disk = SimDisk::new(seed);
            disk.power_cut_at(operation);
            let mut acknowledged = (0, 0);
            let ended = live(&disk, &mut acknowledged);
            if !disk.is_stopped() {
                ended.unwrap();
                assert!(operation > 50, "{operation}");
                break;
            }
            disk.restart();
            tried += 1;
            let context = format!("seed {seed}, cut at operation {operation}: {acknowledged:?}");
            let store = disk.open_blocking(JournalOptions::new(), JOURNAL).expect(&context);
            let stands = store.holds().get("consumer").copied().unwrap_or(0);
            assert!(stands == acknowledged.0 || stands == acknowledged.1, "{context}: {stands}");
            let records: Vec<_> = disk.reader(JOURNAL).records::<u64>().map(Result::unwrap).collect();
            assert!(records.iter().all(|record| record.seq == record.value), "{context}");
            let first = records.first().map_or(store.open_report().next_seq, |record| record.seq);
            assert_eq!(store.first_seq(), first, "{context}");
            assert!(first <= stands.max(1), "{context}: {first} is the first, and {stands} is held");
        }
    }
    assert!(tried > 400, "{tried} power cuts");
}

#[test]
fn max_age_deletes_only_on_request() {
    let disk = SimDisk::new(1);
    let hours = |hours: u64| Duration::from_secs(hours * 3600);
    let store = disk.open_blocking(JournalOptions::new().max_age(hours(3)), JOURNAL).unwrap();
    for _ in 0..3 {
        store.blocking().append(&0).unwrap();
        store.blocking().rotate().unwrap();
        disk.advance_clock(hours(1));
    }
    assert_eq!(store.blocking().trim_before(0).unwrap(), 1, "three hours is not more than three hours");
    disk.advance_clock(hours(1));
    assert_eq!(store.first_seq(), 1);
    assert_eq!(store.blocking().trim_before(0).unwrap(), 2);
    disk.advance_clock(hours(100));
    store.blocking().append(&0).unwrap();
    store.blocking().rotate().unwrap();
    store.blocking().close().unwrap();
    assert_eq!(store.first_seq(), 4);
}

/// What is told, with its fields.
#[derive(Clone, Default)]
struct Listener {
    heard: Arc<Mutex<Vec<(Level, String)>>>,
    spans: Arc<AtomicU64>,
}

struct Words(String);

impl Visit for Words {
    fn record_debug(&mut self, field: &Field, value: &dyn std::fmt::Debug) {
        self.0 += &format!("{field}={value:?} ");
    }
}

impl Subscriber for Listener {
    fn enabled(&self, _: &Metadata<'_>) -> bool {
        true
    }

    fn new_span(&self, _: &span::Attributes<'_>) -> span::Id {
        span::Id::from_u64(self.spans.fetch_add(1, Relaxed) + 1)
    }

    fn record(&self, _: &span::Id, _: &span::Record<'_>) {}

    fn record_follows_from(&self, _: &span::Id, _: &span::Id) {}

    fn event(&self, event: &Event<'_>) {
        let mut words = Words(String::new());
        event.record(&mut words);
        self.heard.lock().unwrap().push((*event.metadata().level(), words.0));
    }

    fn enter(&self, _: &span::Id) {}

    fn exit(&self, _: &span::Id) {}
}

/// Three rotations, on this thread; what was told of deletions.
fn told_of_deletions(options: JournalOptions) -> Vec<(Level, String)> {
    let listener = Listener::default();
    let settle = |writer: &mut Stepped| while writer.step(true) == sim::Turn::Busy {};
    with_subscriber(listener.clone(), || {
        let (store, mut writer) = SimDisk::new(1).open_stepped(options, Path::new(JOURNAL)).unwrap();
        for _ in 0..3 {
            let mut appending = Box::pin(store.append(&"x"));
            assert!(pollster::block_on(futures_lite::future::poll_once(&mut appending)).is_none());
            settle(&mut writer);
            let mut rotating = Box::pin(store.rotate());
            assert!(pollster::block_on(futures_lite::future::poll_once(&mut rotating)).is_none());
            settle(&mut writer);
        }
    });
    let heard = std::mem::take(&mut *listener.heard.lock().unwrap());
    heard.into_iter().filter(|(_, words)| words.contains("deleted ")).collect()
}

#[test]
fn deletions_are_logged_and_unrequested_warned_once() {
    let told = told_of_deletions(JournalOptions::new().max_segments(2));
    let deleted = |first_seq: u64| format!("j.{:03}", first_seq - 1);
    assert_eq!(told.len(), 2, "{told:?}");
    for ((level, words), first_seq) in told.iter().zip(2..) {
        assert_eq!(*level, Level::INFO);
        for part in
            [deleted(first_seq), format!("first_seq={first_seq}"), "records=1".into(), "reason=count".into()]
        {
            assert!(words.contains(&part), "{words}");
        }
    }
    let told = told_of_deletions(MiniStoreOptions::new().max_segments(2).into());
    assert_eq!(told.iter().filter(|(level, _)| *level == Level::INFO).count(), 2, "{told:?}");
    let warned: Vec<_> = told.iter().filter(|(level, _)| *level == Level::WARN).collect();
    assert_eq!(warned.len(), 1, "{told:?}");
    assert!(warned[0].1.contains("deleted untrimmed records"), "{warned:?}");
    assert!(told_of_deletions(JournalOptions::new()).is_empty());
}
