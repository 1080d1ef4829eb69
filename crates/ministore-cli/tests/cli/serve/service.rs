//! A running service, and clients that connect to it.

use std::{
    io::{BufRead, BufReader, Read, Write},
    net::{Shutdown, TcpStream},
    os::{
        fd::{AsFd, BorrowedFd},
        unix::net::UnixStream,
    },
    process::{Child, Command, Stdio},
    thread,
    time::{Duration, Instant},
};

use crossbeam_channel::{Receiver, unbounded};
use serde_json::{Value, json};

use crate::support::{ProgramOutput, TIMEOUT, TestDir, kill};

/// A process that runs `ministore serve`; killed on drop.
pub(crate) struct ServeProcess {
    pub(crate) dir: TestDir,
    process: Option<Child>,
    /// Its standard error, sent by a reading thread.
    stderr_lines: Receiver<String>,
    log: Vec<String>,
    /// `host:port` of the TCP listener and of the metrics.
    pub(crate) tcp_address: String,
    pub(crate) metrics_address: String,
}

impl ServeProcess {
    /// Starts it with a Unix socket, a TCP listener and these arguments.
    pub(crate) fn start(args: &[&str]) -> Self {
        Self::start_in(TestDir::new(), args)
    }

    pub(crate) fn start_in(dir: TestDir, args: &[&str]) -> Self {
        Self::start_with(dir, args, |_| {})
    }

    pub(crate) fn start_with(dir: TestDir, args: &[&str], prepare: impl FnOnce(&mut Command)) -> Self {
        let mut command = dir.serve();
        let socket = format!("unix:{}", dir.path("socket").display());
        command.args(["--json", "--listen", &socket, "--listen", "tcp:127.0.0.1:0"]).args(args);
        prepare(&mut command);
        let mut service = Self::spawn_command(dir, &mut command);
        service.tcp_address =
            service.wait_for_log("listening on tcp:").rsplit_once("tcp:").unwrap().1.to_owned();
        service
    }

    /// Starts any command line that serves.
    pub(crate) fn spawn_command(dir: TestDir, command: &mut Command) -> Self {
        let mut child =
            command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let stderr = BufReader::new(child.stderr.take().unwrap());
        let (sender, stderr_lines) = unbounded();
        thread::spawn(move || stderr.lines().map_while(Result::ok).all(|line| sender.send(line).is_ok()));
        Self {
            dir,
            process: Some(child),
            stderr_lines,
            log: Vec::new(),
            tcp_address: String::new(),
            metrics_address: String::new(),
        }
    }

    /// Waits for a line on standard error that contains `what`, and returns it.
    #[track_caller]
    pub(crate) fn wait_for_log(&mut self, what: &str) -> String {
        if let Some(line) = self.log.iter().find(|line| line.contains(what)) {
            return line.clone();
        }
        let started = Instant::now();
        while started.elapsed() < TIMEOUT {
            let Ok(line) = self.stderr_lines.recv_timeout(TIMEOUT) else { break };
            if let Some((_, address)) = line.split_once("metrics at http://") {
                self.metrics_address = address.trim_end_matches("/metrics").to_owned();
            }
            self.log.push(line.clone());
            if line.contains(what) {
                return line;
            }
        }
        panic!("{what:?} was not logged, but: {:#?}", self.log);
    }

    pub(crate) fn child(&self) -> &Child {
        self.process.as_ref().unwrap()
    }

    pub(crate) fn connect_unix(&self) -> TestClient<UnixStream> {
        TestClient::new(UnixStream::connect(self.dir.path("socket")).unwrap())
    }

    pub(crate) fn connect_tcp(&self) -> TestClient<TcpStream> {
        TestClient::new(TcpStream::connect(&self.tcp_address).unwrap())
    }

    /// Sends a signal and waits for the exit.
    pub(crate) fn stop(&mut self, signal: &str) -> ProgramOutput {
        kill(self.child(), signal);
        self.wait()
    }

    pub(crate) fn wait(&mut self) -> ProgramOutput {
        let output = self.process.take().unwrap().wait_with_output().unwrap();
        self.log.extend(self.stderr_lines.iter());
        ProgramOutput { stderr: self.log.join("\n"), ..ProgramOutput::from(output) }
    }

    pub(crate) fn wait_for(&self, what: &str, mut is_done: impl FnMut() -> bool) {
        let started = Instant::now();
        while !is_done() {
            assert!(started.elapsed() < TIMEOUT, "{what}");
            thread::sleep(Duration::from_millis(5));
        }
    }

    /// Returns the peak memory of the process in KiB.
    pub(crate) fn peak_memory_kib(&self) -> u64 {
        crate::support::peak_memory_kib(self.child())
    }

    /// Sends a `GET` request to the metrics address. Returns the status and the body.
    pub(crate) fn get(&mut self, path: &str) -> (u16, String) {
        if self.metrics_address.is_empty() {
            self.wait_for_log("metrics at");
        }
        let mut stream = TcpStream::connect(&self.metrics_address).unwrap();
        write!(stream, "GET {path} HTTP/1.1\r\nHost: here\r\n\r\n").unwrap();
        let mut response = String::new();
        stream.read_to_string(&mut response).unwrap();
        let (head, body) = response.split_once("\r\n\r\n").unwrap();
        (head.split(' ').nth(1).unwrap().parse().unwrap(), body.to_owned())
    }

