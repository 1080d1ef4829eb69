//! `ministore serve`: receives lines from many clients until a signal.
//!
//! Every client has a task ([`client`]) on a few threads. A task reads only as fast as the journal and the client keep up,
//! within limits ([`limits`], [`args`]), so that no client harms the others. The shared state is in [`service`]. The protocol
//! is described in docs/reference/serve.md.

mod address;
mod args;
mod auth;
mod bad_lines;
mod client;
mod client_reader;
mod client_writer;
mod exposition;
mod fifo;
mod free_bytes;
mod handshake;
mod health;
mod limits;
mod lines;
mod listener;
mod metrics;
mod metrics_server;
mod process;
mod protocol;
mod report;
mod response;
mod service;
mod shutdown;
mod sockets;
mod unread;

use std::{fs, sync::Arc, thread, time::Instant};

use metrics_exporter_prometheus::PrometheusHandle;
use sd_notify::NotifyState;
use tokio::{
    runtime::{Builder, Runtime},
    signal::unix::{Signal, SignalKind, signal},
    task::JoinSet,
};

pub(crate) use args::Args;

use crate::{
    exit::{CliError, ExitStatus, info, warn},
    ingest::{start, summary::RunOutcome},
    ownership::Ownership,
    signals::SignalHandler,
    store,
};
use address::Address;
use auth::AccessPolicy;
use bad_lines::BadLinePolicy;
use fifo::Fifo;
use health::Health;
use metrics_server::MetricsServer;
use service::Service;
use shutdown::Shutdown;
use sockets::UnixSocketGuard;

/// The number of the signal.
const SIGTERM: u8 = 15;

/// At most this many threads for clients; the journal has two of its own.
const THREADS_MAX: usize = 4;

pub(crate) fn run(args: &Args) -> Result<ExitStatus, CliError> {
    let begun = Instant::now();
    let shutdown = Shutdown::new();
    let signals = SignalHandler::listen({
        let shutdown = shutdown.clone();
        move || shutdown.trigger()
    })?;
    let runtime = runtime()?;
    // Before the journal is opened, which may take long: an unhandled SIGHUP would end the program.
    let hangup = runtime.block_on(async { signal(SignalKind::hangup()) }).map_err(|error| {
        CliError::new(ExitStatus::Internal, format_args!("cannot install signal handlers: {error}"))
    })?;
    limits::raise_open_files(args.max_clients);
    let allowed = AccessPolicy::read(args)?;
    let bad_lines = BadLinePolicy::open(args.on_error.as_ref(), ownership(args)?)?;
    let recorder = args.metrics.map(|_| exposition::install()).transpose()?;
    let options = start::options(&args.options).max_queue_bytes(args.max_queue_bytes);
    let store = store::open(options, &args.journal)?;
    let start_seq = store.durable_seq() + 1;

    let service = Arc::new(Service::new(store.clone(), args, allowed, bad_lines, shutdown));
    let served = runtime.block_on(serve(args, Arc::clone(&service), hangup, recorder));
    runtime.shutdown_background();
    let closed = store.blocking().close().map_err(|error| CliError::store(&args.journal, &error));
    let synced = service.bad_lines.sync();
    // The service did not start.
    served?;

    // SIGTERM is how a service is stopped: that is no failure.
    let signal = signals.received();
    let is_stopped = signal == Some(ExitStatus::Signal(SIGTERM)) && service.shutdown.is_clean();
    let failure = service.shutdown.take_failure();
    let outcome = match (closed.is_ok() && synced.is_ok() && failure.is_none(), is_stopped) {
        (false, _) => RunOutcome::Failed,
        (true, true) => RunOutcome::Complete,
        (true, false) => RunOutcome::Interrupted,
    };
    let summary = report::summary(&service, begun.elapsed().as_secs_f64(), start_seq, outcome);
    let printed = report::print(&service, &summary, args.json);
    failure.map_or(Ok(()), Err)?;
    closed.and(synced)?;
    if service.shutdown.is_clean() {
        info("stopped; acknowledged records are durable");
    }
    printed.map(|()| if is_stopped { ExitStatus::Ok } else { signal.unwrap_or(ExitStatus::Internal) })
}

