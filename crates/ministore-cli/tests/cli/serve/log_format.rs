//! The format of standard error: text, priorities for the system journal, JSON.

use std::{fs::File, os::unix::fs::MetadataExt};

use serde_json::Value;

use super::service::ServeProcess;
use crate::support::{CommandExt, TestDir, ministore};

/// Runs a service whose log goes to a file, with a bad line and a failure of the journal. Returns the log.
fn log(args: &[&str], journal_stream: impl FnOnce(&File) -> Option<String>) -> String {
    let dir = TestDir::new();
    let file = File::create(dir.path("log")).unwrap();
    let stream = journal_stream(&file);
    let mut command = dir.serve();
    command.args(["--listen", &format!("unix:{}", dir.path("socket").display())]).args(args).stderr(file);
    if let Some(stream) = stream {
        command.env("JOURNAL_STREAM", stream);
    }
    let mut child = command.spawn().unwrap();
    let started = std::time::Instant::now();
    let stream = loop {
        match std::os::unix::net::UnixStream::connect(dir.path("socket")) {
            Ok(stream) => break stream,
            Err(_) => assert!(started.elapsed() < crate::support::TIMEOUT),
        }
        std::thread::sleep(std::time::Duration::from_millis(5));
    };
    let mut bad = super::service::TestClient::new(stream).with_acks("record");
    bad.send("x\n");
    bad.receive_all();
    let stream = std::os::unix::net::UnixStream::connect(dir.path("socket")).unwrap();
    let mut client = super::service::TestClient::new(stream).with_acks("record");
    client.send("1\n");
    client.receive();
    File::options().write(true).open(dir.journal()).unwrap().set_len(20).unwrap();
    client.send("2\n");
    client.receive_all();
    assert_eq!(child.wait().unwrap().code(), Some(74));
    std::fs::read_to_string(dir.path("log")).unwrap()
}

fn identity(file: &File) -> Option<String> {
    let found = file.metadata().unwrap();
    Some(format!("{}:{}", found.dev(), found.ino()))
}

#[test]
fn journal_receives_priorities() {
    let log = log(&["-v"], identity);
    let level =
        |line: &str| line.strip_prefix('<').unwrap().split_once('>').unwrap().0.parse::<u32>().unwrap();
    for line in log.lines() {
        assert!([3, 4, 6].contains(&level(line)) && !line.contains('\u{1b}'), "{line}");
    }
    for (text, expected) in [
        ("ministore: listening on", 6),
        ("ministore: opened", 6),
        ("ministore: warning: unix:", 4),
        ("ministore: error: write or sync failed; journal poisoned until reopened", 3),
        ("hint: ", 3),
    ] {
        let line = log.lines().find(|line| line.contains(&format!(">{text}")));
        assert_eq!(line.map(level), Some(expected), "{text} in {log}");
    }
}

#[test]
fn other_stream_of_the_journal_has_no_effect() {
    for stream in ["1:2", "", "nonsense"] {
        let log = log(&[], |_| Some(stream.to_owned()));
        assert!(!log.contains('<') || !log.lines().any(|line| line.starts_with('<')), "{log}");
        assert!(log.contains("ministore: listening on"), "{log}");
    }
}

#[test]
fn json_log_has_time_level_and_message() {
    // Not even the system journal changes it.
    let log = log(&["-v", "--log-format", "json"], identity);
    let lines: Vec<Value> = log.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    for line in &lines {
        let [time, level, message] = ["time", "level", "message"].map(|name| line[name].as_str().unwrap());
        assert!(time.ends_with('Z') && time.contains('T'), "{line}");
        assert!(["error", "warning", "info"].contains(&level) && !message.is_empty(), "{line}");
        assert!(!message.starts_with("ministore:"), "{line}");
    }
    let of = |text: &str| lines.iter().find(|line| line["message"].as_str().unwrap().contains(text)).unwrap();
    assert_eq!(of("listening on")["level"], "info");
    assert!(of("opened")["next_seq"].is_u64() && of("opened")["journal"].is_string(), "{log}");
    assert_eq!(of("(disconnect)")["level"], "warning");
    let failure = lines.last().unwrap();
    assert_eq!((&failure["level"], &failure["exit_code"]), (&"error".into(), &74.into()), "{failure}");
    assert!(failure["kind"].is_string() && failure["hint"].is_string(), "{failure}");
}

#[test]
fn errors_follow_the_log_format() {
    let dir = TestDir::new();
    let missing = ministore(["verify", "--log-format=json"]).arg(dir.path("missing")).run().code(66);
    let usage = ministore(["verify"]).env("MINISTORE_LOG_FORMAT", "json").run().code(64);
    for output in [missing, usage] {
        let error: Value = serde_json::from_str(&output.stderr).unwrap();
        assert_eq!((&error["level"], &error["exit_code"]), (&"error".into(), &output.code.into()), "{error}");
    }
    let service = ServeProcess::start(&["--log-format", "text"]);
    drop(service);
}
