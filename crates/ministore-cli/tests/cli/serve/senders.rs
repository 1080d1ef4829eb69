//! Third-party senders: rsyslog, nc, socat, Python. Missing ones are reported as skipped.

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use super::service::ServeProcess;
use crate::support::{CommandExt, TestDir, head, lines, skipped};

/// Finds a tool; reports a skipped test if it is not installed.
fn tool(name: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let dirs = std::env::split_paths(&path).chain(["/usr/sbin", "/sbin"].map(PathBuf::from));
    let found = dirs.map(|dir| dir.join(name)).find(|tool| tool.is_file());
    if found.is_none() {
        skipped(&format!("SKIPPED: sending with {name}: not installed"));
    }
    found
}

/// Sends the file `text` with a command and returns its standard output.
fn send(command: &mut Command, text: &Path) -> String {
    let text = fs::File::open(text).unwrap();
    let sent = command.stdin(text).stderr(Stdio::inherit()).output().unwrap();
    assert!(sent.status.success(), "{command:?}: {sent:?}");
    String::from_utf8(sent.stdout).unwrap()
}

#[test]
fn nc_sends_over_tcp_and_a_unix_socket() {
    let Some(nc) = tool("nc") else { return };
    let service = ServeProcess::start(&[]);
    let text = lines(2000);
    let file = service.dir.write("in.ndjson", &text);
    let (host, port) = service.tcp_address.split_once(':').unwrap();
    send(Command::new(&nc).args(["-N", host, port]), &file);
    service.dir.wait_for_durable(2000);
    let socket = service.dir.path("socket");
    let with_acks = service.dir.write("asking", "{\"ministore\":{\"ack\":\"record\"}}\n\"u\"\n");
    let responses = send(Command::new(&nc).arg("-N").arg("-U").arg(socket), &with_acks);
    assert_eq!(responses.lines().last().unwrap(), "{\"ok\":2001,\"line\":2}");
    assert_eq!(service.dir.replay(), text + "\"u\"\n");
}

#[test]
fn socat_sends_over_tcp_unix_socket_and_fifo() {
    let Some(socat) = tool("socat") else { return };
    let dir = TestDir::new();
    let fifo = dir.path("fifo");
    let service = ServeProcess::start_in(dir, &["--listen", &format!("fifo:{}", fifo.display())]);
    let text = lines(900);
    let parts = [head(&text, 300).to_owned(), head(&text, 600)[head(&text, 300).len()..].to_owned()];
    let rest = text[head(&text, 600).len()..].to_owned();
    let targets = [
        format!("TCP:{}", service.tcp_address),
        format!("UNIX-CONNECT:{}", service.dir.path("socket").display()),
        format!("PIPE:{},wronly", fifo.display()),
    ];
    for (n, (target, part)) in targets.iter().zip([&parts[0], &parts[1], &rest]).enumerate() {
        let file = service.dir.write("in.ndjson", part);
        send(Command::new(&socat).args(["-u", "STDIN", target]), &file);
        service.dir.wait_for_durable(300 * (n + 1));
    }
    assert_eq!(service.dir.replay(), text);
}

#[test]
fn python_client_receives_acknowledgements() {
    let Some(python) = tool("python3") else { return };
    let service = ServeProcess::start(&[]);
    let script = r#"
import json, socket, sys
host, port = sys.argv[1].rsplit(":", 1)
with socket.create_connection((host, int(port))) as s, s.makefile("rw", newline="\n") as f:
    def send(value):
        f.write(json.dumps(value) + "\n")
        f.flush()
    send({"ministore": {"ack": "record"}})
    assert "ok" in json.loads(f.readline())
    for n in range(1, 301):
        send({"n": n, "text": "ä"})
        response = json.loads(f.readline())
        assert response == {"ok": n, "line": n + 1}, response
print("300 acknowledged")
"#;
    let file = service.dir.write("client.py", script);
    let output = Command::new(python).arg(file).arg(&service.tcp_address).output().unwrap();
    assert_eq!(String::from_utf8_lossy(&output.stdout), "300 acknowledged\n", "{output:?}");
    let got = service.dir.command("get").arg("300").run().ok().stdout;
    assert_eq!(got, "{\"n\": 300, \"text\": \"\\u00e4\"}\n");
}

#[test]
fn quiet_python_logger_loses_no_record() {
    let Some(python) = tool("python3") else { return };
    // Shorter than the pause of the logger, which never tries again to send what it wrote into a closed connection.
    let service = ServeProcess::start(&["--idle-timeout", "300ms"]);
    let script = r#"
import json, logging, logging.handlers, sys, time

class Lines(logging.handlers.SocketHandler):
    def makePickle(self, record):
        return (json.dumps({"message": record.getMessage()}) + "\n").encode()

host, port = sys.argv[1].rsplit(":", 1)
logger = logging.getLogger()
logger.addHandler(Lines(host, int(port)))
for message in ["first", "second", "third"]:
    logger.error(message)
    time.sleep(0.9)
"#;
    let file = service.dir.write("logger.py", script);
    let output = Command::new(python).arg(file).arg(&service.tcp_address).output().unwrap();
    assert!(output.status.success(), "{output:?}");
    service.dir.wait_for_durable(3);
}

#[test]
fn rsyslog_forwards_its_messages() {
    const MESSAGES: usize = 500;
    let Some(rsyslogd) = tool("rsyslogd") else { return };
    let modules = ["/usr/lib", "/usr/lib64", "/lib"].map(PathBuf::from);
    if !modules.iter().any(|dir| has_module(dir, "imfile.so", 2)) {
        return skipped("SKIPPED: sending with rsyslog: it has no imfile");
    }
    let service = ServeProcess::start(&[]);
    let messages: String = (0..MESSAGES).map(|n| format!("message \"{n}\" of \\ several\n")).collect();
    let input = service.dir.write("messages.log", &messages);
    let (host, port) = service.tcp_address.split_once(':').unwrap();
    let work = service.dir.root().display();
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
    let config = service.dir.write("rsyslog.conf", config);
    let mut daemon = Command::new(rsyslogd)
        .arg("-n")
        .args(["-f", config.to_str().unwrap()])
        .args(["-i", service.dir.path("rsyslog.pid").to_str().unwrap()])
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let started = std::time::Instant::now();
    while service.dir.durable() < MESSAGES && started.elapsed().as_secs() < 60 {
        if daemon.try_wait().unwrap().is_some() {
            break;
        }
        std::thread::sleep(std::time::Duration::from_millis(20));
    }
    drop(daemon.kill());
    let output = daemon.wait_with_output().unwrap();
    let replayed = service.dir.replay();
    let received: Vec<String> = replayed
        .lines()
        .map(|line| {
            serde_json::from_str::<serde_json::Value>(line).unwrap()["message"].as_str().unwrap().to_owned()
        })
        .collect();
    let expected: Vec<&str> = messages.lines().collect();
    assert_eq!(received, expected, "{}", String::from_utf8_lossy(&output.stderr));
}

fn has_module(dir: &Path, name: &str, depth: u32) -> bool {
    let Ok(entries) = fs::read_dir(dir) else { return false };
    entries.flatten().any(|entry| {
        let path = entry.path();
        (entry.file_name() == name && path.parent().is_some_and(|parent| parent.ends_with("rsyslog")))
            || (depth > 0 && path.is_dir() && !path.is_symlink() && has_module(&path, name, depth - 1))
    })
}
