//! The format of the lines on standard error: messages of the program and events of the library look the same.
//!
//! They are text; text after `<N>`, the priority, if the system journal reads standard error; or JSON objects.

use std::{
    env,
    fmt::{self, Debug},
    io,
    sync::atomic::{AtomicBool, Ordering},
};

use clap::ValueEnum;
use serde_json::{Map, Value};
use tracing::{
    Event, Level, Subscriber,
    field::{Field, Visit},
};
use tracing_subscriber::{
    fmt::{
        FmtContext, FormatEvent, FormatFields,
        format::Writer,
        time::{FormatTime, SystemTime},
    },
    registry::LookupSpan,
};

use crate::{
    printable::{printable, printable_json},
    style::{Colors, ERROR, WARNING},
};

/// The values of `--log-format`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum LogFormat {
    /// Text; after a priority such as <4> if the system journal reads it
    Text,
    /// One JSON object per line: time, level, message, and fields
    Json,
}

/// Lines are JSON objects.
static JSON: AtomicBool = AtomicBool::new(false);

/// Lines of text begin with their priority.
static PRIORITIES: AtomicBool = AtomicBool::new(false);

pub(crate) fn set_format(format: LogFormat) {
    JSON.store(format == LogFormat::Json, Ordering::Relaxed);
    PRIORITIES.store(format == LogFormat::Text && is_read_by_journal(), Ordering::Relaxed);
}

/// Whether standard error is the stream that systemd connected to its journal.
fn is_read_by_journal() -> bool {
    let Ok(stream) = env::var("JOURNAL_STREAM") else { return false };
    rustix::fs::fstat(io::stderr()).is_ok_and(|found| stream == format!("{}:{}", found.st_dev, found.st_ino))
}

pub(super) fn is_json() -> bool {
    JSON.load(Ordering::Relaxed)
}

/// Returns the name of a level in JSON.
fn name(level: Level) -> &'static str {
    match level {
        Level::ERROR => "error",
        Level::WARN => "warning",
        _ => "info",
    }
}

/// Returns the priority of syslog.
fn priority(level: Level) -> u8 {
    match level {
        Level::ERROR => 3,
        Level::WARN => 4,
        _ => 6,
    }
}

/// Formats a message as a line without its LF.
pub(super) fn line(level: Level, message: &str, fields: Map<String, Value>) -> String {
    if is_json() {
        return object(level, message, fields);
    }
    let colors = Colors::of_stderr();
    let message = printable(message);
    let mut text = match level {
        Level::ERROR => format!("ministore: {} {message}", colors.with(ERROR, "error:")),
        Level::WARN => format!("ministore: {} {message}", colors.with(WARNING, "warning:")),
        _ => format!("ministore: {message}"),
    };
    for (name, value) in fields {
        text.push_str(&format!(" {name}={}", printable_json(&value.to_string())));
    }
    plain(level, &text)
}

/// Formats [`printable`] text that has no fields and may have several lines.
pub(super) fn plain(level: Level, text: &str) -> String {
    if !PRIORITIES.load(Ordering::Relaxed) {
        return text.to_owned();
    }
    let lines: Vec<_> = text.lines().map(|line| format!("<{}>{line}", priority(level))).collect();
    lines.join("\n")
}

/// Formats a message as a JSON object.
pub(super) fn object(level: Level, message: &str, fields: Map<String, Value>) -> String {
    let mut time = String::new();
    // A string can always be written.
    SystemTime.format_time(&mut Writer::new(&mut time)).ok();
    let mut object = Map::new();
    object.insert("time".to_owned(), time.into());
    object.insert("level".to_owned(), name(level).into());
    object.insert("message".to_owned(), message.into());
    for (name, value) in fields {
        object.entry(name).or_insert(value);
    }
    printable_json(&Value::Object(object).to_string()).into_owned()
}

/// Formats the events of the library.
#[derive(Debug, Clone, Copy)]
pub(crate) struct EventFormat;

impl<S, N> FormatEvent<S, N> for EventFormat
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    N: for<'a> FormatFields<'a> + 'static,
{
    fn format_event(
        &self,
        _: &FmtContext<'_, S, N>,
        mut writer: Writer<'_>,
        event: &Event<'_>,
    ) -> fmt::Result {
        let mut values = EventValues::default();
        event.record(&mut values);
        writeln!(writer, "{}", line(*event.metadata().level(), &values.message, values.fields))
    }
}

/// The message and the fields of an event.
#[derive(Debug, Default)]
struct EventValues {
    message: String,
    fields: Map<String, Value>,
}

impl EventValues {
    fn insert(&mut self, field: &Field, value: impl Into<Value>) {
        self.fields.insert(field.name().to_owned(), value.into());
    }
}

impl Visit for EventValues {
    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        match field.name() {
            "message" => self.message = format!("{value:?}"),
            _ => self.insert(field, format!("{value:?}")),
        }
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        match field.name() {
            "message" => value.clone_into(&mut self.message),
            _ => self.insert(field, value),
        }
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        self.insert(field, value);
    }

    fn record_i64(&mut self, field: &Field, value: i64) {
        self.insert(field, value);
    }

    fn record_bool(&mut self, field: &Field, value: bool) {
        self.insert(field, value);
    }

    fn record_f64(&mut self, field: &Field, value: f64) {
        self.insert(field, value);
    }
}
