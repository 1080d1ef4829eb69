//! Accepts the clients of one listener.

use std::{io, os::fd::AsFd, sync::Arc, time::Duration};

use rustix::net::sockopt;
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::{TcpListener, TcpStream, UnixStream},
    sync::{OwnedSemaphorePermit, Semaphore},
    task::JoinSet,
    time::{Instant, sleep, timeout, timeout_at},
};

use super::{
    client::{self, PeerInfo},
    limits::{
        DRAIN_IDLE_TIMEOUT, DRAIN_TIMEOUT, KEEPALIVE_IDLE, KEEPALIVE_INTERVAL, KEEPALIVE_PROBES,
        LINGER_TIMEOUT, MAX_LINGERING_REJECTS,
    },
    metrics::{DisconnectReason, RefuseReason},
    response,
    service::Service,
    sockets::UnixSocketGuard,
    unread::UnreadLines,
};

/// The delay after accepting failed (too many open files).
const ACCEPT_RETRY_DELAY: Duration = Duration::from_millis(100);

/// One listener and the tasks of its clients.
#[derive(Debug)]
struct Acceptor {
    service: Arc<Service>,
    tasks: JoinSet<()>,
    lingering: Arc<Semaphore>,
    /// During shutdown: until when clients that have already connected are accepted.
    late_until: Option<Instant>,
}

/// Runs until the service shuts down and its clients have their responses.
pub(super) async fn unix(service: Arc<Service>, socket: UnixSocketGuard, name: String) {
    let mut clients = Acceptor::new(service);
    while let Some(accepted) = clients.next(socket.listener.accept()).await {
        let Some((stream, _)) = clients.accepted(&name, accepted).await else { continue };
        let peer = stream.peer_cred();
        let process = peer.as_ref().map_or_else(
            |_| String::new(),
            |peer| format!(" (uid {}, pid {})", peer.uid(), peer.pid().unwrap_or(0)),
        );
        let info = PeerInfo { name: format!("{name}{process}"), is_fifo: false };
        if peer.is_ok_and(|peer| clients.service.allowed.peer(peer)) {
            clients.accept(info, stream);
        } else {
            clients.reject(
                &info,
                stream,
                DisconnectReason::PeerNotAllowed,
                "permission denied for this user",
            );
        }
    }
    // Removes the socket file: no new clients.
    drop(socket);
    clients.finish().await;
}

/// See [`unix`].
pub(super) async fn tcp(service: Arc<Service>, listener: TcpListener, name: String) {
    let mut clients = Acceptor::new(service);
    while let Some(accepted) = clients.next(listener.accept()).await {
        let Some((stream, peer)) = clients.accepted(&name, accepted).await else { continue };
        // Responses are small and must not be delayed.
        drop(stream.set_nodelay(true));
        // A client may be silent, but not dead. A socket that refuses the options works as well.
        keep_alive(&stream).ok();
        clients.accept(PeerInfo { name: format!("tcp:{peer}"), is_fifo: false }, stream);
    }
    drop(listener);
    clients.finish().await;
}

fn keep_alive(stream: &TcpStream) -> rustix::io::Result<()> {
    sockopt::set_tcp_keepidle(stream, KEEPALIVE_IDLE)?;
    sockopt::set_tcp_keepintvl(stream, KEEPALIVE_INTERVAL)?;
    sockopt::set_tcp_keepcnt(stream, KEEPALIVE_PROBES)?;
    sockopt::set_socket_keepalive(stream, true)
}

impl Acceptor {
    fn new(service: Arc<Service>) -> Self {
        Self {
            service,
            tasks: JoinSet::new(),
            lingering: Arc::new(Semaphore::new(MAX_LINGERING_REJECTS)),
            late_until: None,
        }
    }

    /// Returns `None` during shutdown. Clients that connected before are still served: they may have sent all their data.
    async fn next<T>(&mut self, accept: impl Future<Output = T>) -> Option<T> {
        while self.tasks.try_join_next().is_some() {}
        tokio::pin!(accept);
        tokio::select! {
            biased;
            () = self.service.shutdown.wait() => {}
            accepted = &mut accept => return Some(accepted),
        }
        let late_until = *self.late_until.get_or_insert_with(|| Instant::now() + DRAIN_TIMEOUT);
        timeout_at(late_until.min(Instant::now() + DRAIN_IDLE_TIMEOUT), accept).await.ok()
    }

    async fn accepted<T>(&self, name: &str, accepted: io::Result<T>) -> Option<T> {
        match accepted {
            Ok(accepted) => Some(accepted),
            Err(error) => {
                self.service.warn_limited(format_args!("{name}: cannot accept: {error}"));
                sleep(ACCEPT_RETRY_DELAY).await;
                None
            }
        }
    }

    fn accept<S: Stream>(&mut self, peer: PeerInfo, stream: S) {
        let Ok(permit) = Arc::clone(&self.service.client_permits).try_acquire_owned() else {
            return self.reject(
                &peer,
                stream,
                DisconnectReason::MaxClients,
                "too many clients; try again later",
            );
        };
        let service = Arc::clone(&self.service);
        self.tasks.spawn(async move {
            let _permit: OwnedSemaphorePermit = permit;
            let (reader, writer) = stream.split();
            client::serve(&service, &peer, reader, writer).await;
        });
    }

    /// Sends one line with the reason, if the socket buffer has space for it. Lines that the client sends are counted as refused.
    fn reject<S: Stream>(&mut self, peer: &PeerInfo, stream: S, kind: DisconnectReason, reason: &str) {
        self.service.metrics.count_disconnect(kind);
        self.service.warn_limited(format_args!("{}: rejected: {reason}", peer.name));
        // The socket does not block, and the buffer of a new connection is empty.
        if rustix::io::write(&stream, response::closing(reason, 1).as_bytes()).is_err() {
            return;
        }
        // See `client`: without it the line may be lost.
        if let Ok(permit) = Arc::clone(&self.lingering).try_acquire_owned() {
            let service = Arc::clone(&self.service);
            self.tasks.spawn(async move {
                let (reader, writer) = stream.split();
                drop(writer);
                let mut unread = UnreadLines::default();
                drop(timeout(LINGER_TIMEOUT, unread.discard(reader)).await);
                service.metrics.count_unread(RefuseReason::Rejected, unread.lines());
                drop(permit);
            });
        }
    }

    /// Waits for the clients to finish, with the timeout of the slowest one.
    async fn finish(mut self) {
        let timeout_after = DRAIN_TIMEOUT + self.service.write_timeout + LINGER_TIMEOUT;
        let all = async { while self.tasks.join_next().await.is_some() {} };
        if timeout(timeout_after, all).await.is_err() {
            self.service.shutdown.set_incomplete();
            self.service.warn_limited("some clients were still connected at the end of the shutdown");
        }
    }
}

/// The common interface of the two kinds of streams.
trait Stream: AsFd + Send + 'static {
    fn split(self) -> (impl AsyncRead + Unpin + Send, impl AsyncWrite + Unpin + Send);
}

impl Stream for UnixStream {
    fn split(self) -> (impl AsyncRead + Unpin + Send, impl AsyncWrite + Unpin + Send) {
        self.into_split()
    }
}

impl Stream for TcpStream {
    fn split(self) -> (impl AsyncRead + Unpin + Send, impl AsyncWrite + Unpin + Send) {
        self.into_split()
    }
}
