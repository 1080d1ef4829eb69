//! Many clients at once, and a kill -9 in the middle: nothing that was acknowledged is lost, or there twice, or under
//! another number.
//!
//! `LOAD_CLIENTS=1000 LOAD_SECONDS=60 cargo test --release --test cli serve::load -- --nocapture` is the long one.

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

use super::service::Service;
use crate::support::{PATIENCE, Run};

const CLIENTS: u32 = 200;
const SECONDS: u64 = 4;

/// Records of a client that are on their way at a time.
const WINDOW: u32 = 4;

#[derive(Debug, Deserialize)]
struct Sent {
    client: u32,
    n: u32,
}

/// Where the service is, whichever process it is just now.
struct Place {
    socket: PathBuf,
    tcp: String,
    done: AtomicBool,
    connections: AtomicU64,
}

/// What one client was told.
#[derive(Default)]
struct Told {
    /// The record, and its number.
    acknowledged: Vec<(u32, u64)>,
    micros: Vec<u32>,
    /// Records sent; each one once, whatever became of it.
    sent: u32,
}

fn number(name: &str, default: u64) -> u64 {
    env::var(name).map_or(default, |text| text.parse().unwrap())
}

/// Sends until it is done; connects again when the connection breaks.
fn send(client: u32, place: &Place) -> Told {
    let mut told = Told::default();
    let mut broken = None;
    while !place.done.load(Ordering::Relaxed) {
        let connected = if client.is_multiple_of(2) {
            TcpStream::connect(&place.tcp).and_then(|stream| {
                stream.set_nodelay(true)?;
                stream.set_read_timeout(Some(PATIENCE))?;
                one_connection(client, place, &mut told, &stream, &stream)
            })
        } else {
            UnixStream::connect(&place.socket).and_then(|stream| {
                stream.set_read_timeout(Some(PATIENCE))?;
                one_connection(client, place, &mut told, &stream, &stream)
            })
        };
        if connected.is_err() {
            let since = *broken.get_or_insert_with(Instant::now);
            assert!(since.elapsed() < 2 * PATIENCE, "client {client}: {connected:?}");
            // The service is being started again.
            thread::sleep(Duration::from_millis(20));
        } else {
            broken = None;
        }
    }
    told
}

fn one_connection(
    client: u32,
    place: &Place,
    told: &mut Told,
    reader: impl io::Read,
    mut writer: impl Write,
) -> io::Result<()> {
    let mut answers = BufReader::new(reader);
    let mut line = String::new();
    let mut hear = || -> io::Result<Value> {
        line.clear();
        match answers.read_line(&mut line)? {
            0 => Err(io::ErrorKind::UnexpectedEof.into()),
            // Half an answer is what a kill leaves.
            _ if !line.ends_with('\n') => Err(io::ErrorKind::UnexpectedEof.into()),
            _ => Ok(serde_json::from_str(&line).unwrap()),
        }
    };
    writer.write_all(b"{\"ministore\":{\"ack\":\"record\"}}\n")?;
    assert!(hear()?["ok"].is_object());
    place.connections.fetch_add(1, Ordering::Relaxed);
    while !place.done.load(Ordering::Relaxed) {
        let first = told.sent;
        told.sent += WINDOW;
        let window: String = (first..told.sent)
            .map(|n| format!("{{\"client\":{client},\"n\":{n},\"text\":\"{}\"}}\n", "x".repeat(100)))
            .collect();
        let begun = Instant::now();
        writer.write_all(window.as_bytes())?;
        for n in first..told.sent {
            let answer = hear()?;
            let seq = answer["ok"].as_u64().unwrap_or_else(|| panic!("client {client}: {answer}"));
            told.acknowledged.push((n, seq));
        }
        told.micros.push(u32::try_from(begun.elapsed().as_micros()).unwrap_or(u32::MAX));
    }
    Ok(())
}

