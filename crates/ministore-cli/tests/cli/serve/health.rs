//! `/healthz` and the metrics of a service that is full, and of one that silent clients connect to.

use std::{
    fs,
    io::{Read, Write},
    net::TcpStream,
    path::PathBuf,
    process::Command,
    thread,
    time::{Duration, Instant},
};

use super::service::{ServeProcess, TestClient};
use crate::support::{TestDir, skipped};

/// A service with a FIFO on a tmpfs of its own, in a mount namespace. Returns `None` without root.
fn start_on_tmpfs(size: &str) -> Option<ServeProcess> {
    let dir = TestDir::new();
    fs::create_dir(dir.path("disk")).unwrap();
    let script = format!("mount -t tmpfs -o size={size} tmpfs \"$1\" || exit 99; shift; exec \"$@\"");
    let mut command = Command::new("unshare");
    command.args(["--mount", "sh", "-c", &script, "sh"]).arg(dir.path("disk"));
    command.arg(env!("CARGO_BIN_EXE_ministore")).arg("serve").arg(dir.path("disk/journal.jsonl"));
    let listen = format!("unix:{}", dir.path("socket").display());
    let fifo = format!("fifo:{}", dir.path("fifo").display());
    command.args([
        "--json",
        "--metrics",
        "127.0.0.1:0",
        "--no-preallocate",
        "--listen",
        &listen,
        "-l",
        &fifo,
    ]);
    let can_mount = Command::new("unshare").args(["--mount", "true"]).output();
    if !can_mount.is_ok_and(|output| output.status.success()) {
        skipped("SKIPPED: a service on a full disk: needs root and unshare");
        return None;
    }
    let mut service = ServeProcess::spawn_command(dir, &mut command);
    service.wait_for_log("listening on unix:");
    service.wait_for_log("listening on fifo:");
    Some(service)
}

/// Returns the path of a file in the mount namespace of the service.
fn in_namespace(service: &ServeProcess, name: &str) -> PathBuf {
    let path = service.dir.path(name);
    PathBuf::from(format!("/proc/{}/root", service.child().id())).join(path.strip_prefix("/").unwrap())
}

#[test]
fn full_disk_is_unhealthy_until_an_append_succeeds() {
    let Some(mut service) = start_on_tmpfs("4m") else { return };
    assert_eq!(service.get("/healthz").0, 200);
    assert_eq!(service.metric("ministore_serve_storage_full"), 0.0);
    let free = service.metric("ministore_serve_free_bytes");
    assert!(free > 3e6 && free < 4.3e6, "{free}");
    let line = format!("\"{}\"\n", "x".repeat(100_000));
    let mut acknowledged = 0;
    let mut client = service.connect_unix().with_acks("record");
    while {
        client.send(&line);
        client.receive()["ok"].is_u64()
    } {
        acknowledged += 1;
        assert!(acknowledged < 100, "the disk does not become full");
    }
    let (status, reason) = service.get("/healthz");
    assert_eq!((status, &*reason), (503, "the last append was refused: disk full\n"));
    assert_eq!(service.metric("ministore_serve_storage_full"), 1.0);
    assert_eq!(service.metric("ministore_serve_refused_lines_total{reason=\"storage_full\"}"), 1.0);
    assert_eq!(service.metric("ministore_serve_durable_lines_total"), f64::from(acknowledged));
    assert!(client.receive_all().is_empty());
    let mut small = service.connect_unix().with_acks("record");
    small.send("1\n");
    assert_eq!(small.receive()["ok"], acknowledged + 1);
    assert_eq!(service.get("/healthz"), (200, "ok\n".to_owned()));
    assert_eq!(service.metric("ministore_serve_storage_full"), 0.0);
    service.wait_for_metric("ministore_serve_free_bytes", |free| free < 1e6);
}

#[test]
fn fifo_continues_between_lines_after_a_full_disk() {
    let Some(mut service) = start_on_tmpfs("4m") else { return };
    let filler = in_namespace(&service, "disk/filler");
    fs::write(&filler, vec![0; 3 << 20]).unwrap();
    let line = |n: u32| format!("\"{n} {}\"\n", "x".repeat(9_000));
    let mut fifo = fs::OpenOptions::new().write(true).open(service.dir.path("fifo")).unwrap();
    let sent = 1..=400;
    let writer = thread::spawn(move || sent.for_each(|n| fifo.write_all(line(n).as_bytes()).unwrap()));
    service.wait_for_metric("ministore_serve_storage_full", |is_full| is_full == 1.0);
    fs::remove_file(filler).unwrap();
    writer.join().unwrap();
    // Refused lines are not written later, so the journal is complete once every line has an outcome.
    let refused = "ministore_serve_refused_lines_total{reason=\"storage_full\"}";
    service.wait_for_sum(&["ministore_serve_durable_lines_total", refused], |lines| lines == 400.0);
    assert_eq!(service.get("/healthz").0, 200);
    fs::copy(in_namespace(&service, "disk/journal.jsonl"), service.dir.journal()).unwrap();
    let summary = service.stop("TERM").ok().json();
    assert_eq!(summary["bad_lines"], 0, "a line was cut in two: {summary}");
    let stored: Vec<String> = service.dir.replay().lines().map(|line| format!("{line}\n")).collect();
    assert_eq!(summary["durable_lines"], stored.len(), "{summary}");
    assert_eq!(summary["refused_lines"]["storage_full"], 400 - stored.len(), "{summary}");
    let all: Vec<String> = (1..=400).map(line).collect();
    let mut expected = all.iter();
    assert!(
        stored.iter().all(|stored| expected.any(|sent| sent == stored)),
        "lines in the order in which they were sent"
    );
}

