//! Many concurrent clients, and a kill -9 of the service: every acknowledged record is stored once, under its sequence number.
//!
//! The long run: `LOAD_CLIENTS=1000 LOAD_SECONDS=60 cargo test --release --test cli serve::load -- --nocapture`.

use std::{
    collections::HashMap,
    env,
    io::{self, BufRead, BufReader, Write},
    net::TcpStream,
    os::unix::net::UnixStream,
    path::PathBuf,
    sync::atomic::{AtomicBool, AtomicU64, Ordering},
    thread,
    time::{Duration, Instant},
};

use ministore_uring::Reader;
use serde::Deserialize;
use serde_json::Value;

use super::service::ServeProcess;
use crate::support::{CommandExt, TIMEOUT};

const CLIENTS: u32 = 200;
const SECONDS: u64 = 4;

/// The number of records of a client in flight.
const WINDOW: u32 = 4;

#[derive(Debug, Deserialize)]
struct SentRecord {
    client: u32,
    n: u32,
}

/// The addresses of the service, which do not change when it restarts, and the control of the clients.
struct LoadControl {
    socket: PathBuf,
    tcp: String,
    done: AtomicBool,
    connections: AtomicU64,
}

/// The acknowledgements that one client received.
#[derive(Default)]
struct ClientAcks {
    /// The number of the record and its sequence number.
    acknowledged: Vec<(u32, u64)>,
    micros: Vec<u32>,
    /// The number of records sent; none is sent twice.
    sent: u32,
}

fn number(name: &str, default: u64) -> u64 {
    env::var(name).map_or(default, |text| text.parse().unwrap())
}

/// Sends until `done`; reconnects when the connection breaks.
fn send(client: u32, control: &LoadControl) -> ClientAcks {
    let mut acks = ClientAcks::default();
    let mut broken = None;
    while !control.done.load(Ordering::Relaxed) {
        let connected = if client.is_multiple_of(2) {
            TcpStream::connect(&control.tcp).and_then(|stream| {
                stream.set_nodelay(true)?;
                stream.set_read_timeout(Some(TIMEOUT))?;
                one_connection(client, control, &mut acks, &stream, &stream)
            })
        } else {
            UnixStream::connect(&control.socket).and_then(|stream| {
                stream.set_read_timeout(Some(TIMEOUT))?;
                one_connection(client, control, &mut acks, &stream, &stream)
            })
        };
        if connected.is_err() {
            let since = *broken.get_or_insert_with(Instant::now);
            assert!(since.elapsed() < 2 * TIMEOUT, "client {client}: {connected:?}");
            // The service is restarting.
            thread::sleep(Duration::from_millis(20));
        } else {
            broken = None;
        }
    }
    acks
}

fn one_connection(
    client: u32,
    control: &LoadControl,
    acks: &mut ClientAcks,
    reader: impl io::Read,
    mut writer: impl Write,
) -> io::Result<()> {
    let mut responses = BufReader::new(reader);
    let mut line = String::new();
    let mut receive = || -> io::Result<Value> {
        line.clear();
        match responses.read_line(&mut line)? {
            0 => Err(io::ErrorKind::UnexpectedEof.into()),
            // A kill can leave an incomplete response.
            _ if !line.ends_with('\n') => Err(io::ErrorKind::UnexpectedEof.into()),
            _ => Ok(serde_json::from_str(&line).unwrap()),
        }
    };
    writer.write_all(b"{\"ministore\":{\"ack\":\"record\"}}\n")?;
    assert!(receive()?["ok"].is_object());
    control.connections.fetch_add(1, Ordering::Relaxed);
    while !control.done.load(Ordering::Relaxed) {
        let first = acks.sent;
        acks.sent += WINDOW;
        let window: String = (first..acks.sent)
            .map(|n| format!("{{\"client\":{client},\"n\":{n},\"text\":\"{}\"}}\n", "x".repeat(100)))
            .collect();
        let started = Instant::now();
        writer.write_all(window.as_bytes())?;
        for n in first..acks.sent {
            let response = receive()?;
            let seq = response["ok"].as_u64().unwrap_or_else(|| panic!("client {client}: {response}"));
            acks.acknowledged.push((n, seq));
        }
        acks.micros.push(u32::try_from(started.elapsed().as_micros()).unwrap_or(u32::MAX));
    }
    Ok(())
}

