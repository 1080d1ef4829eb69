//! Owns `ministore ingest --listen`: lines from many clients at once, until a signal.
//!
//! Every client has a task ([`client`]) on a few threads; each reads no more than the journal and the client itself keep
//! up with, within limits ([`limits`], [`args`]), so that none harms the others. What they share is in [`service`].
//! The protocol is in docs/ingest.md.

mod accept;
mod address;
mod args;
mod aside;
mod client;
mod counts;
mod ending;
mod fifo;
mod health;
mod hello;
mod limits;
mod lines;
mod report;
mod say;
mod scrape;
mod service;
mod sockets;
mod take;
mod tell;
mod token;

use std::{sync::Arc, thread, time::Instant};

use metrics_exporter_prometheus::PrometheusHandle;
use sd_notify::NotifyState;
use tokio::{
    runtime::{Builder, Runtime},
    signal::unix::{Signal, SignalKind, signal},
    task::JoinSet,
};

pub(in crate::ingest) use args::ServeArgs;

use super::{Args, start};
use crate::{
    exit::{Code, Failure, complain, warn},
    signals::Interrupts,
    store,
};
use address::Address;
use aside::Aside;
use ending::Ending;
use fifo::Fifo;
use health::Health;
use report::Report;
use scrape::Scrape;
use service::Service;
use sockets::Named;
use token::Allowed;

/// Threads for the clients: beside them are the journal's own two.
const THREADS_MAX: usize = 4;

pub(super) fn run(args: &Args) -> Result<Code, Failure> {
    let begun = Instant::now();
    let ending = Ending::new();
    let interrupts = Interrupts::listen({
        let ending = ending.clone();
        move || ending.begin()
    })?;
    let runtime = runtime()?;
    // Before the journal is opened, which may take long: it would end a program that does not listen for it.
    let hangup = runtime
        .block_on(async { signal(SignalKind::hangup()) })
        .map_err(|error| Failure::new(Code::Internal, format_args!("cannot listen for signals: {error}")))?;
    limits::raise_open_files(args.serve.max_clients);
    let allowed = Allowed::read(&args.serve)?;
    let aside = Aside::open(args.on_error.as_ref())?;
    let recorder = args.serve.metrics.map(|_| scrape::record()).transpose()?;
    let store = store::open(start::options(args), &args.journal)?;
    let start_seq = store.durable_seq() + 1;

    let service = Arc::new(Service::new(store.clone(), &args.serve, allowed, aside, ending));
    let served = runtime.block_on(serve(&args.serve, Arc::clone(&service), hangup, recorder));
    runtime.shutdown_background();
    let closed = store.blocking().close().map_err(|error| Failure::store(&args.journal, &error));
    let kept = service.aside.sync();
    // It has not begun.
    served?;

    let report = Report { service: &service, seconds: begun.elapsed().as_secs_f64(), start_seq };
    let told = if args.json { report.print_json() } else { report.print() };
    service.ending.failure().map_or(Ok(()), Err)?;
    closed.and(kept)?;
    complain("ministore: interrupted; what was acknowledged is durable");
    told.map(|()| interrupts.raised().unwrap_or(Code::Internal))
}

fn runtime() -> Result<Runtime, Failure> {
    let threads = thread::available_parallelism().map_or(1, |cpus| cpus.get().min(THREADS_MAX));
    let built =
        Builder::new_multi_thread().worker_threads(threads).thread_name("clients").enable_all().build();
    built.map_err(|error| Failure::new(Code::Temporary, format_args!("cannot start threads: {error}")))
}

/// Everything that clients come through.
#[derive(Debug, Default)]
struct Doors {
    tasks: JoinSet<()>,
}

impl Doors {
    async fn open(args: &ServeArgs, service: &Arc<Service>) -> Result<Self, Failure> {
        let mut doors = Self::default();
        for address in &args.listen {
            let service = Arc::clone(service);
            match address {
                Address::Unix(path) => {
                    let named = Named::bind(path, args.socket_mode)?;
                    doors.listening(&address.to_string());
                    doors.tasks.spawn(accept::unix(service, named, address.to_string()));
                }
                Address::Tcp(name) => {
                    for listener in sockets::tcp(name, args.allow_remote).await? {
                        let name = listener
                            .local_addr()
                            .map_or_else(|_| address.to_string(), |at| format!("tcp:{at}"));
                        doors.listening(&name);
                        doors.tasks.spawn(accept::tcp(Arc::clone(&service), listener, name));
                    }
                }
                Address::Fifo(path) => {
                    let fifo = Fifo::open(path, args.socket_mode)?;
                    doors.listening(&address.to_string());
                    doors.tasks.spawn(fifo.serve(service));
                }
            }
        }
        Ok(doors)
    }

    fn listening(&self, name: &str) {
        complain(&format!("ministore: listening on {name}"));
    }
}

/// From the first listener to the last answer.
async fn serve(
    args: &ServeArgs,
    service: Arc<Service>,
    hangup: Signal,
    recorder: Option<PrometheusHandle>,
) -> Result<(), Failure> {
    let mut beside = JoinSet::new();
    if let (Some(address), Some(recorder)) = (args.metrics, recorder) {
        let scrape = Scrape::bind(address, args.allow_remote, recorder).await?;
        complain(&format!("ministore: metrics at http://{}/metrics", scrape.address().unwrap_or(address)));
        beside.spawn(scrape.serve(Arc::clone(&service)));
    }
    let mut doors = Doors::open(args, &service).await?;
    if args.allow_remote && !service.allowed.asks_for_token() {
        warn("other machines may send without a token (--token-file)");
    }
    health::notify(&NotifyState::Ready);
    tokio::select! {
        () = service.ending.wait() => {}
        () = rotate_on(hangup, &service) => {}
        () = Health::watch(&service) => {}
        () = health::watchdog(&service) => {}
        failed = service.store.wait_durable(u64::MAX) => {
            if let Err(error) = failed {
                service.refused(&error);
            }
        }
    }
    health::notify(&NotifyState::Stopping);
    while doors.tasks.join_next().await.is_some() {}
    Ok(())
}

/// For as long as the service lives.
async fn rotate_on(mut hangup: Signal, service: &Service) {
    while hangup.recv().await.is_some() {
        match service.store.rotate().await {
            Ok(()) => tracing::info!("rotated"),
            Err(error) => {
                warn(format_args!("cannot rotate: {error}"));
                service.refused(&error);
            }
        }
    }
}
