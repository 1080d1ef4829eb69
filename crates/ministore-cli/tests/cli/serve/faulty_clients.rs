//! Slow, silent, flooding and broken clients do not affect a well-behaved client.

use std::{
    io::{ErrorKind, Write},
    net::TcpStream,
    sync::{
        Barrier,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

use fastrand::Rng;
use serde_json::json;

use super::service::{ServeProcess, TestClient};

/// A well-behaved client must receive each acknowledgement within this time, even on a busy machine.
const ACK_TIMEOUT: Duration = Duration::from_secs(20);

/// Sends one record after the other until `work` has returned, and 20 more. Checks that each is acknowledged in time and in order.
fn assert_unaffected(service: &ServeProcess, work: impl FnOnce()) {
    let (done, served) = (AtomicBool::new(false), AtomicUsize::new(0));
    thread::scope(|scope| {
        scope.spawn(|| {
            let mut good = service.connect_tcp().with_acks("record");
            let mut line = 1;
            let mut after = 20;
            while !done.load(Ordering::Relaxed) || after > 0 {
                after -= u32::from(done.load(Ordering::Relaxed));
                line += 1;
                let sent = Instant::now();
                good.send(format!("{{\"good\":{line}}}\n"));
                let response = good.receive();
                assert!(response["ok"].is_u64() && response["line"] == line, "{response}");
                assert!(sent.elapsed() < ACK_TIMEOUT, "{:?} for a response", sent.elapsed());
                served.fetch_add(1, Ordering::Relaxed);
            }
        });
        service.wait_for("the good client is not served", || served.load(Ordering::Relaxed) > 5);
        work();
        done.store(true, Ordering::Relaxed);
    });
    let replayed = service.dir.replay();
    assert_eq!(replayed.lines().filter(|line| line.contains("\"good\"")).count(), served.into_inner());
}

#[test]
fn client_not_reading_responses_is_disconnected() {
    let mut service = ServeProcess::start(&["--write-timeout", "1s", "--metrics", "127.0.0.1:0"]);
    assert_unaffected(&service, || {
        let mut unread = service.connect_tcp().with_acks("record");
        let flood = "1\n".repeat(50_000);
        // The loop ends only when the service closes the connection.
        let started = Instant::now();
        while unread.stream.write_all(flood.as_bytes()).is_ok() {
            assert!(started.elapsed() < crate::support::TIMEOUT, "the service does not stop reading");
        }
    });
    assert_eq!(service.metric("ministore_serve_disconnects_total{reason=\"write_timeout\"}"), 1.0);
    assert!(service.peak_memory_kib() < 150 << 10, "{} KiB", service.peak_memory_kib());
}

#[test]
fn broken_clients_affect_only_themselves() {
    let service = ServeProcess::start(&["--max-record-bytes", "10000"]);
    assert_unaffected(&service, || {
        let mut junk = vec![0; 100_000];
        Rng::with_seed(1).fill(&mut junk);
        let shapes: [Vec<u8>; 7] = [
            b"{\"half\":".to_vec(),
            junk,
            [b"\"".to_vec(), vec![b'x'; 5_000_000]].concat(),
            vec![0; 100_000],
            b"GET / HTTP/1.1\r\nHost: here\r\n\r\n".to_vec(),
            [vec![b'['; 5000], b"\n".to_vec()].concat(),
            b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\n\n".to_vec(),
        ];
        for shape in &shapes {
            for reset in [false, true] {
                let mut broken = service.connect_tcp();
                broken.send(shape);
                if reset {
                    // Unread responses, or a linger time of zero, turn the close into a reset.
                    rustix::net::sockopt::set_socket_linger(&broken.stream, Some(Duration::ZERO)).unwrap();
                    continue;
                }
                if shape.starts_with(b"GET") {
                    assert!(broken.finish_raw().starts_with("HTTP/1.1 400 "));
                    continue;
                }
                let responses = broken.finish();
                assert!(responses.len() <= 1, "{responses:?}");
                if let Some(response) = responses.first() {
                    assert_eq!(
                        (&response["action"], &response["line"]),
                        (&json!("disconnect"), &json!(1)),
                        "{responses:?}"
                    );
                }
            }
        }
    });
    let replayed = service.dir.replay();
    assert!(replayed.lines().all(|line| line.contains("\"good\"")), "{replayed}");
}

#[test]
fn silent_clients_do_not_affect_others() {
    let service = ServeProcess::start(&["--max-clients", "301"]);
    assert_unaffected(&service, || {
        let silent: Vec<TestClient<TcpStream>> = (0..300).map(|_| service.connect_tcp()).collect();
        let connected = silent.iter().filter(|client| {
            client.stream.set_nonblocking(true).unwrap();
            matches!(client.stream.peek(&mut [0]), Err(error) if error.kind() == ErrorKind::WouldBlock)
        });
        assert!(connected.count() >= 299, "clients were rejected");
    });
}

#[test]
fn flooding_clients_use_bounded_memory() {
    const FLOODING: usize = 200;
    let service = ServeProcess::start(&[]);
    let sent = AtomicUsize::new(0);
    let line = format!("{{\"flood\":\"{}\"}}\n", "x".repeat(280));
    assert_unaffected(&service, || {
        thread::scope(|scope| {
            for n in 0..FLOODING {
                let (service, sent, line) = (&service, &sent, &line);
                scope.spawn(move || {
                    let block = line.repeat(200);
                    // Half of the clients request responses; none reads one before the end.
                    let mut client = service.connect_tcp();
                    if n % 2 == 0 {
                        client = client.with_acks("batch");
                    }
                    let started = Instant::now();
                    let mut records = 0;
                    while started.elapsed() < Duration::from_secs(5) && records < 4_000 {
                        client.send(&block);
                        records += 200;
                    }
                    let responses = client.finish();
                    if n % 2 == 0 {
                        assert_eq!(responses.last().unwrap()["line"], records + 1);
                    }
                    sent.fetch_add(records, Ordering::Relaxed);
                });
            }
        });
    });
    let peak = service.peak_memory_kib();
    eprintln!(
        "{} records from {FLOODING} flooding clients in {peak} KiB at most",
        sent.load(Ordering::Relaxed)
    );
    assert!(peak < 130 << 10, "{peak} KiB");
    let expected = sent.into_inner();
    service.wait_for("records are missing", || {
        service.dir.replay().lines().filter(|line| line.starts_with("{\"flood\"")).count() == expected
    });
}

#[test]
fn endless_lines_stay_within_memory_limit() {
    const LONG: usize = 40;
    let mut service = ServeProcess::start(&["--max-record-bytes", "8MiB", "--metrics", "127.0.0.1:0"]);
    let all_sent = Barrier::new(LONG);
    assert_unaffected(&service, || {
        let part = vec![b'x'; 7 << 20];
        thread::scope(|scope| {
            for _ in 0..LONG {
                scope.spawn(|| {
                    let mut client = service.connect_tcp();
                    client.send(b"\"");
                    client.send(&part);
                    all_sent.wait();
                    client.finish();
                });
            }
        });
    });
    let peak = service.peak_memory_kib();
    let rejected = service.metric("ministore_serve_disconnects_total{reason=\"memory_limit\"}");
    eprintln!("{LONG} half lines of 7 MiB at the same time: {peak} KiB at most, {rejected} clients rejected");
    assert!(peak < 160 << 10 && rejected > 0.0, "{peak} KiB, {rejected} clients");
}

#[test]
fn byte_order_mark_before_a_record_is_accepted() {
    let mut service = ServeProcess::start(&[]);
    for _ in 0..2 {
        let mut client = service.connect_tcp();
        client.send("\u{feff}1\n2\n");
        assert!(client.finish().is_empty());
    }
    service.stop("TERM").ok();
    assert_eq!(service.dir.replay(), "1\n2\n1\n2\n");
}
