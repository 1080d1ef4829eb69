//! Helpers of all tests: a directory for files, commands that run the program, and their output.

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

/// A test fails if it has to wait longer than this.
pub(crate) const TIMEOUT: Duration = Duration::from_secs(120);

/// A temporary directory for a journal and other files.
pub(crate) struct TestDir {
    temp: TempDir,
}

impl TestDir {
    pub(crate) fn new() -> Self {
        Self { temp: tempfile::tempdir().unwrap() }
    }

    pub(crate) fn root(&self) -> &Path {
        self.temp.path()
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.root().join(name)
    }

    pub(crate) fn journal(&self) -> PathBuf {
        self.path("journal.jsonl")
    }

    pub(crate) fn write(&self, name: &str, bytes: impl AsRef<[u8]>) -> PathBuf {
        let path = self.path(name);
        fs::write(&path, bytes).unwrap();
        path
    }

    /// Returns `ministore ingest JOURNAL`; the caller adds more arguments.
    pub(crate) fn ingest(&self) -> Command {
        self.command("ingest")
    }

    /// Returns `ministore serve JOURNAL`; the caller adds more arguments.
    pub(crate) fn serve(&self) -> Command {
        self.command("serve")
    }

    /// Returns a subcommand with the journal as its first argument.
    pub(crate) fn command(&self, subcommand: &str) -> Command {
        let mut command = ministore([subcommand]);
        command.arg(self.journal());
        command
    }

    pub(crate) fn replay(&self) -> String {
        self.command("replay").run().ok().stdout
    }

    /// Returns the path and the content of every file, sorted by path.
    pub(crate) fn snapshot(&self) -> Vec<(PathBuf, Vec<u8>)> {
        let paths = fs::read_dir(self.root()).unwrap().map(|entry| entry.unwrap().path());
        let mut files: Vec<_> = paths.map(|path| (path.clone(), fs::read(path).unwrap())).collect();
        files.sort();
        files
    }

    /// Returns the path and the content of every regular file, without links.
    pub(crate) fn snapshot_of_files(&self) -> Vec<(PathBuf, Vec<u8>)> {
        let entries = fs::read_dir(self.root()).unwrap().map(Result::unwrap);
        let regular = entries.filter(|entry| entry.file_type().unwrap().is_file()).map(|entry| entry.path());
        let mut files: Vec<_> = regular.map(|path| (path.clone(), fs::read(path).unwrap())).collect();
        files.sort();
        files
    }

    /// Counts the records that a reader of the journal finds.
    pub(crate) fn durable(&self) -> usize {
        Reader::open(self.journal()).unwrap().records::<IgnoredAny>().map_while(Result::ok).count()
    }