    /// Returns the value of a metric. `name` includes the labels.
    pub(crate) fn metric(&mut self, name: &str) -> f64 {
        let (status, body) = self.get("/metrics");
        assert_eq!(status, 200);
        let value = body.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
        value.unwrap_or_else(|| panic!("no {name} in {body}")).parse().unwrap()
    }

    /// Waits until a metric fulfils a condition.
    pub(crate) fn wait_for_metric(&mut self, name: &str, fulfils: impl Fn(f64) -> bool) {
        self.wait_for_sum(&[name], fulfils);
    }

    /// Waits until the sum of metrics fulfils a condition.
    pub(crate) fn wait_for_sum(&mut self, names: &[&str], fulfils: impl Fn(f64) -> bool) {
        let started = Instant::now();
        loop {
            let value = names.iter().map(|name| self.metric(name)).sum();
            if fulfils(value) {
                return;
            }
            assert!(started.elapsed() < TIMEOUT, "{names:?}: {value}");
            thread::sleep(Duration::from_millis(5));
        }
    }

    pub(crate) fn wait_for_count(&mut self, name: &str, count: f64) {
        self.wait_for_metric(name, |value| value == count);
    }
}

impl Drop for ServeProcess {
    fn drop(&mut self) {
        if let Some(child) = &mut self.process {
            drop(child.kill());
            drop(child.wait());
        }
    }
}

/// The common interface of Unix and TCP streams.
pub(crate) trait ClientSocket: Read + Write + Sized {
    fn duplicate(&self) -> Self;
    fn set_timeout(&self);
    fn shutdown_write(&self);
    fn descriptor(&self) -> BorrowedFd<'_>;
}

impl ClientSocket for UnixStream {
    fn duplicate(&self) -> Self {
        self.try_clone().unwrap()
    }
    fn set_timeout(&self) {
        self.set_read_timeout(Some(TIMEOUT)).unwrap();
    }
    fn shutdown_write(&self) {
        drop(self.shutdown(Shutdown::Write));
    }
    fn descriptor(&self) -> BorrowedFd<'_> {
        self.as_fd()
    }
}

impl ClientSocket for TcpStream {
    fn duplicate(&self) -> Self {
        self.try_clone().unwrap()
    }
    fn set_timeout(&self) {
        self.set_read_timeout(Some(TIMEOUT)).unwrap();
    }
    fn shutdown_write(&self) {
        drop(self.shutdown(Shutdown::Write));
    }
    fn descriptor(&self) -> BorrowedFd<'_> {
        self.as_fd()
    }
}

/// A connection to the service.
pub(crate) struct TestClient<S> {
    pub(crate) stream: S,
    responses: BufReader<S>,
}

impl<S: ClientSocket> TestClient<S> {
    pub(crate) fn new(stream: S) -> Self {
        stream.set_timeout();
        let responses = BufReader::new(stream.duplicate());
        Self { stream, responses }
    }

    /// Requests acknowledgements.
    #[track_caller]
    pub(crate) fn with_acks(self, ack: &str) -> Self {
        self.handshake(&json!({ "ministore": { "ack": ack } }))
    }

    #[track_caller]
    pub(crate) fn handshake(mut self, handshake: &Value) -> Self {
        self.send(format!("{handshake}\n"));
        let response = self.receive();
        assert!(response["ok"]["ack"].is_string(), "{response}");
        self
    }

    /// Sends bytes. Ignores errors: the service may have closed the connection.
    pub(crate) fn send(&mut self, text: impl AsRef<[u8]>) {
        drop(self.stream.write_all(text.as_ref()));
    }

    /// Waits for the next response.
    #[track_caller]
    pub(crate) fn receive(&mut self) -> Value {
        let mut line = String::new();
        self.responses.read_line(&mut line).unwrap();
        serde_json::from_str(&line).unwrap_or_else(|error| panic!("{line:?}: {error}"))
    }

    /// Returns all responses until the service closes or resets the connection.
    pub(crate) fn receive_all(&mut self) -> Vec<Value> {
        let lines = self.responses.by_ref().lines().map_while(Result::ok);
        lines.map(|line| serde_json::from_str(&line).unwrap()).collect()
    }

    /// Closes the sending side and returns everything that the service sends.
    pub(crate) fn finish_raw(mut self) -> String {
        self.stream.shutdown_write();
        self.receive_raw()
    }

    /// Returns everything that the service sends until it closes or resets the connection.
    pub(crate) fn receive_raw(&mut self) -> String {
        let mut text = String::new();
        // A reset ends the response, too.
        drop(self.responses.read_to_string(&mut text));
        text
    }

    /// Closes the sending side and returns all responses.
    pub(crate) fn finish(mut self) -> Vec<Value> {
        self.stream.shutdown_write();
        self.receive_all()
    }
}
