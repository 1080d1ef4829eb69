//! Owns a service that runs, and clients that speak to it.

use std::{
    fs,
    io::{BufRead, BufReader, Read, Write},
    net::{Shutdown, TcpStream},
    os::unix::net::UnixStream,
    process::{Child, Command, Stdio},
    thread,
    time::{Duration, Instant},
};

use crossbeam_channel::{Receiver, unbounded};
use serde_json::{Value, json};

use crate::support::{PATIENCE, Place, Ran, kill};

/// The program, listening.
pub(crate) struct Service {
    pub(crate) place: Place,
    pub(crate) child: Option<Child>,
    /// What it says on standard error.
    lines: Receiver<String>,
    said: Vec<String>,
    /// `host:port` of its TCP socket and of its metrics.
    pub(crate) tcp: String,
    pub(crate) metrics: String,
}

impl Service {
    /// On a Unix socket and on TCP, with more arguments.
    pub(crate) fn start(args: &[&str]) -> Self {
        Self::start_in(Place::new(), args)
    }

    pub(crate) fn start_in(place: Place, args: &[&str]) -> Self {
        Self::spawn(place, args, |_| {})
    }

    pub(crate) fn spawn(place: Place, args: &[&str], prepare: impl FnOnce(&mut Command)) -> Self {
        let mut command = place.serve();
        let socket = format!("unix:{}", place.path("socket").display());
        command.args(["--json", "--listen", &socket, "--listen", "tcp:127.0.0.1:0"]).args(args);
        prepare(&mut command);
        let mut service = Self::of(place, &mut command);
        service.tcp = service.wait_to_hear("listening on tcp:").rsplit_once("tcp:").unwrap().1.to_owned();
        service
    }

    /// Any command line that begins to serve.
    pub(crate) fn of(place: Place, command: &mut Command) -> Self {
        let mut child =
            command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let stderr = BufReader::new(child.stderr.take().unwrap());
        let (sender, lines) = unbounded();
        thread::spawn(move || stderr.lines().map_while(Result::ok).all(|line| sender.send(line).is_ok()));
        Self {
            place,
            child: Some(child),
            lines,
            said: Vec::new(),
            tcp: String::new(),
            metrics: String::new(),
        }
    }

    /// Waits until it says so on standard error; the whole line.
    #[track_caller]
    pub(crate) fn wait_to_hear(&mut self, what: &str) -> String {
        if let Some(line) = self.said.iter().find(|line| line.contains(what)) {
            return line.clone();
        }
        let begun = Instant::now();
        while begun.elapsed() < PATIENCE {
            let Ok(line) = self.lines.recv_timeout(PATIENCE) else { break };
            if let Some((_, address)) = line.split_once("metrics at http://") {
                self.metrics = address.trim_end_matches("/metrics").to_owned();
            }
            self.said.push(line.clone());
            if line.contains(what) {
                return line;
            }
        }
        panic!("it never said {what:?}, but: {:#?}", self.said);
    }

    pub(crate) fn id(&self) -> &Child {
        self.child.as_ref().unwrap()
    }

    pub(crate) fn unix(&self) -> Client<UnixStream> {
        Client::new(UnixStream::connect(self.place.path("socket")).unwrap())
    }

    pub(crate) fn tcp(&self) -> Client<TcpStream> {
        Client::new(TcpStream::connect(&self.tcp).unwrap())
    }

    /// Ends it by a signal, and waits for the end.
    pub(crate) fn end(&mut self, signal: &str) -> Ran {
        kill(self.id(), signal);
        self.wait()
    }

    pub(crate) fn wait(&mut self) -> Ran {
        let output = self.child.take().unwrap().wait_with_output().unwrap();
        self.said.extend(self.lines.iter());
        Ran { err: self.said.join("\n"), ..Ran::from(output) }
    }

    pub(crate) fn wait_for(&self, what: &str, mut there: impl FnMut() -> bool) {
        let begun = Instant::now();
        while !there() {
            assert!(begun.elapsed() < PATIENCE, "{what}");
            thread::sleep(Duration::from_millis(5));
        }
    }

