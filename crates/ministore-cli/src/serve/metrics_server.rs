//! Implements `--metrics`: the counters in the Prometheus text format over HTTP.

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

use super::{metrics, service::Service, sockets};
use crate::exit::{CliError, ExitStatus};

/// At most this many connections; more wait to be accepted.
const MAX_CONNECTIONS: usize = 16;

/// A client that takes longer to send a request or to read the response is disconnected.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(10);

/// `/healthz` fails if records wait longer than this without progress.
const UNHEALTHY_AFTER: Duration = Duration::from_secs(10);

/// The interval at which the recorder is drained if no client reads the metrics.
const UPKEEP: Duration = Duration::from_secs(5);

/// Installs the recorder. It must be installed before the journal is opened, which registers its metrics then.
pub(super) fn record() -> Result<PrometheusHandle, CliError> {
    let recorder = PrometheusBuilder::new().install_recorder().map_err(|error| {
        CliError::new(ExitStatus::Internal, format_args!("cannot record metrics: {error}"))
    })?;
    metrics::describe();
    Ok(recorder)
}

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
        let readers = Arc::new(Semaphore::new(MAX_CONNECTIONS));
        let mut upkeep = interval(UPKEEP);
        loop {
            tokio::select! {
                _ = upkeep.tick() => self.recorder.run_upkeep(),
                (permit, accepted) = async { (Arc::clone(&readers).acquire_owned().await, self.listener.accept().await) } => {
                    let Ok((stream, _)) = accepted else {
                        sleep(Duration::from_millis(100)).await;
                        continue;
                    };
                    let (service, recorder) = (Arc::clone(&service), self.recorder.clone());
                    tokio::spawn(async move {
                        drop(timeout(2 * REQUEST_TIMEOUT, answer_all(stream, &service, &recorder)).await);
                        drop(permit);
                    });
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
            service.metrics.publish();
            (StatusCode::OK, recorder.render())
        }
        (&Method::GET | &Method::HEAD, "/healthz") => {
            let reason = if service.shutdown.is_triggered() {
                Some("shutting down")
            } else if !service.store.stats().poisoned && service.health.is_healthy(UNHEALTHY_AFTER) {
                None
            } else {
                Some("records wait and none becomes durable")
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
