//! Shutdown of a service: drained clients, exit codes, and remaining files.

use std::{fs, net::TcpStream, os::unix::net::UnixListener, time::Instant};

use serde_json::json;

use super::service::{ServeProcess, TestClient};
use crate::support::{CommandExt, TestDir, kill, lines};

fn assert_drained(signal: &str, code: i32, outcome: &str) {
    let mut service = ServeProcess::start(&[]);
    let text = lines(20_000);
    let (mut acked, mut unacked) = (service.connect_tcp().with_acks("batch"), service.connect_unix());
    let idle = service.connect_unix().with_acks("record");
    acked.send(&text);
    unacked.send("\"plain\"\n");
    let first = acked.receive();
    assert_eq!(first["ok"][0].as_u64().unwrap(), 1 + u64::from(first["ok"][0] != 1));
    kill(service.child(), signal);
    let mut acknowledged = first["line"].as_u64().unwrap();
    let responses = acked.receive_all();
    for response in &responses[..responses.len() - 1] {
        acknowledged = response["line"].as_u64().unwrap();
    }
    let last = responses.last().unwrap();
    assert_eq!(
        (&last["error"], &last["line"]),
        (&json!("the service is shutting down"), &json!(acknowledged + 1))
    );
    drop(idle);
    let output = service.wait().code(code);
    // All received lines are durable; of `text`, exactly the acknowledged ones.
    let replayed = service.dir.replay();
    let replayed_text: String =
        replayed.lines().filter(|line| *line != "\"plain\"").map(|l| format!("{l}\n")).collect();
    assert_eq!(replayed_text, crate::support::head(&text, (acknowledged - 1) as usize));
    assert!(
        replayed.contains("\"plain\"\n"),
        "lines of a client without acknowledgements are read to the end"
    );
    let summary = output.json();
    assert_eq!(summary["records"], replayed.lines().count());
    assert_eq!((&summary["outcome"], &summary["connections"]), (&json!(outcome), &json!(3)));
    assert!(!service.dir.path("socket").exists(), "the socket file still exists");
    let inspect = service.dir.command("inspect").arg("--json").run().ok().json();
    assert_eq!(inspect["segments"][0]["state"], "closed", "{inspect}");
    assert!(TcpStream::connect(&service.tcp_address).is_err());
}

#[test]
fn sigterm_drains_and_returns_0() {
    assert_drained("TERM", 0, "complete");
}

#[test]
fn sigint_drains_and_returns_130() {
    assert_drained("INT", 130, "interrupted");
}

#[test]
fn signal_drains_queued_and_connected_clients() {
    let mut service = ServeProcess::start(&[]);
    let mut early = service.connect_tcp().with_acks("record");
    kill(service.child(), "STOP");
    early.send("1\n2\n");
    let mut late: Vec<_> = (0..10).map(|_| (service.connect_tcp(), service.connect_unix())).collect();
    for (tcp, unix) in &mut late {
        tcp.send("\"tcp\"\n");
        unix.send("\"unix\"\n");
    }
    kill(service.child(), "TERM");
    kill(service.child(), "CONT");
    let responses = early.receive_all();
    assert_eq!(responses.iter().filter(|response| response["ok"].is_u64()).count(), 2, "{responses:?}");
    service.wait().ok();
    let mut replayed: Vec<_> = service.dir.replay().lines().map(str::to_owned).collect();
    replayed.sort();
    let expected = [vec!["\"tcp\""; 10], vec!["\"unix\""; 10], vec!["1", "2"]].concat();
    assert_eq!(replayed, expected);
}

#[test]
fn second_signal_exits_at_once() {
    // A client that reads no responses delays the shutdown.
    let mut service = ServeProcess::start(&["--write-timeout", "10m"]);
    let mut unread = service.connect_tcp().with_acks("record");
    unread.stream.set_nonblocking(true).unwrap();
    let flood = "1\n".repeat(100_000);
    let mut blocked_writes = 0;
    let started = Instant::now();
    // Until the unread responses fill all buffers and the service stops reading.
    while blocked_writes < 40 && started.elapsed().as_secs() < 100 {
        match std::io::Write::write(&mut unread.stream, flood.as_bytes()) {
            Ok(_) => blocked_writes = 0,
            Err(_) => {
                blocked_writes += 1;
                std::thread::sleep(std::time::Duration::from_millis(25));
            }
        }
    }
    kill(service.child(), "TERM");
    service.wait_for("the socket file still exists", || !service.dir.path("socket").exists());
    let started = Instant::now();
    let output = service.stop("INT");
    assert_eq!(output.code, Some(130), "{output:?}");
    assert!(started.elapsed().as_secs() < 20, "the second signal waited");
    service.dir.command("verify").run().ok();
}

#[test]
fn sighup_rotates_without_disturbing_clients() {
    let service = ServeProcess::start(&[]);
    let mut client = service.connect_unix().with_acks("record");
    for round in 1..=3 {
        client.send(format!("{round}\n"));
        assert_eq!(client.receive()["ok"], round);
        kill(service.child(), "HUP");
        // The old segment is renamed before the new one is created, and accepts records until then.
        let first_seq = format!("\"first\":{}", round + 1);
        let header = || fs::read_to_string(service.dir.journal()).unwrap_or_default();
        service.wait_for("no new segment was created", || header().contains(&first_seq));
        assert!(service.dir.path(&format!("journal.jsonl.00{round}")).exists());
    }
    client.send("4\n");
    assert_eq!(client.receive()["ok"], 4);
    assert_eq!(service.dir.replay(), "1\n2\n3\n4\n");
}

#[test]
fn acked_records_and_socket_survive_sigkill() {
    let mut service = ServeProcess::start(&[]);
    let mut client = service.connect_unix().with_acks("record");
    client.send(lines(2000));
    for number in 1..=1500 {
        assert_eq!(client.receive()["ok"], number);
    }
    service.stop("KILL");
    let dir = std::mem::replace(&mut service.dir, TestDir::new());
    assert!(dir.path("socket").exists(), "a killed service does not remove its socket");
    let again = ServeProcess::start_in(dir, &[]);
    let found = again.dir.durable();
    assert!(found >= 1500 && again.dir.replay() == crate::support::head(&lines(2000), found));
    let mut client = again.connect_unix().with_acks("record");
    client.send("\"again\"\n");
    assert_eq!(client.receive()["ok"], found + 1);
}

#[test]
fn listening_socket_is_not_replaced() {
    let dir = TestDir::new();
    let path = dir.path("socket");
    let listener = UnixListener::bind(&path).unwrap();
    let listen = format!("unix:{}", path.display());
    let output = dir.serve().args(["--listen", &listen]).run().code(75);
    assert!(output.stderr.contains("another process listens"), "{output:?}");
    assert!(
        path.exists()
            && TestClient::new(std::os::unix::net::UnixStream::connect(&path).unwrap())
                .stream
                .peer_addr()
                .is_ok()
    );
    drop(listener);
    fs::remove_file(&path).unwrap();
    dir.write("socket", "precious");
    dir.serve().args(["--listen", &listen]).run().code(73);
    assert_eq!(fs::read(path).unwrap(), b"precious");
}

#[test]
fn serve_rejects_files_and_resume() {
    let dir = TestDir::new();
    for args in [&["in.ndjson"][..], &["--resume"]] {
        dir.serve().args(["--listen", "tcp:127.0.0.1:0"]).args(args).run().code(64);
    }
    dir.serve().args(["--max-clients", "3"]).run().code(64);
    dir.serve().args(["--listen", "nonsense"]).run().code(64);
}
