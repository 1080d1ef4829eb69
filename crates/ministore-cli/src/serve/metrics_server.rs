//! Implements `--metrics`: the counters in the Prometheus text format over HTTP.

use std::{collections::VecDeque, convert::Infallible, net::SocketAddr, sync::Arc, time::Duration};

use http_body_util::Full;
use hyper::{
    Method, Request, Response, StatusCode,
    body::{Bytes, Incoming},
    header::CONTENT_TYPE,
    server::conn::http1,
    service::service_fn,
};
use hyper_util::rt::{TokioIo, TokioTimer};
use metrics_exporter_prometheus::PrometheusHandle;
use tokio::{
    net::{TcpListener, TcpStream},
    task::AbortHandle,
    time::{interval, sleep, timeout},
};

use super::{exposition, metrics::RefuseReason, service::Service, sockets};
use crate::exit::CliError;

/// At most this many connections. A new one replaces the oldest, which has sent no request by then or does not read its
/// response: clients that are silent must not delay others.
const MAX_CONNECTIONS: usize = 64;

/// A client that takes longer to send a request or to read the response is disconnected.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(10);

/// `/healthz` fails if records wait longer than this without progress.
const UNHEALTHY_AFTER: Duration = Duration::from_secs(10);

/// The interval at which the recorder is drained if no client reads the metrics.
const UPKEEP: Duration = Duration::from_secs(5);

/// The HTTP server.
#[derive(Debug)]
pub(super) struct MetricsServer {
    listener: TcpListener,
    recorder: PrometheusHandle,
}

impl MetricsServer {
    pub(super) async fn bind(
        address: SocketAddr,
        allow_remote: bool,
        recorder: PrometheusHandle,
    ) -> Result<Self, CliError> {
        sockets::check_remote(address, allow_remote)?;
        let listener = TcpListener::bind(address)
            .await
            .map_err(|error| sockets::cannot_listen(&format!("http://{address}"), &error))?;
        Ok(Self { listener, recorder })
    }

    pub(super) fn address(&self) -> Option<SocketAddr> {
        self.listener.local_addr().ok()
    }

    /// Runs as long as the service.
    pub(super) async fn serve(self, service: Arc<Service>) {
        let mut connections: VecDeque<AbortHandle> = VecDeque::new();
        let mut upkeep = interval(UPKEEP);
        loop {
            tokio::select! {
                _ = upkeep.tick() => self.recorder.run_upkeep(),
                accepted = self.listener.accept() => {
                    let Ok((stream, _)) = accepted else {
                        sleep(Duration::from_millis(100)).await;
                        continue;
                    };
                    connections.retain(|connection| !connection.is_finished());
                    if connections.len() >= MAX_CONNECTIONS && let Some(oldest) = connections.pop_front() {
                        oldest.abort();
                    }
                    let (service, recorder) = (Arc::clone(&service), self.recorder.clone());
                    let connection = tokio::spawn(async move {
                        drop(timeout(2 * REQUEST_TIMEOUT, answer_all(stream, &service, &recorder)).await);
                    });
                    connections.push_back(connection.abort_handle());
                }
            }
        }
    }
}

/// Serves the requests of one connection.
async fn answer_all(stream: TcpStream, service: &Service, recorder: &PrometheusHandle) {
    let answer = service_fn(|request: Request<Incoming>| async move {
        Ok::<_, Infallible>(answer(&request, service, recorder))
    });
    let mut http = http1::Builder::new();
    http.timer(TokioTimer::new()).header_read_timeout(REQUEST_TIMEOUT).keep_alive(false);
    if let Err(error) = http.serve_connection(TokioIo::new(stream), answer).await {
        tracing::info!("metrics connection failed: {error}");
    }
}

fn answer(
    request: &Request<Incoming>,
    service: &Service,
    recorder: &PrometheusHandle,
) -> Response<Full<Bytes>> {
    let (status, text) = match (request.method(), request.uri().path()) {
        (&Method::GET | &Method::HEAD, "/metrics") => {
            exposition::publish(service);
            (StatusCode::OK, recorder.render())
        }
        (&Method::GET | &Method::HEAD, "/healthz") => {
            let reason = unhealthy(service);
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

/// Returns why the service cannot make records durable at present.
fn unhealthy(service: &Service) -> Option<&'static str> {
    if service.shutdown.is_triggered() {
        return Some("shutting down");
    }
    if service.store.stats().poisoned {
        return Some("a write or sync failed");
    }
    if !service.health.is_healthy(UNHEALTHY_AFTER) {
        return Some("records wait and none becomes durable");
    }
    service.metrics.last_append_refused().map(|reason| match reason {
        RefuseReason::StorageFull => "the last append was refused: disk full",
        _ => "the last append was refused",
    })
}
