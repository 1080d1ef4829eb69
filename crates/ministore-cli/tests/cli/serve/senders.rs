//! Real senders: rsyslog, nc, socat, Python. Where one is missing, that is said.

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use super::service::Service;
use crate::support::{Place, Run, head, lines, skipped};

/// Where a tool is; says what is not shown without it.
fn tool(name: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let places = std::env::split_paths(&path).chain(["/usr/sbin", "/sbin"].map(PathBuf::from));
    let found = places.map(|place| place.join(name)).find(|tool| tool.is_file());
    if found.is_none() {
        skipped(&format!("SKIPPED: sending with {name}: not installed"));
    }
    found
}

/// Sends `text` with a command, whose standard output is returned.
fn send(command: &mut Command, text: &Path) -> String {
    let text = fs::File::open(text).unwrap();
    let sent = command.stdin(text).stderr(Stdio::inherit()).output().unwrap();
    assert!(sent.status.success(), "{command:?}: {sent:?}");
    String::from_utf8(sent.stdout).unwrap()
}

#[test]
fn nc_sends_over_tcp_and_a_unix_socket() {
    let Some(nc) = tool("nc") else { return };
    let service = Service::start(&[]);
    let text = lines(2000);
    let file = service.place.write("in.ndjson", &text);
    let (host, port) = service.tcp.split_once(':').unwrap();
    send(Command::new(&nc).args(["-N", host, port]), &file);
    service.place.wait_for_durable(2000);
    let socket = service.place.path("socket");
    let asking = service.place.write("asking", "{\"ministore\":{\"ack\":\"record\"}}\n\"u\"\n");
    let told = send(Command::new(&nc).arg("-N").arg("-U").arg(socket), &asking);
    assert_eq!(told.lines().last().unwrap(), "{\"ok\":2001,\"line\":2}");
    assert_eq!(service.place.replay(), text + "\"u\"\n");
}

#[test]
fn socat_sends_over_tcp_a_unix_socket_and_a_fifo() {
    let Some(socat) = tool("socat") else { return };
    let place = Place::new();
    let fifo = place.path("fifo");
    let service = Service::start_in(place, &["--listen", &format!("fifo:{}", fifo.display())]);
    let text = lines(900);
    let parts = [head(&text, 300).to_owned(), head(&text, 600)[head(&text, 300).len()..].to_owned()];
    let rest = text[head(&text, 600).len()..].to_owned();
    let targets = [
        format!("TCP:{}", service.tcp),
        format!("UNIX-CONNECT:{}", service.place.path("socket").display()),
        format!("PIPE:{},wronly", fifo.display()),
    ];
    for (n, (target, part)) in targets.iter().zip([&parts[0], &parts[1], &rest]).enumerate() {
        let file = service.place.write("in.ndjson", part);
        send(Command::new(&socat).args(["-u", "STDIN", target]), &file);
        service.place.wait_for_durable(300 * (n + 1));
    }
    assert_eq!(service.place.replay(), text);
}

#[test]
fn a_python_client_sends_and_counts_its_acknowledgements() {
    let Some(python) = tool("python3") else { return };
    let service = Service::start(&[]);
    let script = r#"
import json, socket, sys
host, port = sys.argv[1].rsplit(":", 1)
with socket.create_connection((host, int(port))) as s, s.makefile("rw", newline="\n") as f:
    def say(value):
        f.write(json.dumps(value) + "\n")
        f.flush()
    say({"ministore": {"ack": "record"}})
    assert "ok" in json.loads(f.readline())
    for n in range(1, 301):
        say({"n": n, "text": "ä"})
        answer = json.loads(f.readline())
        assert answer == {"ok": n, "line": n + 1}, answer
print("300 acknowledged")
"#;
    let file = service.place.write("client.py", script);
    let ran = Command::new(python).arg(file).arg(&service.tcp).output().unwrap();
    assert_eq!(String::from_utf8_lossy(&ran.stdout), "300 acknowledged\n", "{ran:?}");
    let got = service.place.command("get").arg("300").run().ok().out;
    assert_eq!(got, "{\"n\": 300, \"text\": \"\\u00e4\"}\n");
}

#[test]
fn rsyslog_forwards_its_messages() {
    const MESSAGES: usize = 500;
    let Some(rsyslogd) = tool("rsyslogd") else { return };
    let modules = ["/usr/lib", "/usr/lib64", "/lib"].map(PathBuf::from);
    if !modules.iter().any(|place| has_module(place, "imfile.so", 2)) {
        return skipped("SKIPPED: sending with rsyslog: it has no imfile");
    }
    let service = Service::start(&[]);
    let messages: String = (0..MESSAGES).map(|n| format!("message \"{n}\" of \\ several\n")).collect();
    let input = service.place.write("messages.log", &messages);
    let (host, port) = service.tcp.split_once(':').unwrap();
    let work = service.place.dir.path().display();
    let config = format!(
        r#"
global(workDirectory="{work}" maxMessageSize="64k")
module(load="imfile")
template(name="line" type="string" string="{{\"time\":\"%timereported:::date-rfc3339%\",\"host\":\"%hostname:::json%\",\"message\":\"%msg:::json%\"}}\n")
input(type="imfile" file="{}" tag="test:")
action(type="omfwd" target="{host}" port="{port}" protocol="tcp" tcp_framing="traditional" template="line"
       action.resumeRetryCount="-1" queue.type="linkedList")
"#,
        input.display()
    );
    let config = service.place.write("rsyslog.conf", config);
    let mut daemon = Command::new(rsyslogd)
        .arg("-n")
        .args(["-f", config.to_str().unwrap()])
        .args(["-i", service.place.path("rsyslog.pid").to_str().unwrap()])
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let begun = std::time::Instant::now();
    while service.place.durable() < MESSAGES && begun.elapsed().as_secs() < 60 {
        if daemon.try_wait().unwrap().is_some() {
            break;
        }
        std::thread::sleep(std::time::Duration::from_millis(20));
    }
    drop(daemon.kill());
    let said = daemon.wait_with_output().unwrap();
    let replayed = service.place.replay();
    let forwarded: Vec<String> = replayed
        .lines()
        .map(|line| {
            serde_json::from_str::<serde_json::Value>(line).unwrap()["message"].as_str().unwrap().to_owned()
        })
        .collect();
    let expected: Vec<&str> = messages.lines().collect();
    assert_eq!(forwarded, expected, "{}", String::from_utf8_lossy(&said.stderr));
}

fn has_module(place: &Path, name: &str, depth: u32) -> bool {
    let Ok(entries) = fs::read_dir(place) else { return false };
    entries.flatten().any(|entry| {
        let path = entry.path();
        (entry.file_name() == name && path.parent().is_some_and(|parent| parent.ends_with("rsyslog")))
            || (depth > 0 && path.is_dir() && !path.is_symlink() && has_module(&path, name, depth - 1))
    })
}
