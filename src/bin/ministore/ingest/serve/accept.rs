//! Owns the clients of one listener, from their arrival to their end.

use std::{
    io::{self, Write},
    sync::Arc,
    time::Duration,
};

use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::{TcpListener, TcpStream, UnixStream},
    sync::{OwnedSemaphorePermit, Semaphore},
    task::JoinSet,
    time::{Instant, sleep, timeout, timeout_at},
};

use super::{
    client::{self, Origin},
    counts::Turned,
    limits::{DRAIN_QUIET, DRAIN_TIME, LINGER_TIME, REFUSED_LINGERING},
    say,
    service::Service,
    sockets::Named,
};

/// Where accepting fails (too many open files), it is tried again so much later.
const ACCEPT_AGAIN: Duration = Duration::from_millis(100);

/// The clients of one listener.
#[derive(Debug)]
struct Clients {
    service: Arc<Service>,
    tasks: JoinSet<()>,
    refused: Arc<Semaphore>,
    /// The service is ending: until when those are let in who have connected already.
    late_until: Option<Instant>,
}

/// Until the service ends and its clients have been answered.
pub(super) async fn unix(service: Arc<Service>, named: Named, name: String) {
    let mut clients = Clients::new(service);
    while let Some(accepted) = clients.next(named.listener.accept()).await {
        let Some((stream, _)) = clients.accepted(&name, accepted).await else { continue };
        let peer = stream.peer_cred();
        let of = peer.as_ref().map_or_else(
            |_| String::new(),
            |peer| format!(" (uid {}, pid {})", peer.uid(), peer.pid().unwrap_or(0)),
        );
        let origin = Origin { name: format!("{name}{of}"), is_fifo: false };
        if peer.is_ok_and(|peer| clients.service.allowed.peer(peer)) {
            clients.admit(origin, stream);
        } else {
            clients.refuse(&origin, stream, Turned::Peer, "this user may not send");
        }
    }
    // Nobody new; the name goes, too.
    drop(named);
    clients.finish().await;
}

/// See [`unix`].
pub(super) async fn tcp(service: Arc<Service>, listener: TcpListener, name: String) {
    let mut clients = Clients::new(service);
    while let Some(accepted) = clients.next(listener.accept()).await {
        let Some((stream, peer)) = clients.accepted(&name, accepted).await else { continue };
        // Small answers need not wait for others.
        drop(stream.set_nodelay(true));
        clients.admit(Origin { name: format!("tcp:{peer}"), is_fifo: false }, stream);
    }
    drop(listener);
    clients.finish().await;
}

impl Clients {
    fn new(service: Arc<Service>) -> Self {
        Self {
            service,
            tasks: JoinSet::new(),
            refused: Arc::new(Semaphore::new(REFUSED_LINGERING)),
            late_until: None,
        }
    }

    /// `None`: the service ends. Whoever had connected by then is still served: it may have sent all it has to say.
    async fn next<T>(&mut self, accept: impl Future<Output = T>) -> Option<T> {
        while self.tasks.try_join_next().is_some() {}
        tokio::pin!(accept);
        tokio::select! {
            biased;
            () = self.service.ending.wait() => {}
            accepted = &mut accept => return Some(accepted),
        }
        let late_until = *self.late_until.get_or_insert_with(|| Instant::now() + DRAIN_TIME);
        timeout_at(late_until.min(Instant::now() + DRAIN_QUIET), accept).await.ok()
    }

    async fn accepted<T>(&self, name: &str, accepted: io::Result<T>) -> Option<T> {
        match accepted {
            Ok(accepted) => Some(accepted),
            Err(error) => {
                self.service.note(format_args!("{name}: cannot accept: {error}"));
                sleep(ACCEPT_AGAIN).await;
                None
            }
        }
    }

    fn admit<S: Stream>(&mut self, origin: Origin, stream: S) {
        let Ok(room) = Arc::clone(&self.service.room).try_acquire_owned() else {
            return self.refuse(&origin, stream, Turned::Full, "too many clients; try again later");
        };
        let service = Arc::clone(&self.service);
        self.tasks.spawn(async move {
            let _room: OwnedSemaphorePermit = room;
            let (reader, writer) = stream.halves();
            client::serve(&service, &origin, reader, writer).await;
        });
    }

    /// One line that says why, as far as it finds room.
    fn refuse<S: Stream>(&mut self, origin: &Origin, stream: S, why: Turned, reason: &str) {
        self.service.counts.turned(why);
        self.service.note(format_args!("{}: refused: {reason}", origin.name));
        let Ok(stream) = stream.told(say::closing(reason, 1).as_bytes()) else { return };
        // See `client`: without it the line may be lost.
        if let Ok(lingers) = Arc::clone(&self.refused).try_acquire_owned() {
            self.tasks.spawn(async move {
                let (reader, writer) = stream.halves();
                drop(writer);
                drop(timeout(LINGER_TIME, client::discard(reader)).await);
                drop(lingers);
            });
        }
    }

    /// Waits for those who are being answered; for no longer than the slowest may take.
    async fn finish(mut self) {
        let patience = DRAIN_TIME + self.service.limits.unread + LINGER_TIME;
        let all = async { while self.tasks.join_next().await.is_some() {} };
        if timeout(patience, all).await.is_err() {
            self.service.note("some clients were still being served at the end");
        }
    }
}

/// What the two kinds of streams have in common.
trait Stream: Sized + Send + 'static {
    fn halves(self) -> (impl AsyncRead + Unpin + Send, impl AsyncWrite + Unpin + Send);

    /// Writes to a connection that is new, without waiting.
    fn told(self, text: &[u8]) -> io::Result<Self>;
}

impl Stream for UnixStream {
    fn halves(self) -> (impl AsyncRead + Unpin + Send, impl AsyncWrite + Unpin + Send) {
        self.into_split()
    }

    fn told(self, text: &[u8]) -> io::Result<Self> {
        let mut stream = self.into_std()?;
        stream.write_all(text)?;
        Self::from_std(stream)
    }
}

impl Stream for TcpStream {
    fn halves(self) -> (impl AsyncRead + Unpin + Send, impl AsyncWrite + Unpin + Send) {
        self.into_split()
    }

    fn told(self, text: &[u8]) -> io::Result<Self> {
        let mut stream = self.into_std()?;
        stream.write_all(text)?;
        Self::from_std(stream)
    }
}
