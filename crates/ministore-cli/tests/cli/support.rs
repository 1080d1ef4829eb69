//! Owns what every test of the program needs: a place for files, the program, and what it left behind.

use std::{
    ffi::OsStr,
    fs,
    io::{self, Write},
    path::{Path, PathBuf},
    process::{Child, Command, Output, Stdio},
    thread,
    time::{Duration, Instant},
};

use ministore_uring::Reader;
use serde::de::IgnoredAny;
use serde_json::Value;
use tempfile::TempDir;

/// A test that has waited so long has found a fault.
pub(crate) const PATIENCE: Duration = Duration::from_secs(120);

/// A fresh directory with a journal in it.
pub(crate) struct Place {
    pub(crate) dir: TempDir,
}

impl Place {
    pub(crate) fn new() -> Self {
        Self { dir: tempfile::tempdir().unwrap() }
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    pub(crate) fn journal(&self) -> PathBuf {
        self.path("journal.jsonl")
    }

    pub(crate) fn write(&self, name: &str, bytes: impl AsRef<[u8]>) -> PathBuf {
        let path = self.path(name);
        fs::write(&path, bytes).unwrap();
        path
    }

    /// `ministore ingest JOURNAL`, with more to follow.
    pub(crate) fn ingest(&self) -> Command {
        self.command("ingest")
    }

    /// `ministore serve JOURNAL`, with more to follow.
    pub(crate) fn serve(&self) -> Command {
        self.command("serve")
    }

    /// Any subcommand that begins with the journal.
    pub(crate) fn command(&self, subcommand: &str) -> Command {
        let mut command = ministore([subcommand]);
        command.arg(self.journal());
        command
    }

    pub(crate) fn replay(&self) -> String {
        self.command("replay").run().ok().out
    }

    /// Every file with its bytes, in the order of the names.
    pub(crate) fn snapshot(&self) -> Vec<(PathBuf, Vec<u8>)> {
        let paths = fs::read_dir(self.dir.path()).unwrap().map(|entry| entry.unwrap().path());
        let mut files: Vec<_> = paths.map(|path| (path.clone(), fs::read(path).unwrap())).collect();
        files.sort();
        files
    }

    /// Records that a reader of the journal finds now.
    pub(crate) fn durable(&self) -> usize {
        Reader::open(self.journal()).unwrap().records::<IgnoredAny>().map_while(Result::ok).count()
    }

    /// Waits until a reader of the journal finds so many records.
    pub(crate) fn wait_for_durable(&self, records: usize) {
        let begun = Instant::now();
        while self.durable() < records {
            assert!(begun.elapsed() < PATIENCE, "{} of {records} records", self.durable());
            thread::sleep(Duration::from_millis(2));
        }
    }
}

pub(crate) fn ministore<S: AsRef<OsStr>>(args: impl IntoIterator<Item = S>) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_ministore"));
    command.args(args).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    // The environment of the developer must not change the output.
    for name in
        ["CI", "NO_COLOR", "CLICOLOR", "CLICOLOR_FORCE", "COLUMNS", "LC_CTYPE", "LANG", "RUST_BACKTRACE"]
    {
        command.env_remove(name);
    }
    for (name, _) in std::env::vars().filter(|(name, _)| name.starts_with("MINISTORE_")) {
        command.env_remove(name);
    }
    command.env("LC_ALL", "C.UTF-8");
    command
}

/// What the program left behind.
#[derive(Debug)]
pub(crate) struct Ran {
    pub(crate) code: Option<i32>,
    pub(crate) out: String,
    pub(crate) err: String,
}

impl Ran {
    #[track_caller]
    pub(crate) fn ok(self) -> Self {
        self.code(0)
    }

