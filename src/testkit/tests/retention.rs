//! Retention under power cuts, with a simulated clock, and its log events.

use std::sync::{
    Mutex,
    atomic::{AtomicU64, Ordering::Relaxed},
};

use tracing::{
    Event, Level, Metadata, Subscriber,
    field::{Field, Visit},
    span,
};

use super::*;
use crate::{
    MiniStoreOptions,
    internals::{StepOutcome, SteppedWriter},
};

const JOURNAL: &str = "j";

/// Runs a consumer that moves its hold, and a program that trims everything that it may. Writes the position of the
/// acknowledged hold, and that of the requested one, to `holds`.
fn run_consumer(disk: &SimDisk, holds: &mut (u64, u64)) -> Result<()> {
    let store = disk.open_blocking(JournalOptions::new().preallocate(false), JOURNAL)?;
    for round in 0..4 {
        let next = store.durable_seq() + 1;
        store.blocking().append_batch(next..next + 3)?;
        store.blocking().rotate()?;
        let seq = round * 3 + 2;
        holds.1 = seq;
        store.blocking().hold("consumer", seq)?;
        holds.0 = seq;
        let first = store.blocking().trim_before(u64::MAX)?;
        assert!(first <= seq, "{first} is the first, and {seq} is held");
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
            let mut holds = (0, 0);
            let outcome = run_consumer(&disk, &mut holds);
            if !disk.is_stopped() {
                outcome.unwrap();
                assert!(operation > 50, "{operation}");
                break;
            }
            disk.restart();
            tried += 1;
            let context = format!("seed {seed}, power cut at operation {operation}: {holds:?}");
            let store = disk.open_blocking(JournalOptions::new(), JOURNAL).expect(&context);
            let held = store.holds().get("consumer").copied().unwrap_or(0);
            assert!(held == holds.0 || held == holds.1, "{context}: {held}");
            let records: Vec<_> = disk.reader(JOURNAL).records::<u64>().map(Result::unwrap).collect();
            assert!(records.iter().all(|record| record.seq == record.value), "{context}");
            let first = records.first().map_or(store.open_report().next_seq, |record| record.seq);
            assert_eq!(store.first_seq(), first, "{context}");
            assert!(first <= held.max(1), "{context}: {first} is the first, and {held} is held");
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

/// Records log events with their fields.
#[derive(Clone, Default)]
struct EventRecorder {
    events: Arc<Mutex<Vec<(Level, String)>>>,
    spans: Arc<AtomicU64>,
}

/// The fields of an event as text.
struct EventText(String);

impl Visit for EventText {
    fn record_debug(&mut self, field: &Field, value: &dyn std::fmt::Debug) {
        self.0 += &format!("{field}={value:?} ");
    }
}

impl Subscriber for EventRecorder {
    fn enabled(&self, _: &Metadata<'_>) -> bool {
        true
    }

    fn new_span(&self, _: &span::Attributes<'_>) -> span::Id {
        span::Id::from_u64(self.spans.fetch_add(1, Relaxed) + 1)
    }

    fn record(&self, _: &span::Id, _: &span::Record<'_>) {}

    fn record_follows_from(&self, _: &span::Id, _: &span::Id) {}

    fn event(&self, event: &Event<'_>) {
        let mut text = EventText(String::new());
        event.record(&mut text);
        self.events.lock().unwrap().push((*event.metadata().level(), text.0));
    }

    fn enter(&self, _: &span::Id) {}

    fn exit(&self, _: &span::Id) {}
}

/// Makes three rotations on this thread; returns the events about deletions.
fn deletion_events(options: JournalOptions) -> Vec<(Level, String)> {
    let recorder = EventRecorder::default();
    let run_until_idle = |writer: &mut SteppedWriter| while writer.step(true) == StepOutcome::Busy {};
    with_subscriber(recorder.clone(), || {
        let (store, mut writer) = SimDisk::new(1).open_stepped(options, Path::new(JOURNAL)).unwrap();
        for _ in 0..3 {
            let mut appending = Box::pin(store.append(&"x"));
            assert!(pollster::block_on(futures_lite::future::poll_once(&mut appending)).is_none());
            run_until_idle(&mut writer);
            let mut rotating = Box::pin(store.rotate());
            assert!(pollster::block_on(futures_lite::future::poll_once(&mut rotating)).is_none());
            run_until_idle(&mut writer);
        }
    });
    let events = std::mem::take(&mut *recorder.events.lock().unwrap());
    events.into_iter().filter(|(_, text)| text.contains("deleted ")).collect()
}

#[test]
fn deletions_are_logged_and_unrequested_warned_once() {
    let events = deletion_events(JournalOptions::new().max_segments(2));
    let deleted = |first_seq: u64| format!("j.{:03}", first_seq - 1);
    assert_eq!(events.len(), 2, "{events:?}");
    for ((level, text), first_seq) in events.iter().zip(2..) {
        assert_eq!(*level, Level::INFO);
        for part in
            [deleted(first_seq), format!("first_seq={first_seq}"), "records=1".into(), "reason=count".into()]
        {
            assert!(text.contains(&part), "{text}");
        }
    }
    let events = deletion_events(MiniStoreOptions::new().max_segments(2).into());
    assert_eq!(events.iter().filter(|(level, _)| *level == Level::INFO).count(), 2, "{events:?}");
    let warned: Vec<_> = events.iter().filter(|(level, _)| *level == Level::WARN).collect();
    assert_eq!(warned.len(), 1, "{events:?}");
    assert!(warned[0].1.contains("deleted untrimmed records"), "{warned:?}");
    assert!(deletion_events(JournalOptions::new()).is_empty());
}
