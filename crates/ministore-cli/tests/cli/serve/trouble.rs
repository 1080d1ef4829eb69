//! A disk without room, and a journal that takes nothing more: clients are told what became of their records.

use std::{fs::OpenOptions, process::Command};

use serde_json::json;

use super::service::{Client, Service};
use crate::support::{Place, Run};

#[test]
fn full_disk_is_reported_and_loses_nothing() {
    let place = Place::new();
    let listen = format!("unix:{}", place.path("socket").display());
    let ingest = place.serve();
    let mut command = Command::new("sh");
    command.args(["-c", "trap '' XFSZ; ulimit -f 400; exec \"$@\"", "sh"]);
    command.arg(ingest.get_program()).args(ingest.get_args()).args(["--json", "--listen", &listen]);
    let mut service = Service::of(place, &mut command);
    service.wait_to_hear("listening on unix:");
    let line = format!("\"{}\"\n", "x".repeat(10_000));
    let mut acknowledged = 0;
    let mut client = service.unix().asks("record");
    let refused = loop {
        client.send(&line);
        let answer = client.hear();
        if answer["ok"].is_u64() {
            acknowledged += 1;
            assert_eq!(answer["ok"], acknowledged);
            assert!(acknowledged < 100, "there is always room");
        } else {
            break answer;
        }
    };
    assert_eq!(
        (&refused["write_outcome"], &refused["action"]),
        (&json!("not_written"), &json!("disconnect")),
        "{refused}"
    );
    assert_eq!(refused["line"], acknowledged + 2);
    assert!(refused["error"].to_string().contains("disk full"), "{refused}");
    assert!(client.hear_all().is_empty());
    // What finds room is still taken.
    let mut small = service.unix().asks("record");
    small.send("1\n");
    assert_eq!(small.hear()["ok"], acknowledged + 1);
    service.end("TERM").code(143);
    assert_eq!(service.place.durable(), acknowledged + 1);
    service.place.command("verify").run().ok();
}

#[test]
fn a_journal_that_takes_nothing_more_ends_the_service_with_74() {
    let mut service = Service::start(&["--metrics", "127.0.0.1:0"]);
    let mut clients: Vec<Client<_>> = (0..3).map(|_| service.unix().asks("record")).collect();
    clients[0].send("1\n");
    assert_eq!(clients[0].hear()["ok"], 1);
    // Cut under the writer: it must not acknowledge anything any more.
    OpenOptions::new().write(true).open(service.place.journal()).unwrap().set_len(20).unwrap();
    clients[0].send("2\n");
    let answer = clients[0].hear();
    assert_eq!(
        (&answer["write_outcome"], &answer["action"]),
        (&json!("unknown"), &json!("disconnect")),
        "{answer}"
    );
    // The others are told that it ends, and the service manager by the exit code.
    for client in &mut clients[1..] {
        assert_eq!(client.hear()["error"], "the service is shutting down");
    }
    let ran = service.wait().code(74);
    assert!(ran.err.contains("journal.jsonl"), "{ran:?}");
    assert_eq!(ran.json()["outcome"], "failed");
}
