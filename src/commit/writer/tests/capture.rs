//! Captures the `tracing` events. There is one subscriber for the process, because the writer logs from a thread of its
//! own.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt::Debug,
    path::Path,
    sync::{LazyLock, Mutex},
};

use tracing::{
    Event, Level, Metadata, Subscriber,
    field::{Field, Visit},
    span::{Attributes, Id, Record},
};

/// A captured event.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct LoggedEvent {
    pub(super) level: Level,
    pub(super) message: String,
    pub(super) fields: BTreeMap<&'static str, String>,
}

static EVENTS: LazyLock<Mutex<Vec<LoggedEvent>>> = LazyLock::new(|| {
    tracing::subscriber::set_global_default(CaptureSubscriber).unwrap();
    Mutex::default()
});

/// Installs the subscriber. Called before the store is opened.
pub(super) fn install() {
    LazyLock::force(&EVENTS);
}

/// Returns the events that name a file in a directory, in order.
fn events_of(dir: &Path) -> Vec<LoggedEvent> {
    let dir = dir.canonicalize().unwrap().display().to_string();
    let events = EVENTS.lock().unwrap();
    let concerns = |event: &&LoggedEvent| {
        let files = ["journal", "segment", "path"].map(|name| event.fields.get(name));
        files.into_iter().flatten().any(|file| file.starts_with(&dir))
    };
    events.iter().filter(concerns).cloned().collect()
}

/// Returns the documented events: the level and the fields by message.
pub(super) fn documented() -> BTreeMap<&'static str, (&'static str, BTreeSet<&'static str>)> {
    let page = include_str!("../../../../docs/reference/events.md");
    let table = page.split("\n## Events\n").nth(1).unwrap().split("\n## ").next().unwrap();
    let rows = table.lines().filter(|line| line.starts_with("| `"));
    let rows = rows.map(|row| {
        let cells: Vec<_> = row.split('|').map(str::trim).collect();
        let fields = cells[3].split(", ").map(|field| field.trim_matches('`')).collect();
        (cells[1].trim_matches('`'), (cells[2], fields))
    });
    rows.collect()
}

/// Returns the events of a journal. Each must be documented, with the same level and fields.
pub(super) fn events(dir: &Path) -> Vec<LoggedEvent> {
    let (events, documented) = (events_of(dir), documented());
    for LoggedEvent { level, message, fields } in &events {
        let Some((as_level, as_fields)) = documented.get(message.as_str()) else {
            panic!("not in docs/reference/events.md: {message}");
        };
        assert_eq!(*as_level, level.to_string().to_lowercase(), "{message}");
        assert_eq!(*as_fields, fields.keys().copied().collect(), "{message}");
    }
    events
}

/// Returns the event with this message. There must be only one.
pub(super) fn only_event(dir: &Path, message: &str) -> LoggedEvent {
    let mut events: Vec<_> = events(dir).into_iter().filter(|event| event.message == message).collect();
    assert_eq!(events.len(), 1, "{message}: {events:?}");
    events.remove(0)
}

pub(super) fn count(dir: &Path, message: &str) -> usize {
    events(dir).iter().filter(|event| event.message == message).count()
}

struct CaptureSubscriber;

impl Subscriber for CaptureSubscriber {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        metadata.is_event() && metadata.target().starts_with("ministore_uring")
    }

    fn new_span(&self, _: &Attributes<'_>) -> Id {
        Id::from_u64(1)
    }

    fn record(&self, _: &Id, _: &Record<'_>) {}

    fn record_follows_from(&self, _: &Id, _: &Id) {}

    fn event(&self, event: &Event<'_>) {
        let mut fields = EventFields::default();
        event.record(&mut fields);
        let EventFields { message, fields } = fields;
        EVENTS.lock().unwrap().push(LoggedEvent { level: *event.metadata().level(), message, fields });
    }

    fn enter(&self, _: &Id) {}

    fn exit(&self, _: &Id) {}
}

#[derive(Default)]
struct EventFields {
    message: String,
    fields: BTreeMap<&'static str, String>,
}

impl Visit for EventFields {
    fn record_str(&mut self, field: &Field, value: &str) {
        self.fields.insert(field.name(), value.to_owned());
    }

    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        if field.name() == "message" {
            self.message = format!("{value:?}");
        } else {
            self.fields.insert(field.name(), format!("{value:?}"));
        }
    }
}