/// Returns the files that must not be written, and checks the names of sockets and FIFOs, which are created.
fn ownership(args: &Args) -> Result<Ownership, CliError> {
    let mut ownership = Ownership::of_journal(&args.journal);
    if let Some(file) = &args.token_file
        && let Ok(found) = fs::metadata(file)
    {
        ownership.add_file(&found, format!("is the same file as the token file {}", file.display()));
    }
    for address in &args.listen {
        if let Address::Unix(path) | Address::Fifo(path) = address {
            ownership.check_name(path)?;
        }
    }
    Ok(ownership)
}

fn runtime() -> Result<Runtime, CliError> {
    let threads = thread::available_parallelism().map_or(1, |cpus| cpus.get().min(THREADS_MAX));
    let built = Builder::new_multi_thread()
        .worker_threads(threads)
        .thread_name("ministore-conn")
        .enable_all()
        .build();
    built.map_err(|error| CliError::new(ExitStatus::Temporary, format_args!("cannot start threads: {error}")))
}

/// Opens the listeners that clients connect to, and starts a task for each.
async fn listen(args: &Args, service: &Arc<Service>) -> Result<JoinSet<()>, CliError> {
    let mut tasks = JoinSet::new();
    let listening = |name: &str| info(format_args!("listening on {name}"));
    for address in &args.listen {
        let (service, name) = (Arc::clone(service), address.to_string());
        match address {
            Address::Unix(path) => {
                let socket = UnixSocketGuard::bind(path, args.socket_mode)?;
                listening(&name);
                tasks.spawn(listener::unix(service, socket, name));
            }
            Address::Tcp(host) => {
                for listener in sockets::tcp(host, args.allow_remote).await? {
                    let name = listener.local_addr().map_or_else(|_| name.clone(), |at| format!("tcp:{at}"));
                    listening(&name);
                    tasks.spawn(listener::tcp(Arc::clone(&service), listener, name));
                }
            }
            Address::Fifo(path) => {
                let fifo = Fifo::open(path, args.socket_mode)?;
                listening(&name);
                tasks.spawn(fifo.serve(service));
            }
        }
    }
    Ok(tasks)
}

/// Runs from the first listener to the last response.
async fn serve(
    args: &Args,
    service: Arc<Service>,
    hangup: Signal,
    recorder: Option<PrometheusHandle>,
) -> Result<(), CliError> {
    let mut background = JoinSet::new();
    if let (Some(address), Some(recorder)) = (args.metrics, recorder) {
        let metrics_server = MetricsServer::bind(address, args.allow_remote, recorder).await?;
        let at = metrics_server.address().unwrap_or(address);
        info(format_args!("metrics at http://{at}/metrics"));
        background.spawn(metrics_server.serve(Arc::clone(&service)));
    }
    let mut listeners = listen(args, &service).await?;
    if args.allow_remote && !service.allowed.requires_token() {
        warn("clients of other machines need no token (--token-file)");
    }
    health::notify(&NotifyState::Ready);
    tokio::select! {
        () = service.shutdown.wait() => {}
        () = reload_on(hangup, &service) => {}
        () = Health::run(&service) => {}
        () = health::watchdog(&service) => {}
        () = free_bytes::run(&service) => {}
        failed = service.store.wait_durable(u64::MAX) => {
            if let Err(error) = failed {
                service.on_append_error(&error);
            }
        }
    }
    health::notify(&NotifyState::Stopping);
    while listeners.join_next().await.is_some() {}
    Ok(())
}

/// Handles SIGHUP as long as the service runs.
async fn reload_on(mut hangup: Signal, service: &Service) {
    while hangup.recv().await.is_some() {
        if let Err(error) = service.allowed.reload() {
            warn(format_args!("cannot read the tokens again; the old ones stay valid: {}", error.message()));
        }
        if let Err(error) = service.bad_lines.reopen() {
            warn(format_args!("cannot open the quarantine file again: {}", error.message()));
        }
        match service.store.rotate().await {
            Ok(()) => info(
                "reloaded: started a new segment, read the tokens again, opened the quarantine file again",
            ),
            Err(error) => {
                warn(format_args!("cannot start a new segment: {error}"));
                service.on_append_error(&error);
            }
        }
    }
}