    /// The most memory it has had, in KiB.
    pub(crate) fn peak_memory_kib(&self) -> u64 {
        let status = fs::read_to_string(format!("/proc/{}/status", self.id().id())).unwrap();
        let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
        line.trim().trim_end_matches(" kB").parse().unwrap()
    }

    /// `GET` of its metrics address: the status, and the body.
    pub(crate) fn get(&mut self, path: &str) -> (u16, String) {
        if self.metrics.is_empty() {
            self.wait_to_hear("metrics at");
        }
        let mut stream = TcpStream::connect(&self.metrics).unwrap();
        write!(stream, "GET {path} HTTP/1.1\r\nHost: here\r\n\r\n").unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        let (head, body) = answer.split_once("\r\n\r\n").unwrap();
        (head.split(' ').nth(1).unwrap().parse().unwrap(), body.to_owned())
    }

    /// The value of a metric, with its labels as they are shown.
    pub(crate) fn metric(&mut self, name: &str) -> f64 {
        let (status, body) = self.get("/metrics");
        assert_eq!(status, 200);
        let value = body.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
        value.unwrap_or_else(|| panic!("no {name} in {body}")).parse().unwrap()
    }
}

impl Drop for Service {
    fn drop(&mut self) {
        if let Some(child) = &mut self.child {
            drop(child.kill());
            drop(child.wait());
        }
    }
}

/// What the two kinds of streams have in common.
pub(crate) trait Stream: Read + Write + Sized {
    fn twin(&self) -> Self;
    fn patient(&self);
    fn end_of_writing(&self);
}

impl Stream for UnixStream {
    fn twin(&self) -> Self {
        self.try_clone().unwrap()
    }
    fn patient(&self) {
        self.set_read_timeout(Some(PATIENCE)).unwrap();
    }
    fn end_of_writing(&self) {
        drop(self.shutdown(Shutdown::Write));
    }
}

impl Stream for TcpStream {
    fn twin(&self) -> Self {
        self.try_clone().unwrap()
    }
    fn patient(&self) {
        self.set_read_timeout(Some(PATIENCE)).unwrap();
    }
    fn end_of_writing(&self) {
        drop(self.shutdown(Shutdown::Write));
    }
}

/// A connection.
pub(crate) struct Client<S> {
    pub(crate) stream: S,
    answers: BufReader<S>,
}

impl<S: Stream> Client<S> {
    pub(crate) fn new(stream: S) -> Self {
        stream.patient();
        let answers = BufReader::new(stream.twin());
        Self { stream, answers }
    }

    /// Asks for acknowledgements, and is welcome.
    #[track_caller]
    pub(crate) fn asks(self, ack: &str) -> Self {
        self.says(&json!({ "ministore": { "ack": ack } }))
    }

    #[track_caller]
    pub(crate) fn says(mut self, hello: &Value) -> Self {
        self.send(format!("{hello}\n"));
        let answer = self.hear();
        assert!(answer["ok"]["ack"].is_string(), "{answer}");
        self
    }

    /// The service may have stopped reading.
    pub(crate) fn send(&mut self, text: impl AsRef<[u8]>) {
        drop(self.stream.write_all(text.as_ref()));
    }

    /// The next answer.
    #[track_caller]
    pub(crate) fn hear(&mut self) -> Value {
        let mut line = String::new();
        self.answers.read_line(&mut line).unwrap();
        serde_json::from_str(&line).unwrap_or_else(|error| panic!("{line:?}: {error}"))
    }

    /// All answers until the service closes the connection. A reset ends them, too.
    pub(crate) fn hear_all(&mut self) -> Vec<Value> {
        let lines = self.answers.by_ref().lines().map_while(Result::ok);
        lines.map(|line| serde_json::from_str(&line).unwrap()).collect()
    }

    /// Nothing more will be sent; all answers.
    pub(crate) fn finish(mut self) -> Vec<Value> {
        self.stream.end_of_writing();
        self.hear_all()
    }
}