    #[track_caller]
    pub(crate) fn code(self, code: i32) -> Self {
        assert_eq!(self.code, Some(code), "{self:?}");
        self
    }

    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.out).unwrap()
    }

    /// Standard error without what the engine has to say about this machine, and without the hint.
    #[track_caller]
    pub(crate) fn errors(&self) -> Vec<&str> {
        self.errors_and_hint().0
    }

    /// The one line on standard error that says what is wrong. The next one says what to do about it, unless a signal
    /// came: then somebody knows.
    #[track_caller]
    pub(crate) fn error(&self) -> &str {
        let (errors, hint) = self.errors_and_hint();
        assert_eq!(errors.len(), 1, "{self:?}");
        let failed = self.code.is_some_and(|code| (64..128).contains(&code));
        let in_json = errors[0].starts_with("{\"kind\":") && errors[0].contains("\"hint\":");
        assert_eq!(hint.is_some() || in_json, failed, "{self:?}");
        errors[0]
    }

    /// What it says is to be done about that.
    #[track_caller]
    pub(crate) fn hint(&self) -> &str {
        &self.errors_and_hint().1.unwrap()["hint: ".len()..]
    }

    /// There is one hint at most, and it is the last line.
    #[track_caller]
    fn errors_and_hint(&self) -> (Vec<&str>, Option<&str>) {
        let mut lines: Vec<&str> = self.err.lines().filter(|line| !line.contains("WARN")).collect();
        let hint = lines.pop_if(|line| line.starts_with("hint: "));
        assert!(!lines.iter().any(|line| line.starts_with("hint: ")), "{self:?}");
        (lines, hint)
    }
}

impl From<Output> for Ran {
    fn from(output: Output) -> Self {
        let text = |bytes| String::from_utf8(bytes).unwrap();
        Self { code: output.status.code(), out: text(output.stdout), err: text(output.stderr) }
    }
}

pub(crate) trait Run {
    fn run(&mut self) -> Ran;
    /// With so much on standard input, and then its end.
    fn run_with(&mut self, stdin: &[u8]) -> Ran;
    /// With standard input kept open.
    fn begin(&mut self) -> Child;
}

impl Run for Command {
    fn run(&mut self) -> Ran {
        self.output().unwrap().into()
    }

    fn run_with(&mut self, stdin: &[u8]) -> Ran {
        let mut child = self.begin();
        feed(&mut child, stdin);
        child.wait_with_output().unwrap().into()
    }

    fn begin(&mut self) -> Child {
        self.stdin(Stdio::piped()).spawn().unwrap()
    }
}

/// Writes to a child that may have stopped reading.
pub(crate) fn feed(child: &mut Child, bytes: &[u8]) {
    drop(child.stdin.as_mut().unwrap().write_all(bytes));
}

/// Reports a skipped test, `SKIPPED: <what>: <why>`. Writes directly: the test harness hides what a passing test prints.
pub(crate) fn skipped(text: &str) {
    let _ = writeln!(io::stderr(), "\n{text}");
}

pub(crate) fn kill(child: &Child, signal: &str) {
    let kill = format!("kill -{signal} {}", child.id());
    assert!(Command::new("sh").args(["-c", &kill]).status().unwrap().success());
}

/// So many lines of JSON, each one different, of lengths from some 20 to some 300 bytes.
pub(crate) fn lines(count: usize) -> String {
    let filler = "äb\\\"c ".repeat(40);
    let line = |n: usize| {
        let text: String = filler.chars().take(n * 7 % 230).collect();
        format!("{}\n", serde_json::json!({ "n": n, "text": text }))
    };
    (0..count).map(line).collect()
}

/// The first lines of a text.
pub(crate) fn head(text: &str, count: usize) -> &str {
    let end = text.match_indices('\n').nth(count.wrapping_sub(1)).map_or(0, |(at, _)| at + 1);
    &text[..end]
}

/// Changes one byte in the first place where `text` stands in the file; returns the place.
pub(crate) fn damage(path: &Path, text: &str) -> u64 {
    let mut bytes = fs::read(path).unwrap();
    let at = bytes.windows(text.len()).position(|window| window == text.as_bytes()).unwrap();
    let at = at + text.len() - 1;
    bytes[at] ^= 1;
    fs::write(path, bytes).unwrap();
    at as u64
}