    /// Waits until a reader of the journal finds this many records.
    pub(crate) fn wait_for_durable(&self, records: usize) {
        let started = Instant::now();
        while self.durable() < records {
            assert!(started.elapsed() < TIMEOUT, "{} of {records} records", self.durable());
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

/// The exit code and the output of the program.
#[derive(Debug)]
pub(crate) struct ProgramOutput {
    pub(crate) code: Option<i32>,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

impl ProgramOutput {
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
        serde_json::from_str(&self.stdout).unwrap()
    }

    /// Returns the lines of standard error, without warnings of the library and without the hint.
    #[track_caller]
    pub(crate) fn errors(&self) -> Vec<&str> {
        self.errors_and_hint().0
    }

    /// Returns the only error line. A hint must follow it, except after a signal, which the user sent.
    #[track_caller]
    pub(crate) fn error(&self) -> &str {
        let (errors, hint) = self.errors_and_hint();
        assert_eq!(errors.len(), 1, "{self:?}");
        let failed = self.code.is_some_and(|code| (64..128).contains(&code));
        let in_json = errors[0].starts_with("{\"kind\":") && errors[0].contains("\"hint\":");
        assert_eq!(hint.is_some() || in_json, failed, "{self:?}");
        errors[0]
    }

    /// Returns the text of the hint.
    #[track_caller]
    pub(crate) fn hint(&self) -> &str {
        &self.errors_and_hint().1.unwrap()["hint: ".len()..]
    }

    /// Splits off the hint: at most one, in the last line.
    #[track_caller]
    fn errors_and_hint(&self) -> (Vec<&str>, Option<&str>) {
        let mut lines: Vec<&str> = self.stderr.lines().filter(|line| !is_library_warning(line)).collect();
        let hint = lines.pop_if(|line| line.starts_with("hint: "));
        assert!(!lines.iter().any(|line| line.starts_with("hint: ")), "{self:?}");
        (lines, hint)
    }
}

impl From<Output> for ProgramOutput {
    fn from(output: Output) -> Self {
        let text = |bytes| String::from_utf8(bytes).unwrap();
        Self { code: output.status.code(), stdout: text(output.stdout), stderr: text(output.stderr) }
    }
}

pub(crate) trait CommandExt {
    fn run(&mut self) -> ProgramOutput;
    /// Runs it with these bytes on standard input.
    fn run_with_stdin(&mut self, stdin: &[u8]) -> ProgramOutput;
    /// Starts it with standard input open.
    fn spawn_with_stdin(&mut self) -> Child;
}

impl CommandExt for Command {
    fn run(&mut self) -> ProgramOutput {
        self.output().unwrap().into()
    }

    fn run_with_stdin(&mut self, stdin: &[u8]) -> ProgramOutput {
        let mut child = self.spawn_with_stdin();
        feed(&mut child, stdin);
        child.wait_with_output().unwrap().into()
    }

    fn spawn_with_stdin(&mut self) -> Child {
        self.stdin(Stdio::piped()).spawn().unwrap()
    }
}

/// Whether a line of the log is a warning of the library, which the machine may cause. It names a file in a field.
pub(crate) fn is_library_warning(line: &str) -> bool {
    let names_a_file = || [" journal=", " segment=", " path="].iter().any(|field| line.contains(field));
    line.starts_with("ministore: warning: ") && names_a_file()
}

/// Writes to a child that may have stopped reading.
pub(crate) fn feed(child: &mut Child, bytes: &[u8]) {
    drop(child.stdin.as_mut().unwrap().write_all(bytes));
}

/// Reports a skipped test, `SKIPPED: <what>: <why>`. Writes directly: the test harness hides what a passing test prints.
pub(crate) fn skipped(text: &str) {
    let _ = writeln!(io::stderr(), "\n{text}");
}

/// Returns the entries of a quarantine file.
pub(crate) fn quarantined(path: &Path) -> Vec<Value> {
    let text = fs::read_to_string(path).unwrap();
    text.lines().filter_map(|line| serde_json::from_str(line).ok()).collect()
}

/// Returns the peak memory of a process in KiB.
pub(crate) fn peak_memory_kib(child: &Child) -> u64 {
    let status = fs::read_to_string(format!("/proc/{}/status", child.id())).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
    line.trim().trim_end_matches(" kB").parse().unwrap()
}

pub(crate) fn kill(child: &Child, signal: &str) {
    let kill = format!("kill -{signal} {}", child.id());
    assert!(Command::new("sh").args(["-c", &kill]).status().unwrap().success());
}

/// Returns `count` different lines of JSON of about 20 to 300 bytes.
pub(crate) fn lines(count: usize) -> String {
    let filler = "äb\\\"c ".repeat(40);
    let line = |n: usize| {
        let text: String = filler.chars().take(n * 7 % 230).collect();
        format!("{}\n", serde_json::json!({ "n": n, "text": text }))
    };
    (0..count).map(line).collect()
}

/// Returns the first `count` lines of a text.
pub(crate) fn head(text: &str, count: usize) -> &str {
    let end = text.match_indices('\n').nth(count.wrapping_sub(1)).map_or(0, |(at, _)| at + 1);
    &text[..end]
}

/// Changes the last byte of the first occurrence of `text` in the file; returns its offset.
pub(crate) fn damage(path: &Path, text: &str) -> u64 {
    let mut bytes = fs::read(path).unwrap();
    let start = bytes.windows(text.len()).position(|window| window == text.as_bytes()).unwrap();
    let at = start + text.len() - 1;
    bytes[at] ^= 1;
    fs::write(path, bytes).unwrap();
    at as u64
}
