//! A full disk and a poisoned journal: clients receive the write outcome of their records.

use std::{fs::OpenOptions, process::Command};

use serde_json::json;

use super::service::{ServeProcess, TestClient};
use crate::support::{CommandExt, TestDir};

#[test]
fn full_disk_is_reported_and_loses_nothing() {
    let dir = TestDir::new();
    let listen = format!("unix:{}", dir.path("socket").display());
    let ingest = dir.serve();
    let mut command = Command::new("sh");
    command.args(["-c", "trap '' XFSZ; ulimit -f 400; exec \"$@\"", "sh"]);
    command.arg(ingest.get_program()).args(ingest.get_args()).args(["--json", "--listen", &listen]);
    let mut service = ServeProcess::spawn_command(dir, &mut command);
    service.wait_for_log("listening on unix:");
    let line = format!("\"{}\"\n", "x".repeat(10_000));
    let mut acknowledged = 0;
    let mut client = service.connect_unix().with_acks("record");
    let rejected = loop {
        client.send(&line);
        let response = client.receive();
        if response["ok"].is_u64() {
            acknowledged += 1;
            assert_eq!(response["ok"], acknowledged);
            assert!(acknowledged < 100, "the disk does not become full");
        } else {
            break response;
        }
    };
    assert_eq!(
        (&rejected["write_outcome"], &rejected["action"]),
        (&json!("not_written"), &json!("disconnect")),
        "{rejected}"
    );
    assert_eq!(rejected["line"], acknowledged + 2);
    assert!(rejected["error"].to_string().contains("disk full"), "{rejected}");
    assert!(client.receive_all().is_empty());
    // A record that still fits is accepted.
    let mut small = service.connect_unix().with_acks("record");
    small.send("1\n");
    assert_eq!(small.receive()["ok"], acknowledged + 1);
    service.stop("TERM").ok();
    assert_eq!(service.dir.durable(), acknowledged + 1);
    service.dir.command("verify").run().ok();
}

#[test]
fn poisoned_journal_ends_the_service_with_74() {
    let mut service = ServeProcess::start(&["--metrics", "127.0.0.1:0"]);
    let mut clients: Vec<TestClient<_>> =
        (0..3).map(|_| service.connect_unix().with_acks("record")).collect();
    clients[0].send("1\n");
    assert_eq!(clients[0].receive()["ok"], 1);
    // Truncated while it is open: the writer must acknowledge nothing more.
    OpenOptions::new().write(true).open(service.dir.journal()).unwrap().set_len(20).unwrap();
    clients[0].send("2\n");
    let response = clients[0].receive();
    assert_eq!(
        (&response["write_outcome"], &response["action"]),
        (&json!("unknown"), &json!("disconnect")),
        "{response}"
    );
    // The other clients receive the shutdown message.
    for client in &mut clients[1..] {
        assert_eq!(client.receive()["error"], "the service is shutting down");
    }
    let output = service.wait().code(74);
    assert!(output.stderr.contains("journal.jsonl"), "{output:?}");
    assert_eq!(output.json()["outcome"], "failed");
}