#[test]
fn nothing_acknowledged_is_lost_across_kill_9() {
    let clients = u32::try_from(number("LOAD_CLIENTS", u64::from(CLIENTS))).unwrap();
    let lasting = Duration::from_secs(number("LOAD_SECONDS", SECONDS));
    let max_clients = (clients + 100).to_string();
    let mut service = Service::start(&["--max-clients", &max_clients]);
    let place = Place {
        socket: service.place.path("socket"),
        tcp: service.tcp.clone(),
        done: AtomicBool::new(false),
        connections: AtomicU64::new(0),
    };
    let mut peak_kib = 0;
    let begun = Instant::now();
    let told: Vec<Told> = thread::scope(|scope| {
        let sending: Vec<_> = (0..clients)
            .map(|client| {
                let builder = thread::Builder::new().stack_size(256 << 10);
                let place = &place;
                builder.spawn_scoped(scope, move || send(client, place)).unwrap()
            })
            .collect();
        let connected = |times: u64| place.connections.load(Ordering::Relaxed) >= times * u64::from(clients);
        service.wait_for("not all clients are served", || connected(1));
        thread::sleep((begun + lasting / 2).saturating_duration_since(Instant::now()));
        peak_kib = peak_kib.max(service.peak_memory_kib());
        service.end("KILL");
        let again = std::mem::replace(&mut service.place, crate::support::Place::new());
        let tcp = format!("tcp:{}", place.tcp);
        let mut command = again.serve();
        let socket = format!("unix:{}", place.socket.display());
        command.args(["--json", "--listen", &socket, "--listen", &tcp, "--max-clients", &max_clients]);
        service = Service::of(again, &mut command);
        service.wait_to_hear("listening on tcp:");
        // All of them come back.
        service.wait_for("not all clients are served again", || connected(2));
        thread::sleep((begun + lasting).saturating_duration_since(Instant::now()));
        place.done.store(true, Ordering::Relaxed);
        let told = sending.into_iter().map(|client| client.join().unwrap()).collect();
        peak_kib = peak_kib.max(service.peak_memory_kib());
        told
    });
    let seconds = begun.elapsed().as_secs_f64();
    service.end("TERM").code(143);
    service.place.command("verify").run().ok();
    report(&told, seconds, peak_kib, compare(&service, &told));
}

/// Compares what was told with the journal; how many records are in it that nobody was told of.
fn compare(service: &Service, told: &[Told]) -> u64 {
    let mut found = HashMap::new();
    for record in Reader::open(service.place.journal()).unwrap().records::<Sent>() {
        let record = record.unwrap();
        let again = found.insert((record.value.client, record.value.n), record.seq);
        assert_eq!(again, None, "{:?} is there twice", record.value);
    }
    let mut acknowledged = 0;
    for (client, told) in (0..).zip(told) {
        for &(n, seq) in &told.acknowledged {
            assert_eq!(found.get(&(client, n)), Some(&seq), "record {n} of client {client}");
        }
        assert!(!told.acknowledged.is_empty(), "client {client} was told nothing");
        acknowledged += told.acknowledged.len() as u64;
    }
    found.len() as u64 - acknowledged
}

fn report(told: &[Told], seconds: f64, peak_kib: u64, untold: u64) {
    let acknowledged: usize = told.iter().map(|told| told.acknowledged.len()).sum();
    let mut micros: Vec<u32> = told.iter().flat_map(|told| told.micros.iter().copied()).collect();
    micros.sort_unstable();
    let quantile = |part: usize| f64::from(micros[(micros.len() - 1) * part / 1000]) / 1000.0;
    eprintln!(
        "{} clients, {seconds:.1} s, one kill -9: {acknowledged} records acknowledged ({:.0} a second), all found, each \
         once, under its number; {untold} more that nobody was told of; {WINDOW} records sent and acknowledged in \
         {:.1} ms (p50), {:.1} ms (p99), {:.1} ms (the longest, the restart among it); {peak_kib} KiB at most",
        told.len(),
        acknowledged as f64 / seconds,
        quantile(500),
        quantile(990),
        quantile(1000),
    );
}
