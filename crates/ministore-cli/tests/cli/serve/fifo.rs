//! A FIFO whose writers come and go.

use std::{
    fs::{self, OpenOptions},
    io::Write,
    os::unix::fs::{FileTypeExt, PermissionsExt},
    path::Path,
};

use serde_json::json;

use super::service::Service;
use crate::support::{Place, Run, kill, lines};

fn start(args: &[&str]) -> Service {
    let place = Place::new();
    let listen = format!("fifo:{}", place.path("fifo").display());
    let args = [&["--listen", &listen][..], args].concat();
    let mut service = Service::start_in(place, &args);
    service.wait_to_hear("listening on fifo:");
    service
}

fn write(fifo: &Path, text: &str) {
    OpenOptions::new().write(true).open(fifo).unwrap().write_all(text.as_bytes()).unwrap();
}

#[test]
fn missing_fifo_is_created_and_survives_writers() {
    let mut service = start(&[]);
    let fifo = service.place.path("fifo");
    let found = fs::metadata(&fifo).unwrap();
    assert!(found.file_type().is_fifo() && found.permissions().mode() & 0o777 == 0o600);
    let text = lines(600);
    let all: Vec<&str> = text.lines().collect();
    for part in all.chunks(20) {
        write(&fifo, &(part.join("\n") + "\n"));
    }
    service.place.wait_for_durable(600);
    // A line that only looks like a hello: nobody is there to be greeted.
    write(&fifo, "{\"ministore\":{\"ack\":\"record\"}}\n");
    service.place.wait_for_durable(601);
    service.end("TERM").code(143);
    assert_eq!(service.place.replay(), text + "{\"ministore\":{\"ack\":\"record\"}}\n");
    assert!(fifo.exists(), "a writer that comes later waits for the next start");
}

#[test]
fn concurrent_fifo_writers_keep_lines_whole() {
    let service = start(&[]);
    let fifo = service.place.path("fifo");
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
    service.place.wait_for_durable(2000);
    let replayed = service.place.replay();
    for writer in 0..4 {
        let of_writer: Vec<_> =
            replayed.lines().filter(|line| line.starts_with(&format!("{{\"writer\":{writer},"))).collect();
        let expected: Vec<_> = (0..500).map(|n| format!("{{\"writer\":{writer},\"n\":{n}}}")).collect();
        assert_eq!(of_writer, expected);
    }
}

#[test]
fn bad_fifo_line_is_skipped_and_reported() {
    let mut service = start(&[]);
    let fifo = service.place.path("fifo");
    write(&fifo, "1\nnot JSON\n2\n{\"half\":");
    service.wait_to_hear(":2:2: ");
    service.wait_to_hear("incomplete line");
    write(&fifo, "3\n");
    service.place.wait_for_durable(3);
    let told = service.end("TERM").code(143).json();
    assert_eq!((&told["skipped"], &told["bad_lines"]), (&json!(2), &json!(2)));
    assert_eq!(service.place.replay(), "1\n2\n3\n");
}

#[test]
fn what_a_fifo_holds_when_the_signal_comes_is_read() {
    let mut service = start(&[]);
    let mut writer = OpenOptions::new().write(true).open(service.place.path("fifo")).unwrap();
    writer.write_all(b"0\n").unwrap();
    service.place.wait_for_durable(1);
    let text = lines(200);
    kill(service.id(), "STOP");
    writer.write_all(text.as_bytes()).unwrap();
    kill(service.id(), "TERM");
    service.end("CONT").code(143);
    assert_eq!(service.place.replay(), "0\n".to_owned() + &text);
    drop(writer);
}

#[test]
fn a_plain_path_is_a_fifo_where_one_is_and_no_other_file_becomes_one() {
    let place = Place::new();
    let fifo = place.path("fifo");
    assert!(std::process::Command::new("mkfifo").arg(&fifo).status().unwrap().success());
    let service = Service::start_in(place, &["--listen", fifo.to_str().unwrap()]);
    write(&fifo, "1\n");
    service.place.wait_for_durable(1);
    let place = Place::new();
    let file = place.write("file", "precious");
    place.serve().args(["--listen", &format!("fifo:{}", file.display())]).run().code(73);
    assert_eq!(fs::read(file).unwrap(), b"precious");
}
