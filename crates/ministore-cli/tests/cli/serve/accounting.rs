//! Every line that clients send has one outcome: durable, bad, or refused for a reason. The sums agree with the clients, with the
//! summary and with the journal, whatever fails.

use std::{
    net::TcpStream,
    process::Command,
    sync::Barrier,
    thread,
    time::{Duration, Instant},
};

use proptest::{collection::vec, prelude::*, sample::select};
use serde_json::{Value, json};

use super::service::{ClientSocket, ServeProcess, TestClient};
use crate::support::{TIMEOUT, TestDir};

const TOKEN: &str = "0123456789abcdef";

const MAX_RECORD_BYTES: usize = 20_000;

/// A part of the input of a client.
#[derive(Debug, Clone, Copy)]
enum Part {
    Record,
    LargeRecord,
    Blank,
    NotJson,
    TooLong,
    Request,
}

impl Part {
    /// Returns the bytes and the number of lines that are not blank.
    fn bytes(self) -> (String, u64) {
        match self {
            Self::Record => ("{\"n\":1}\n{\"n\":2}\r\n".to_owned(), 2),
            Self::LargeRecord => (format!("\"{}\"\n", "x".repeat(MAX_RECORD_BYTES - 100)), 1),
            Self::Blank => (" \r\n\n".to_owned(), 0),
            Self::NotJson => ("nonsense\n".to_owned(), 1),
            Self::TooLong => (format!("\"{}\"\n", "x".repeat(3 * MAX_RECORD_BYTES)), 1),
            Self::Request => ("GET / HTTP/1.1\r\nHost: here\r\n\r\n".to_owned(), 2),
        }
    }
}

/// The last thing that a client does.
#[derive(Debug, Clone, Copy, PartialEq)]
enum End {
    /// Closes the sending side, and reads everything.
    Finish,
    /// The same after a part of a line.
    Half,
    /// Waits until the service closes the connection.
    Wait,
    /// Resets the connection: lines may be lost on the way.
    Reset,
}

#[derive(Debug, Clone)]
struct Script {
    handshake: Option<Value>,
    parts: Vec<Part>,
    end: End,
}

fn script() -> impl Strategy<Value = Script> {
    let handshakes = vec![
        None,
        Some(json!({ "ack": "record", "token": TOKEN })),
        Some(json!({ "ack": "batch", "token": TOKEN })),
        Some(json!({ "token": "wrong" })),
    ];
    let parts = vec![
        Part::Record,
        Part::Record,
        Part::LargeRecord,
        Part::LargeRecord,
        Part::Blank,
        Part::NotJson,
        Part::TooLong,
        Part::Request,
    ];
    let ends = vec![End::Finish, End::Half, End::Wait, End::Reset];
    (select(handshakes), vec(select(parts), 0..8), select(ends)).prop_map(|(handshake, parts, end)| Script {
        handshake,
        parts,
        end,
    })
}

/// Follows the script. Returns the number of lines sent, and of records acknowledged.
fn run<S: ClientSocket>(mut client: TestClient<S>, script: &Script, all_sent: &Barrier) -> (u64, u64) {
    let mut sent = 0;
    let mut text = String::new();
    if let Some(handshake) = &script.handshake {
        text.push_str(&format!("{}\n", json!({ "ministore": handshake })));
    }
    for (bytes, lines) in script.parts.iter().map(|part| part.bytes()) {
        text.push_str(&bytes);
        sent += lines;
    }
    if script.end == End::Half {
        text.push_str("{\"half\":");
        sent += 1;
    }
    client.send(&text);
    let responses = match script.end {
        End::Finish | End::Half => client.finish_raw(),
        End::Wait => {
            all_sent.wait();
            return (sent, acknowledged(&client.receive_raw()));
        }
        End::Reset => {
            rustix::net::sockopt::set_socket_linger(client.stream.descriptor(), Some(Duration::ZERO)).ok();
            String::new()
        }
    };
    all_sent.wait();
    (sent, acknowledged(&responses))
}

fn acknowledged(responses: &str) -> u64 {
    let count = |line: &str| match &serde_json::from_str::<Value>(line).unwrap_or_default()["ok"] {
        Value::Number(_) => 1,
        Value::Array(seqs) => seqs[1].as_u64().unwrap() + 1 - seqs[0].as_u64().unwrap(),
        _ => 0,
    };
    responses.lines().map(count).sum()
}

fn start(policy: &str, with_token: bool, is_small: bool) -> ServeProcess {
    let dir = TestDir::new();
    let tokens = dir.write("tokens", TOKEN);
    std::fs::set_permissions(&tokens, std::os::unix::fs::PermissionsExt::from_mode(0o600)).unwrap();
    let listen = format!("unix:{}", dir.path("socket").display());
    let serve = dir.serve();
    let mut command = Command::new("sh");
    let limit = if is_small { "ulimit -f 120;" } else { "" };
    command.args(["-c", &format!("trap '' XFSZ; {limit} exec \"$@\""), "sh"]);
    command.arg(serve.get_program()).args(serve.get_args());
    command.args(["--json", "--listen", &listen, "--listen", "tcp:127.0.0.1:0", "--max-clients", "5"]);
    command.args(["--on-error", policy, "--max-record-bytes", &MAX_RECORD_BYTES.to_string()]);
    if with_token {
        command.arg("--token-file").arg(tokens);
    }
    let mut service = ServeProcess::spawn_command(dir, &mut command);
    service.tcp_address = service.wait_for_log("listening on tcp:").rsplit_once("tcp:").unwrap().1.to_owned();
    service
}

