//! Owns `--metrics`: what the service counts, over HTTP, in the text format of Prometheus.

use std::{convert::Infallible, net::SocketAddr, sync::Arc, time::Duration};

use http_body_util::Full;
use hyper::{
    Method, Request, Response, StatusCode,
    body::{Bytes, Incoming},
    header::CONTENT_TYPE,
    server::conn::http1,
    service::service_fn,
};
use hyper_util::rt::{TokioIo, TokioTimer};
use metrics_exporter_prometheus::{PrometheusBuilder, PrometheusHandle};
use tokio::{
    net::{TcpListener, TcpStream},
    sync::Semaphore,
    time::{interval, sleep, timeout},
};

use super::{counts, service::Service, sockets};
use crate::exit::{Code, Failure};

/// Readers at a time; more wait to be accepted.
const READERS: usize = 16;

/// A reader that takes longer for a request, or to read its answer, is disconnected.
const PATIENCE: Duration = Duration::from_secs(10);

/// Records that wait for so long and do not become durable are no sign of health.
const STUCK: Duration = Duration::from_secs(10);

/// How often what was measured is taken out of the way, where nobody reads it.
const UPKEEP: Duration = Duration::from_secs(5);

/// Counts from here on. Before the journal is opened: it registers its metrics with the recorder that is there by then.
pub(super) fn record() -> Result<PrometheusHandle, Failure> {
    let recorder = PrometheusBuilder::new()
        .install_recorder()
        .map_err(|error| Failure::new(Code::Internal, format_args!("cannot record metrics: {error}")))?;
    counts::describe();
    Ok(recorder)
}

/// Where they are read.
#[derive(Debug)]
pub(super) struct Scrape {
    listener: TcpListener,
    recorder: PrometheusHandle,
}

impl Scrape {
    pub(super) async fn bind(
        address: SocketAddr,
        allow_remote: bool,
        recorder: PrometheusHandle,
    ) -> Result<Self, Failure> {
        sockets::check_remote(address, allow_remote)?;
        let listener = TcpListener::bind(address)
            .await
            .map_err(|error| sockets::cannot_listen(&format!("http://{address}"), &error))?;
        Ok(Self { listener, recorder })
    }

    pub(super) fn address(&self) -> Option<SocketAddr> {
        self.listener.local_addr().ok()
    }

    /// For as long as the service lives.
    pub(super) async fn serve(self, service: Arc<Service>) {
        let readers = Arc::new(Semaphore::new(READERS));
        let mut upkeep = interval(UPKEEP);
        loop {
            tokio::select! {
                _ = upkeep.tick() => self.recorder.run_upkeep(),
                (room, accepted) = async { (Arc::clone(&readers).acquire_owned().await, self.listener.accept().await) } => {
                    let Ok((stream, _)) = accepted else {
                        sleep(Duration::from_millis(100)).await;
                        continue;
                    };
                    let (service, recorder) = (Arc::clone(&service), self.recorder.clone());
                    tokio::spawn(async move {
                        drop(timeout(2 * PATIENCE, answer_all(stream, &service, &recorder)).await);
                        drop(room);
                    });
                }
            }
        }
    }
}

/// The requests of one connection.
async fn answer_all(stream: TcpStream, service: &Service, recorder: &PrometheusHandle) {
    let answer = service_fn(|request: Request<Incoming>| async move {
        Ok::<_, Infallible>(answer(&request, service, recorder))
    });
    let mut http = http1::Builder::new();
    http.timer(TokioTimer::new()).header_read_timeout(PATIENCE).keep_alive(false);
    if let Err(error) = http.serve_connection(TokioIo::new(stream), answer).await {
        tracing::info!("a reader of metrics: {error}");
    }
}

fn answer(
    request: &Request<Incoming>,
    service: &Service,
    recorder: &PrometheusHandle,
) -> Response<Full<Bytes>> {
    let (status, text) = match (request.method(), request.uri().path()) {
        (&Method::GET | &Method::HEAD, "/metrics") => {
            service.counts.publish();
            (StatusCode::OK, recorder.render())
        }
        (&Method::GET | &Method::HEAD, "/healthz") => {
            let reason = if service.ending.has_begun() {
                Some("ending")
            } else if !service.store.stats().poisoned && service.health.is_good(STUCK) {
                None
            } else {
                Some("no record becomes durable")
            };
            let status = if reason.is_none() { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
            (status, format!("{}\n", reason.unwrap_or("ok")))
        }
        (&Method::GET | &Method::HEAD, _) => (StatusCode::NOT_FOUND, "/metrics or /healthz\n".to_owned()),
        _ => (StatusCode::METHOD_NOT_ALLOWED, "GET\n".to_owned()),
    };
    let mut response = Response::new(Full::new(Bytes::from(text)));
    *response.status_mut() = status;
    let kind = hyper::header::HeaderValue::from_static("text/plain; version=0.0.4; charset=utf-8");
    response.headers_mut().insert(CONTENT_TYPE, kind);
    response
}