#[test]
fn acked_records_survive_sigkill_under_load() {
    let clients = u32::try_from(number("LOAD_CLIENTS", u64::from(CLIENTS))).unwrap();
    let duration = Duration::from_secs(number("LOAD_SECONDS", SECONDS));
    let max_clients = (clients + 100).to_string();
    let mut service = ServeProcess::start(&["--max-clients", &max_clients]);
    let control = LoadControl {
        socket: service.dir.path("socket"),
        tcp: service.tcp_address.clone(),
        done: AtomicBool::new(false),
        connections: AtomicU64::new(0),
    };
    let mut peak_kib = 0;
    let started = Instant::now();
    let acks: Vec<ClientAcks> = thread::scope(|scope| {
        let sending: Vec<_> = (0..clients)
            .map(|client| {
                let builder = thread::Builder::new().stack_size(256 << 10);
                let control = &control;
                builder.spawn_scoped(scope, move || send(client, control)).unwrap()
            })
            .collect();
        let connected =
            |times: u64| control.connections.load(Ordering::Relaxed) >= times * u64::from(clients);
        service.wait_for("not all clients are served", || connected(1));
        thread::sleep((started + duration / 2).saturating_duration_since(Instant::now()));
        peak_kib = peak_kib.max(service.peak_memory_kib());
        service.stop("KILL");
        let again = std::mem::replace(&mut service.dir, crate::support::TestDir::new());
        let tcp = format!("tcp:{}", control.tcp);
        let mut command = again.serve();
        let socket = format!("unix:{}", control.socket.display());
        command.args(["--json", "--listen", &socket, "--listen", &tcp, "--max-clients", &max_clients]);
        service = ServeProcess::spawn_command(again, &mut command);
        service.wait_for_log("listening on tcp:");
        // All clients reconnect.
        service.wait_for("not all clients are served again", || connected(2));
        thread::sleep((started + duration).saturating_duration_since(Instant::now()));
        control.done.store(true, Ordering::Relaxed);
        let acks = sending.into_iter().map(|client| client.join().unwrap()).collect();
        peak_kib = peak_kib.max(service.peak_memory_kib());
        acks
    });
    let seconds = started.elapsed().as_secs_f64();
    service.stop("TERM").ok();
    service.dir.command("verify").run().ok();
    report(&acks, seconds, peak_kib, compare(&service, &acks));
}

/// Compares the acknowledgements with the journal. Returns the number of records that were not acknowledged.
fn compare(service: &ServeProcess, acks: &[ClientAcks]) -> u64 {
    let mut found = HashMap::new();
    for record in Reader::open(service.dir.journal()).unwrap().records::<SentRecord>() {
        let record = record.unwrap();
        let again = found.insert((record.value.client, record.value.n), record.seq);
        assert_eq!(again, None, "{:?} is stored twice", record.value);
    }
    let mut acknowledged = 0;
    for (client, acks) in (0..).zip(acks) {
        for &(n, seq) in &acks.acknowledged {
            assert_eq!(found.get(&(client, n)), Some(&seq), "record {n} of client {client}");
        }
        assert!(!acks.acknowledged.is_empty(), "client {client} received no acknowledgement");
        acknowledged += acks.acknowledged.len() as u64;
    }
    found.len() as u64 - acknowledged
}

fn report(acks: &[ClientAcks], seconds: f64, peak_kib: u64, unacknowledged: u64) {
    let acknowledged: usize = acks.iter().map(|acks| acks.acknowledged.len()).sum();
    let mut micros: Vec<u32> = acks.iter().flat_map(|acks| acks.micros.iter().copied()).collect();
    micros.sort_unstable();
    let quantile = |part: usize| f64::from(micros[(micros.len() - 1) * part / 1000]) / 1000.0;
    eprintln!(
        "{} clients, {seconds:.1} s, one kill -9: {acknowledged} records acknowledged ({:.0} a second), all found \
         once under their sequence numbers; {unacknowledged} more were not acknowledged; {WINDOW} records sent and acknowledged in \
         {:.1} ms (p50), {:.1} ms (p99), {:.1} ms (the maximum, including the restart); {peak_kib} KiB at most",
        acks.len(),
        acknowledged as f64 / seconds,
        quantile(500),
        quantile(990),
        quantile(1000),
    );
}
