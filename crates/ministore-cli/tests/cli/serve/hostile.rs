//! Slow, silent, flooding and broken clients, beside good ones that must not notice.

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

use serde_json::json;

use super::service::{Client, Service};

/// A good client beside others: each record must come back within this, though the machine is busy.
const SOON: Duration = Duration::from_secs(20);

/// Sends one record after the other for as long as `work` takes, and longer; every one is acknowledged soon, in order.
fn undisturbed(service: &Service, work: impl FnOnce()) {
    let (done, served) = (AtomicBool::new(false), AtomicUsize::new(0));
    thread::scope(|scope| {
        scope.spawn(|| {
            let mut good = service.tcp().asks("record");
            let mut line = 1;
            let mut after = 20;
            while !done.load(Ordering::Relaxed) || after > 0 {
                after -= u32::from(done.load(Ordering::Relaxed));
                line += 1;
                let sent = Instant::now();
                good.send(format!("{{\"good\":{line}}}\n"));
                let answer = good.hear();
                assert!(answer["ok"].is_u64() && answer["line"] == line, "{answer}");
                assert!(sent.elapsed() < SOON, "{:?} for an answer", sent.elapsed());
                served.fetch_add(1, Ordering::Relaxed);
            }
        });
        service.wait_for("the good client is not served", || served.load(Ordering::Relaxed) > 5);
        work();
        done.store(true, Ordering::Relaxed);
    });
    let replayed = service.place.replay();
    assert_eq!(replayed.lines().filter(|line| line.contains("\"good\"")).count(), served.into_inner());
}

#[test]
fn a_client_that_never_reads_its_answers_is_held_back_and_disconnected() {
    let mut service = Service::start(&["--write-timeout", "1s", "--metrics", "127.0.0.1:0"]);
    undisturbed(&service, || {
        let mut deaf = service.tcp().asks("record");
        let flood = "1\n".repeat(50_000);
        // Ends only when the service closes the connection.
        let begun = Instant::now();
        while deaf.stream.write_all(flood.as_bytes()).is_ok() {
            assert!(begun.elapsed() < crate::support::PATIENCE, "it is read from for ever");
        }
    });
    assert_eq!(service.metric("ministore_serve_disconnects_total{reason=\"write_timeout\"}"), 1.0);
    assert!(service.peak_memory_kib() < 150 << 10, "{} KiB", service.peak_memory_kib());
}

#[test]
fn broken_clients_affect_only_themselves() {
    let service = Service::start(&["--max-record-bytes", "10000"]);
    undisturbed(&service, || {
        let junk: Vec<u8> = (0..100_000_u32).map(|n| (n.wrapping_mul(2_654_435_761) >> 24) as u8).collect();
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
                let mut broken = service.tcp();
                broken.send(shape);
                if reset {
                    // Unread answers, or a deadline of zero, make the close a reset.
                    rustix::net::sockopt::set_socket_linger(&broken.stream, Some(Duration::ZERO)).unwrap();
                    continue;
                }
                let answers = broken.finish();
                assert!(answers.len() <= 1, "{answers:?}");
                if let Some(answer) = answers.first() {
                    assert_eq!(
                        (&answer["action"], &answer["line"]),
                        (&json!("disconnect"), &json!(1)),
                        "{answers:?}"
                    );
                }
            }
        }
    });
    let replayed = service.place.replay();
    assert!(replayed.lines().all(|line| line.contains("\"good\"")), "{replayed}");
}

#[test]
fn silent_clients_in_all_slots_but_one_are_harmless() {
    let service = Service::start(&["--max-clients", "301"]);
    undisturbed(&service, || {
        let silent: Vec<Client<TcpStream>> = (0..300).map(|_| service.tcp()).collect();
        let unheard = silent.iter().filter(|client| {
            client.stream.set_nonblocking(true).unwrap();
            matches!(client.stream.peek(&mut [0]), Err(error) if error.kind() == ErrorKind::WouldBlock)
        });
        assert!(unheard.count() >= 299, "they were refused");
    });
}

#[test]
fn two_hundred_flooding_clients_take_bounded_memory_and_let_others_through() {
    const FLOODING: usize = 200;
    let service = Service::start(&[]);
    let sent = AtomicUsize::new(0);
    let line = format!("{{\"flood\":\"{}\"}}\n", "x".repeat(280));
    undisturbed(&service, || {
        thread::scope(|scope| {
            for n in 0..FLOODING {
                let (service, sent, line) = (&service, &sent, &line);
                scope.spawn(move || {
                    let block = line.repeat(200);
                    // Half of them do not ask for answers; none reads one before the end.
                    let mut client = service.tcp();
                    if n % 2 == 0 {
                        client = client.asks("batch");
                    }
                    let begun = Instant::now();
                    let mut records = 0;
                    while begun.elapsed() < Duration::from_secs(5) && records < 4_000 {
                        client.send(&block);
                        records += 200;
                    }
                    let answers = client.finish();
                    if n % 2 == 0 {
                        assert_eq!(answers.last().unwrap()["line"], records + 1);
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
        service.place.replay().lines().filter(|line| line.starts_with("{\"flood\"")).count() == expected
    });
}

#[test]
fn endless_lines_stay_within_shared_memory() {
    const LONG: usize = 40;
    let mut service = Service::start(&["--max-record-bytes", "8MiB", "--metrics", "127.0.0.1:0"]);
    let all_sent = Barrier::new(LONG);
    undisturbed(&service, || {
        let part = vec![b'x'; 7 << 20];
        thread::scope(|scope| {
            for _ in 0..LONG {
                scope.spawn(|| {
                    let mut client = service.tcp();
                    client.send(b"\"");
                    client.send(&part);
                    all_sent.wait();
                    client.finish();
                });
            }
        });
    });
    let peak = service.peak_memory_kib();
    let turned = service.metric("ministore_serve_disconnects_total{reason=\"memory_limit\"}");
    eprintln!(
        "{LONG} half lines of 7 MiB at the same time: {peak} KiB at most, {turned} clients told to come back"
    );
    assert!(peak < 160 << 10 && turned > 0.0, "{peak} KiB, {turned} clients");
}
