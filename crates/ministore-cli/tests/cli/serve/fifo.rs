//! FIFOs with changing writers.

use std::{
    fs::{self, OpenOptions},
    io::Write,
    os::unix::fs::{FileTypeExt, PermissionsExt},
    path::Path,
};

use serde_json::json;

use super::service::ServeProcess;
use crate::support::{CommandExt, TestDir, kill, lines};

fn start(args: &[&str]) -> ServeProcess {
    let dir = TestDir::new();
    let listen = format!("fifo:{}", dir.path("fifo").display());
    let args = [&["--listen", &listen][..], args].concat();
    let mut service = ServeProcess::start_in(dir, &args);
    service.wait_for_log("listening on fifo:");
    service
}

fn write(fifo: &Path, text: &str) {
    OpenOptions::new().write(true).open(fifo).unwrap().write_all(text.as_bytes()).unwrap();
}

#[test]
fn missing_fifo_is_created_and_survives_writers() {
    let mut service = start(&[]);
    let fifo = service.dir.path("fifo");
    let metadata = fs::metadata(&fifo).unwrap();
    assert!(metadata.file_type().is_fifo() && metadata.permissions().mode() & 0o777 == 0o600);
    let text = lines(600);
    let all: Vec<&str> = text.lines().collect();
    for part in all.chunks(20) {
        write(&fifo, &(part.join("\n") + "\n"));
    }
    service.dir.wait_for_durable(600);
    // A FIFO has no handshake: a line that looks like one is a record.
    write(&fifo, "{\"ministore\":{\"ack\":\"record\"}}\n");
    service.dir.wait_for_durable(601);
    service.stop("TERM").ok();
    assert_eq!(service.dir.replay(), text + "{\"ministore\":{\"ack\":\"record\"}}\n");
    assert!(fifo.exists(), "the FIFO is kept for later writers");
}

#[test]
fn concurrent_fifo_writers_keep_lines_whole() {
    let service = start(&[]);
    let fifo = service.dir.path("fifo");
    std::thread::scope(|scope| {
        for writer in 0..4 {
            let fifo = &fifo;
            scope.spawn(move || {
                let mut file = OpenOptions::new().write(true).open(fifo).unwrap();
                for n in 0..500 {
                    file.write_all(format!("{{\"writer\":{writer},\"n\":{n}}}\n").as_bytes()).unwrap();
                }
            });
        }
    });
    service.dir.wait_for_durable(2000);
    let replayed = service.dir.replay();
    for writer in 0..4 {
        let found: Vec<_> =
            replayed.lines().filter(|line| line.starts_with(&format!("{{\"writer\":{writer},"))).collect();
        let expected: Vec<_> = (0..500).map(|n| format!("{{\"writer\":{writer},\"n\":{n}}}")).collect();
        assert_eq!(found, expected);
    }
}

#[test]
fn bad_fifo_line_is_skipped_and_reported() {
    let mut service = start(&[]);
    let fifo = service.dir.path("fifo");
    write(&fifo, "1\nnot JSON\n2\n{\"half\":");
    service.wait_for_log(":2:2: ");
    service.wait_for_log("incomplete line");
    write(&fifo, "3\n");
    service.dir.wait_for_durable(3);
    let summary = service.stop("TERM").ok().json();
    assert_eq!((&summary["skipped"], &summary["bad_lines"]), (&json!(2), &json!(2)));
    assert_eq!(service.dir.replay(), "1\n2\n3\n");
}

#[test]
fn shutdown_reads_buffered_fifo_data() {
    let mut service = start(&[]);
    let mut writer = OpenOptions::new().write(true).open(service.dir.path("fifo")).unwrap();
    writer.write_all(b"0\n").unwrap();
    service.dir.wait_for_durable(1);
    let text = lines(200);
    kill(service.child(), "STOP");
    writer.write_all(text.as_bytes()).unwrap();
    kill(service.child(), "TERM");
    service.stop("CONT").ok();
    assert_eq!(service.dir.replay(), "0\n".to_owned() + &text);
    drop(writer);
}

#[test]
fn plain_path_is_used_only_if_a_fifo_exists() {
    let dir = TestDir::new();
    let fifo = dir.path("fifo");
    assert!(std::process::Command::new("mkfifo").arg(&fifo).status().unwrap().success());
    let service = ServeProcess::start_in(dir, &["--listen", fifo.to_str().unwrap()]);
    write(&fifo, "1\n");
    service.dir.wait_for_durable(1);
    let dir = TestDir::new();
    let file = dir.write("file", "precious");
    dir.serve().args(["--listen", &format!("fifo:{}", file.display())]).run().code(73);
    assert_eq!(fs::read(file).unwrap(), b"precious");
}
