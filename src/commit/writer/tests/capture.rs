//! What is told through `tracing`, kept for the tests that ask for it: one subscriber for the process, for the writer
//! tells from a thread of its own.

use std::{
    collections::BTreeMap,
    fmt::Debug,
    path::Path,
    sync::{LazyLock, Mutex},
};

use tracing::{
    Event, Level, Metadata, Subscriber,
    field::{Field, Visit},
    span::{Attributes, Id, Record},
};

/// An event as it was told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Told {
    pub(super) level: Level,
    pub(super) message: String,
    pub(super) fields: BTreeMap<&'static str, String>,
}

static TOLD: LazyLock<Mutex<Vec<Told>>> = LazyLock::new(|| {
    tracing::subscriber::set_global_default(Capture).unwrap();
    Mutex::default()
});

/// To be called before anything is to be told.
pub(super) fn listen() {
    LazyLock::force(&TOLD);
}

/// What was told of the files in a directory, in order.
pub(super) fn told_of(dir: &Path) -> Vec<Told> {
    let dir = dir.canonicalize().unwrap().display().to_string();
    let told = TOLD.lock().unwrap();
    let concerns = |told: &&Told| {
        let files = ["journal", "segment", "path"].map(|name| told.fields.get(name));
        files.into_iter().flatten().any(|file| file.starts_with(&dir))
    };
    told.iter().filter(concerns).cloned().collect()
}

struct Capture;

impl Subscriber for Capture {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        metadata.is_event() && metadata.target().starts_with("ministore_uring")
    }

    fn new_span(&self, _: &Attributes<'_>) -> Id {
        Id::from_u64(1)
    }

    fn record(&self, _: &Id, _: &Record<'_>) {}

    fn record_follows_from(&self, _: &Id, _: &Id) {}

    fn event(&self, event: &Event<'_>) {
        let mut fields = Fields::default();
        event.record(&mut fields);
        let Fields { message, fields } = fields;
        TOLD.lock().unwrap().push(Told { level: *event.metadata().level(), message, fields });
    }

    fn enter(&self, _: &Id) {}

    fn exit(&self, _: &Id) {}
}

#[derive(Default)]
struct Fields {
    message: String,
    fields: BTreeMap<&'static str, String>,
}

impl Visit for Fields {
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