#[test]
fn silent_metrics_clients_block_no_others() {
    let mut service = ServeProcess::start(&["--metrics", "127.0.0.1:0"]);
    service.get("/healthz");
    let silent: Vec<_> = (0..200).map(|_| TcpStream::connect(&service.metrics_address).unwrap()).collect();
    let started = Instant::now();
    assert_eq!(service.get("/healthz").0, 200);
    assert!(started.elapsed() < Duration::from_secs(5), "{:?}", started.elapsed());
    // Half of a request is not enough either.
    let mut halves: Vec<_> =
        (0..200).map(|_| TcpStream::connect(&service.metrics_address).unwrap()).collect();
    for half in &mut halves {
        // The service may have disconnected it.
        drop(half.write_all(b"GET /metrics HTTP/1.1\r\nHost: "));
    }
    let started = Instant::now();
    assert_eq!(service.get("/metrics").0, 200);
    assert!(started.elapsed() < Duration::from_secs(5), "{:?}", started.elapsed());
    let mut client = service.connect_tcp().with_acks("record");
    client.send("1\n");
    assert_eq!(client.receive()["ok"], 1);
    drop(silent);
}

#[test]
fn silent_metrics_client_is_disconnected() {
    let mut service = ServeProcess::start(&["--metrics", "127.0.0.1:0"]);
    service.get("/healthz");
    let mut first = TcpStream::connect(&service.metrics_address).unwrap();
    let more: Vec<_> = (0..100).map(|_| TcpStream::connect(&service.metrics_address).unwrap()).collect();
    first.set_read_timeout(Some(Duration::from_secs(5))).unwrap();
    assert_eq!(first.read(&mut [0; 100]).unwrap(), 0, "a newer connection replaces it");
    drop(more);
}

#[test]
fn histograms_have_buckets() {
    let mut service = ServeProcess::start(&["--metrics", "127.0.0.1:0"]);
    let mut client: TestClient<_> = service.connect_unix().with_acks("record");
    for _ in 0..3 {
        client.send("1\n");
        client.receive();
    }
    let text = service.get("/metrics").1;
    assert!(!text.contains("quantile=") && !text.contains(" summary"), "{text}");
    for (name, smallest, largest) in [
        ("ministore_sync_seconds", "0.00001", "10"),
        ("ministore_queue_wait_seconds", "0.00001", "10"),
        ("ministore_group_bytes", "256", "16777216"),
        ("ministore_group_records", "1", "10000"),
    ] {
        assert!(text.contains(&format!("# TYPE {name} histogram")), "{name} in {text}");
        let bucket = |limit: &str| {
            let label = format!("le=\"{limit}\"}}");
            let line = text
                .lines()
                .find(|line| line.starts_with(&format!("{name}_bucket")) && line.contains(&label));
            let line = line.unwrap_or_else(|| panic!("no {limit} of {name} in {text}"));
            line.rsplit(' ').next().unwrap().parse::<u64>().unwrap()
        };
        assert!(bucket(smallest) <= bucket(largest) && bucket("+Inf") == 3, "{name} in {text}");
    }
}

#[test]
fn process_and_build_are_described() {
    let mut service = ServeProcess::start(&["--metrics", "127.0.0.1:0"]);
    let version = env!("CARGO_PKG_VERSION");
    assert_eq!(service.metric(&format!("ministore_build_info{{version=\"{version}\"}}")), 1.0);
    let resident = service.metric("process_resident_memory_bytes");
    let peak = service.peak_memory_kib() as f64 * 1024.0;
    assert!(resident > 1e6 && resident <= peak, "{resident} of {peak}");
    let fds = fs::read_dir(format!("/proc/{}/fd", service.child().id())).unwrap().count() as f64;
    let open = service.metric("process_open_fds");
    assert!((open - fds).abs() <= 5.0, "{open} of {fds}");
    assert!(service.metric("process_max_fds") >= open && service.metric("process_threads") > 2.0);
    let start = service.metric("process_start_time_seconds");
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_secs_f64();
    assert!((0.0..600.0).contains(&(now - start)), "{start} of {now}");
    assert!(service.metric("process_cpu_seconds_total") >= 0.0);
}
