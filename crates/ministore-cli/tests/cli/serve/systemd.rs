//! Readiness and watchdog notifications, metrics, and the unit file.

use std::{
    fs,
    os::unix::net::UnixDatagram,
    path::Path,
    process::Command,
    time::{Duration, Instant},
};

use super::service::ServeProcess;
use crate::support::{CommandExt, TIMEOUT, TestDir, kill, ministore, skipped};

/// The notification socket of a service manager.
struct ServiceManager {
    socket: UnixDatagram,
}

impl ServiceManager {
    fn start(usec: u64) -> (Self, ServeProcess) {
        let dir = TestDir::new();
        let path = dir.path("notify");
        let socket = UnixDatagram::bind(&path).unwrap();
        socket.set_read_timeout(Some(TIMEOUT)).unwrap();
        let service = ServeProcess::start_with(dir, &["--metrics", "127.0.0.1:0"], |command| {
            command.env("NOTIFY_SOCKET", &path).env("WATCHDOG_USEC", usec.to_string());
        });
        (Self { socket }, service)
    }

    fn receive(&self) -> String {
        let mut text = [0; 4096];
        let count = self.socket.recv(&mut text).unwrap();
        String::from_utf8_lossy(&text[..count]).trim_end().to_owned()
    }
}

#[test]
fn manager_receives_ready_watchdog_and_stopping() {
    let (manager, mut service) = ServiceManager::start(400_000);
    assert_eq!(manager.receive(), "READY=1");
    let mut client = service.connect_tcp().with_acks("record");
    let started = Instant::now();
    for number in 1..=5 {
        assert_eq!(manager.receive(), "WATCHDOG=1");
        client.send("1\n");
        assert_eq!(client.receive()["ok"], number);
    }
    // The watchdog is notified at half of the requested interval.
    assert!(started.elapsed() > Duration::from_millis(500), "{:?} for five", started.elapsed());
    assert!(started.elapsed() < Duration::from_secs(60), "{:?} for five", started.elapsed());
    kill(service.child(), "TERM");
    let started = Instant::now();
    while manager.receive() != "STOPPING=1" {
        assert!(started.elapsed() < TIMEOUT);
    }
    service.wait().ok();
}

#[test]
fn ready_is_sent_once_clients_can_connect() {
    let (manager, service) = ServiceManager::start(0);
    assert_eq!(manager.receive(), "READY=1");
    let mut client = service.connect_unix().with_acks("record");
    client.send("1\n");
    assert_eq!(client.receive()["ok"], 1);
}

#[test]
fn stopped_process_sends_no_watchdog() {
    let (manager, service) = ServiceManager::start(200_000);
    assert_eq!(manager.receive(), "READY=1");
    assert_eq!(manager.receive(), "WATCHDOG=1");
    kill(service.child(), "STOP");
    manager.socket.set_read_timeout(Some(Duration::from_secs(1))).unwrap();
    // Discards the notifications that were sent before the stop.
    let started = Instant::now();
    let mut text = [0; 64];
    while manager.socket.recv(&mut text).is_ok() {
        assert!(started.elapsed() < TIMEOUT, "notifications continue");
    }
    kill(service.child(), "CONT");
    manager.socket.set_read_timeout(Some(TIMEOUT)).unwrap();
    assert_eq!(manager.receive(), "WATCHDOG=1");
}

#[test]
fn only_metrics_and_health_are_served() {
    let (_manager, mut service) = ServiceManager::start(0);
    let mut client = service.connect_tcp().with_acks("record");
    client.send("1\n2\n");
    assert_eq!((client.receive()["ok"].as_u64(), client.receive()["ok"].as_u64()), (Some(1), Some(2)));
    assert_eq!(service.get("/healthz"), (200, "ok\n".to_owned()));
    assert_eq!(service.get("/").0, 404);
    let (status, text) = service.get("/metrics");
    assert_eq!(status, 200);
    for line in [
        "# TYPE ministore_serve_connections gauge",
        "# TYPE ministore_serve_lines_total counter",
        "ministore_serve_connections 1",
        "ministore_serve_connections_total 1",
        "ministore_serve_lines_total 2",
        "ministore_serve_acknowledged_records_total 2",
        "ministore_serve_disconnects_total{reason=\"max_clients\"} 0",
        "ministore_serve_disconnects_total{reason=\"bad_line\"} 0",
    ] {
        assert!(text.lines().any(|found| found == line), "no {line} in {text}");
    }
    let journal = service.dir.journal();
    let metric = format!("ministore_records_total{{journal=\"{}\"}} 2", journal.display());
    assert!(text.contains(&metric), "no {metric} in {text}");
}

