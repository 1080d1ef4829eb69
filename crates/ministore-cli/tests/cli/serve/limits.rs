//! Limits: number of clients, length of lines, idle time.

use serde_json::{Value, json};

use super::service::ServeProcess;
use crate::support::{CommandExt, ministore};

#[test]
fn excess_client_is_rejected_until_a_slot_frees() {
    let mut service = ServeProcess::start(&["--max-clients", "2", "--metrics", "127.0.0.1:0"]);
    let first = service.connect_tcp().with_acks("record");
    let mut second = service.connect_unix().with_acks("record");
    for responses in [service.connect_tcp().receive_all(), service.connect_unix().receive_all()] {
        assert!(
            responses.len() == 1 && responses[0]["error"].to_string().contains("too many clients"),
            "{responses:?}"
        );
    }
    assert_eq!(service.metric("ministore_serve_disconnects_total{reason=\"max_clients\"}"), 2.0);
    assert_eq!(service.metric("ministore_serve_connections"), 2.0);
    drop(first);
    service.wait_for_log("too many clients");
    let mut tries = 0;
    service.wait_for("no client slot becomes free", || {
        tries += 1;
        let mut client = service.connect_tcp();
        client.send("{\"ministore\":{\"ack\":\"record\"}}\n");
        client.receive()["ok"].is_object()
    });
    second.send("1\n");
    assert_eq!(second.receive()["ok"], 1);
}

#[test]
fn too_long_line_is_a_bad_line() {
    let limit = 50_000;
    let line = |bytes: usize| format!("\"{}\"\n", "x".repeat(bytes - 2));
    let service = ServeProcess::start(&["--max-record-bytes", &limit.to_string(), "--on-error", "skip"]);
    let mut client = service.connect_tcp().with_acks("record");
    client.send([line(limit), line(limit + 1), line(limit), line(3_000_000), line(20)].concat());
    let responses: Vec<Value> = (0..5).map(|_| client.receive()).collect();
    let received: Vec<_> =
        responses.iter().map(|response| (&response["ok"], &response["action"], &response["line"])).collect();
    let (null, skipped) = (Value::Null, json!("skip"));
    let numbers = [1, 2, 3, 4, 5, 6].map(|number| json!(number));
    let expected = [
        (&numbers[0], &null, &numbers[1]),
        (&null, &skipped, &numbers[2]),
        (&numbers[1], &null, &numbers[3]),
        (&null, &skipped, &numbers[4]),
        (&numbers[2], &null, &numbers[5]),
    ];
    assert_eq!(received, expected);
    assert!(responses[1]["error"].to_string().contains("50000 bytes"), "{}", responses[1]);

    let strict = ServeProcess::start(&["--max-record-bytes", &limit.to_string()]);
    let mut client = strict.connect_unix().with_acks("record");
    client.send([line(20), line(1_000_000), line(20)].concat());
    let responses = client.receive_all();
    assert_eq!((responses.len(), &responses[1]["action"]), (2, &json!("disconnect")));
}

#[test]
fn client_without_complete_lines_is_disconnected() {
    let mut service = ServeProcess::start(&["--idle-timeout", "1s", "--metrics", "127.0.0.1:0"]);
    let mut silent = service.connect_tcp();
    let mut partial = service.connect_unix().with_acks("record");
    let mut quiet = service.connect_tcp().with_acks("record");
    let mut busy = service.connect_unix().with_acks("record");
    let mut sent = 0;
    let started = std::time::Instant::now();
    // For three times the limit, one client sends single bytes, one sends lines, and one sends nothing after its first line.
    while started.elapsed().as_secs() < 3 {
        partial.send("[");
        busy.send("1\n");
        sent += 1;
        assert_eq!(busy.receive()["ok"], sent);
        std::thread::sleep(std::time::Duration::from_millis(100));
    }
    assert_eq!(
        silent.receive(),
        json!({ "error": "idle timeout: no complete line", "line": 1, "action": "disconnect" })
    );
    assert_eq!(partial.receive()["error"], "idle timeout: no complete line");
    // A part of a line may arrive late, and has its own time.
    quiet.send("[");
    busy.send("1\n");
    assert_eq!(busy.receive()["ok"], sent + 1);
    quiet.send("]\n");
    assert_eq!(quiet.receive()["ok"], sent + 2, "a client between two lines may be silent");
    assert_eq!(service.metric("ministore_serve_disconnects_total{reason=\"idle_timeout\"}"), 2.0);
    assert_eq!(service.metric("ministore_serve_refused_lines_total{reason=\"disconnected\"}"), 1.0);
    assert_eq!(service.metric("ministore_serve_connections"), 2.0);
}

#[test]
fn idle_clients_are_kept_by_default() {
    let help = ministore(["serve", "--help"]).run().ok().stdout;
    let help = help.split_once("--idle-timeout").unwrap().1;
    assert!(help.split_once("--write-timeout").unwrap().0.contains("[default: 0]"), "{help}");
}

/// Returns the timer of the service's end of a connection, from `/proc/net/tcp`: 2 is keepalive.
fn timer_of(client: &std::net::TcpStream) -> String {
    let (service, client) = (client.peer_addr().unwrap().port(), client.local_addr().unwrap().port());
    let table = std::fs::read_to_string("/proc/net/tcp").unwrap();
    let (local, remote) = (format!(":{service:04X}"), format!(":{client:04X}"));
    let mut rows = table.lines().map(|row| row.split_whitespace().collect::<Vec<_>>());
    let row = rows.find(|row| row[1].ends_with(&local) && row[2].ends_with(&remote)).unwrap();
    row[5].split(':').next().unwrap().to_owned()
}

#[test]
fn tcp_keepalive_is_on() {
    let service = ServeProcess::start(&[]);
    let client = service.connect_tcp().with_acks("record");
    // Until the response is acknowledged by the kernel, the retransmission timer runs.
    service.wait_for("no keepalive timer", || timer_of(&client.stream) == "02");
}
