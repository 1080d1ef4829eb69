//! The end of a service, and what is left of it.

use std::{fs, net::TcpStream, os::unix::net::UnixListener, time::Instant};

use serde_json::json;

use super::service::{Client, Service};
use crate::support::{Place, Run, kill, lines};

fn drained(signal: &str, code: i32) {
    let mut service = Service::start(&[]);
    let text = lines(20_000);
    let (mut asking, mut plain) = (service.tcp().asks("batch"), service.unix());
    let idle = service.unix().asks("record");
    asking.send(&text);
    plain.send("\"plain\"\n");
    let first = asking.hear();
    assert_eq!(first["ok"][0].as_u64().unwrap(), 1 + u64::from(first["ok"][0] != 1));
    kill(service.id(), signal);
    let mut acknowledged = first["line"].as_u64().unwrap();
    let answers = asking.hear_all();
    for answer in &answers[..answers.len() - 1] {
        acknowledged = answer["line"].as_u64().unwrap();
    }
    let last = answers.last().unwrap();
    assert_eq!(
        (&last["error"], &last["line"]),
        (&json!("the service is shutting down"), &json!(acknowledged + 1))
    );
    drop(idle);
    let ran = service.wait().code(code);
    // All of what had arrived is durable, and of `text` exactly what was acknowledged.
    let replayed = service.place.replay();
    let of_text: String =
        replayed.lines().filter(|line| *line != "\"plain\"").map(|l| format!("{l}\n")).collect();
    assert_eq!(of_text, crate::support::head(&text, (acknowledged - 1) as usize));
    assert!(
        replayed.contains("\"plain\"\n"),
        "what a client that asks for nothing has sent is read to its end"
    );
    let told = ran.json();
    assert_eq!(told["records"], replayed.lines().count());
    assert_eq!((&told["outcome"], &told["connections"]), (&json!("interrupted"), &json!(3)));
    assert!(!service.place.path("socket").exists(), "the socket is left behind");
    let inspect = service.place.command("inspect").arg("--json").run().ok().json();
    assert_eq!(inspect["segments"][0]["state"], "closed", "{inspect}");
    assert!(TcpStream::connect(&service.tcp).is_err());
}

#[test]
fn sigterm_drains_and_ends_with_143() {
    drained("TERM", 143);
}

#[test]
fn ctrl_c_drains_and_ends_with_130() {
    drained("INT", 130);
}

#[test]
fn signal_drains_queued_and_connected_clients() {
    let mut service = Service::start(&[]);
    let mut early = service.tcp().asks("record");
    kill(service.id(), "STOP");
    early.send("1\n2\n");
    let mut late: Vec<_> = (0..10).map(|_| (service.tcp(), service.unix())).collect();
    for (tcp, unix) in &mut late {
        tcp.send("\"tcp\"\n");
        unix.send("\"unix\"\n");
    }
    kill(service.id(), "TERM");
    kill(service.id(), "CONT");
    let answers = early.hear_all();
    assert_eq!(answers.iter().filter(|answer| answer["ok"].is_u64()).count(), 2, "{answers:?}");
    service.wait().code(143);
    let mut replayed: Vec<_> = service.place.replay().lines().map(str::to_owned).collect();
    replayed.sort();
    let expected = [vec!["\"tcp\""; 10], vec!["\"unix\""; 10], vec!["1", "2"]].concat();
    assert_eq!(replayed, expected);
}

#[test]
fn a_second_signal_ends_at_once() {
    // A client that takes no answers would keep it for a while.
    let mut service = Service::start(&["--write-timeout", "10m"]);
    let mut deaf = service.tcp().asks("record");
    deaf.stream.set_nonblocking(true).unwrap();
    let flood = "1\n".repeat(100_000);
    let mut full = 0;
    let begun = Instant::now();
    // Until nothing more is taken: its answers fill all buffers on their way.
    while full < 40 && begun.elapsed().as_secs() < 100 {
        match std::io::Write::write(&mut deaf.stream, flood.as_bytes()) {
            Ok(_) => full = 0,
            Err(_) => {
                full += 1;
                std::thread::sleep(std::time::Duration::from_millis(25));
            }
        }
    }
    kill(service.id(), "TERM");
    service.wait_for("the socket stays", || !service.place.path("socket").exists());
    let begun = Instant::now();
    let ran = service.end("INT");
    assert_eq!(ran.code, Some(130), "{ran:?}");
    assert!(begun.elapsed().as_secs() < 20, "the second signal waited");
    service.place.command("verify").run().ok();
}

#[test]
fn sighup_rotates_without_disturbing_clients() {
    let service = Service::start(&[]);
    let mut client = service.unix().asks("record");
    for round in 1..=3 {
        client.send(format!("{round}\n"));
        assert_eq!(client.hear()["ok"], round);
        kill(service.id(), "HUP");
        // The old segment has its new name before the new one is begun, and still takes records until then.
        let begun = format!("\"first\":{}", round + 1);
        let header = || fs::read_to_string(service.place.journal()).unwrap_or_default();
        service.wait_for("no new segment", || header().contains(&begun));
        assert!(service.place.path(&format!("journal.jsonl.00{round}")).exists());
    }
    client.send("4\n");
    assert_eq!(client.hear()["ok"], 4);
    assert_eq!(service.place.replay(), "1\n2\n3\n4\n");
}

#[test]
fn what_was_acknowledged_outlives_kill_9_and_the_socket_is_taken_over() {
    let mut service = Service::start(&[]);
    let mut client = service.unix().asks("record");
    client.send(lines(2000));
    for number in 1..=1500 {
        assert_eq!(client.hear()["ok"], number);
    }
    service.end("KILL");
    let place = std::mem::replace(&mut service.place, Place::new());
    assert!(place.path("socket").exists(), "a kill leaves it behind");
    let again = Service::start_in(place, &[]);
    let found = again.place.durable();
    assert!(found >= 1500 && again.place.replay() == crate::support::head(&lines(2000), found));
    let mut client = again.unix().asks("record");
    client.send("\"again\"\n");
    assert_eq!(client.hear()["ok"], found + 1);
}

#[test]
fn listening_socket_is_not_replaced() {
    let place = Place::new();
    let path = place.path("socket");
    let listener = UnixListener::bind(&path).unwrap();
    let listen = format!("unix:{}", path.display());
    let ran = place.serve().args(["--listen", &listen]).run().code(75);
    assert!(ran.err.contains("another process listens"), "{ran:?}");
    assert!(
        path.exists()
            && Client::new(std::os::unix::net::UnixStream::connect(&path).unwrap())
                .stream
                .peer_addr()
                .is_ok()
    );
    drop(listener);
    fs::remove_file(&path).unwrap();
    place.write("socket", "precious");
    place.serve().args(["--listen", &listen]).run().code(73);
    assert_eq!(fs::read(path).unwrap(), b"precious");
}

#[test]
fn files_and_resume_do_not_go_with_a_service() {
    let place = Place::new();
    for args in [&["in.ndjson"][..], &["--resume"]] {
        place.serve().args(["--listen", "tcp:127.0.0.1:0"]).args(args).run().code(64);
    }
    place.serve().args(["--max-clients", "3"]).run().code(64);
    place.serve().args(["--listen", "nonsense"]).run().code(64);
}