#[test]
fn unit_file_is_accepted_by_systemd() {
    let unit = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../packaging/ministore-serve@.service");
    let text = fs::read_to_string(unit).unwrap();
    if Command::new("systemd-analyze").arg("--version").output().is_err() {
        return skipped("SKIPPED: verifying the unit file: systemd-analyze is not installed");
    }
    // Replaces the program by one that exists on every machine.
    let dir = TestDir::new();
    let program = "/usr/bin/ministore";
    assert!(text.contains(program), "{text}");
    let unit = dir.write("ministore-serve@verified.service", text.replace(program, "/bin/true"));
    let verified = Command::new("systemd-analyze").args(["verify", "--man=no"]).arg(&unit).output().unwrap();
    let stderr = String::from_utf8_lossy(&verified.stderr).into_owned();
    // Other units of the machine may have errors of their own.
    let our_errors: Vec<_> = stderr.lines().filter(|line| line.contains("ministore-serve")).collect();
    assert!(our_errors.is_empty(), "{stderr}");
    // The program accepts the command line of the unit.
    let exec_start = text.lines().find_map(|line| line.strip_prefix("ExecStart=")).unwrap();
    let words: Vec<String> = exec_start
        .split_whitespace()
        .skip(1)
        .map(|word| word.replace("%S", "/proc/nowhere").replace("%t", "/proc/nowhere").replace("%i", "name"))
        .collect();
    // The command fails because of the directory, in which root cannot create files either, not because of its arguments.
    let output = ministore(&words).run();
    assert!(output.code != Some(64) && output.stderr.contains("/proc/nowhere"), "{output:?}");
}

#[test]
fn unit_file_restarts_limits_and_documents() {
    let unit = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../packaging/ministore-serve@.service");
    let text = fs::read_to_string(unit).unwrap();
    let values = |key: &str| -> Vec<&str> {
        text.lines().filter_map(|line| line.strip_prefix(key)?.strip_prefix('=')).collect()
    };
    let section = |key: &str| {
        let at = text.find(&format!("\n{key}=")).unwrap();
        text[..at].rsplit("\n[").next().unwrap().split(']').next().unwrap().to_owned()
    };
    assert_eq!(
        (values("StartLimitIntervalSec"), section("StartLimitIntervalSec")),
        (vec!["0"], "Unit".to_owned())
    );
    assert_eq!(values("Restart"), ["on-failure"]);
    assert!(values("SuccessExitStatus").is_empty(), "a stopped service exits with 0");
    let pages = TestDir::new();
    ministore(["man".as_ref(), pages.root().as_os_str()]).run().ok();
    for page in values("Documentation")[0].split(' ') {
        let file = match page.split_once(':').unwrap() {
            ("man", page) => pages.path(&page.replace('(', ".").replace(')', "")),
            (_, path) => Path::new(env!("CARGO_MANIFEST_DIR"))
                .join("../..")
                .join(path.strip_prefix("///usr/share/doc/ministore/").unwrap()),
        };
        assert!(file.exists(), "{page}");
    }
    // The program knows and accepts the variables.
    let variables: Vec<_> = values("Environment").iter().map(|pair| pair.split_once('=').unwrap()).collect();
    assert!(variables.iter().any(|(name, _)| *name == "MINISTORE_MAX_TOTAL_BYTES"), "{text}");
    let help = ministore(["serve", "--help"]).run().ok().stdout;
    for (name, _) in &variables {
        assert!(help.contains(&format!("[env: {name}]")), "{name}");
    }
    let mut service = ServeProcess::start_with(TestDir::new(), &[], |command| {
        command.envs(variables.iter().copied());
    });
    service.stop("TERM").ok();
}