/// Checks that every counted line has one outcome. Returns the number of lines, and of durable ones.
fn assert_balanced(service: &ServeProcess, summary: &Value) -> (u64, u64) {
    let refused: u64 =
        summary["refused_lines"].as_object().unwrap().values().map(|lines| lines.as_u64().unwrap()).sum();
    let [lines, durable, bad] =
        ["lines", "durable_lines", "bad_lines"].map(|name| summary[name].as_u64().unwrap());
    assert_eq!(lines, durable + refused + bad, "{summary}");
    assert_eq!(durable, summary["records"], "{summary}");
    assert_eq!(durable, service.dir.durable() as u64, "{summary}");
    (lines, durable)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn every_line_has_one_outcome(
        scripts in vec(script(), 1..8),
        policy in select(vec!["stop", "skip"]),
        with_token: bool,
        is_small: bool,
    ) {
        let mut service = start(policy, with_token, is_small);
        let all_sent = Barrier::new(scripts.len() + 1);
        let mut totals = (0, 0);
        thread::scope(|scope| {
            let clients: Vec<_> = (0..).zip(&scripts).map(|(n, script)| {
                let (service, all_sent) = (&service, &all_sent);
                scope.spawn(move || if n % 2 == 0 {
                    run(service.connect_tcp(), script, all_sent)
                } else {
                    run(service.connect_unix(), script, all_sent)
                })
            }).collect();
            all_sent.wait();
            crate::support::kill(service.child(), "TERM");
            for client in clients {
                let (sent, acknowledged) = client.join().unwrap();
                totals = (totals.0 + sent, totals.1 + acknowledged);
            }
        });
        let summary = service.wait().ok().json();
        let (lines, durable) = assert_balanced(&service, &summary);
        let (sent, acknowledged) = totals;
        // The handshake of a rejected client is not examined, and counts as a line.
        let sent_at_most = sent + summary["disconnects"]["max_clients"].as_u64().unwrap();
        assert!(acknowledged <= durable && lines <= sent_at_most, "{totals:?}: {summary}");
        if scripts.iter().all(|script| script.end != End::Reset) {
            assert!(lines >= sent, "{totals:?}: {summary}");
        }
    }
}

#[test]
fn lines_of_a_deaf_client_are_counted() {
    let mut service = ServeProcess::start(&["--write-timeout", "500ms"]);
    let mut deaf = service.connect_tcp().with_acks("record");
    let flood = "1\n".repeat(50_000);
    let started = Instant::now();
    while std::io::Write::write_all(&mut deaf.stream, flood.as_bytes()).is_ok() {
        assert!(started.elapsed() < TIMEOUT, "the service does not stop reading");
    }
    let summary = service.stop("TERM").ok().json();
    let (lines, durable) = assert_balanced(&service, &summary);
    assert!(durable > 0 && lines >= durable, "{summary}");
    assert!(summary["acknowledged_records"].as_u64().unwrap() < durable, "{summary}");
}

#[test]
fn lines_of_a_poisoned_journal_are_counted() {
    let mut service = ServeProcess::start(&[]);
    let mut client = service.connect_unix().with_acks("record");
    client.send("1\n");
    client.receive();
    std::fs::OpenOptions::new().write(true).open(service.dir.journal()).unwrap().set_len(20).unwrap();
    client.send("2\n3\n4\n");
    client.receive_all();
    let summary = service.wait().code(74).json();
    let refused = |reason: &str| summary["refused_lines"][reason].as_u64().unwrap();
    assert_eq!((&summary["lines"], &summary["durable_lines"]), (&json!(4), &json!(1)), "{summary}");
    assert_eq!(refused("journal_failed") + refused("disconnected"), 3, "{summary}");
    assert!(refused("journal_failed") > 0, "{summary}");
}

#[test]
fn lines_of_a_fifo_on_a_full_disk_are_counted() {
    let dir = TestDir::new();
    let fifo = dir.path("fifo");
    let serve = dir.serve();
    let mut command = Command::new("sh");
    command.args(["-c", "trap '' XFSZ; ulimit -f 200; exec \"$@\"", "sh"]);
    command.arg(serve.get_program()).args(serve.get_args());
    command.args(["--json", "--listen", &format!("fifo:{}", fifo.display())]);
    let mut service = ServeProcess::spawn_command(dir, &mut command);
    service.wait_for_log("listening on fifo:");
    let line = format!("\"{}\"\n", "x".repeat(9_990));
    let mut writer = std::fs::OpenOptions::new().write(true).open(&fifo).unwrap();
    for _ in 0..50 {
        std::io::Write::write_all(&mut writer, line.as_bytes()).unwrap();
    }
    drop(writer);
    let summary = service.stop("TERM").ok().json();
    let (lines, durable) = assert_balanced(&service, &summary);
    assert!(durable < lines && lines <= 50, "{summary}");
    assert!(summary["refused_lines"]["storage_full"].as_u64().unwrap() > 0, "{summary}");
    assert_eq!(summary["bad_lines"], 0, "a line was cut in two: {summary}");
}

#[test]
fn client_counts_match_the_metrics() {
    let mut service = ServeProcess::start(&["--metrics", "127.0.0.1:0", "--on-error", "skip"]);
    let mut client: TestClient<TcpStream> = service.connect_tcp().with_acks("record");
    client.send("1\n2\n\nx\n3\n");
    for _ in 0..4 {
        client.receive();
    }
    for (name, count) in [("lines", 4.0), ("durable_lines", 3.0), ("bad_lines", 1.0)] {
        assert_eq!(service.metric(&format!("ministore_serve_{name}_total")), count, "{name}");
    }
}
