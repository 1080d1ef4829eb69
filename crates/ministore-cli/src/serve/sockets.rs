//! Creates the sockets that clients connect to.

use std::{
    fs,
    io::{self, ErrorKind},
    net::{SocketAddr, ToSocketAddrs},
    os::unix::{
        fs::{FileTypeExt, MetadataExt, PermissionsExt},
        net::{UnixListener as StdUnixListener, UnixStream as StdUnixStream},
    },
    path::{Path, PathBuf},
};

use tokio::net::{TcpListener, UnixListener};

use crate::{
    exit::{CliError, ExitStatus},
    paths::with_suffix,
};

/// Listens on every address of the name. Non-loopback addresses must be allowed.
pub(super) async fn tcp(address: &str, allow_remote: bool) -> Result<Vec<TcpListener>, CliError> {
    let name = format!("tcp:{address}");
    let found: Vec<SocketAddr> =
        address.to_socket_addrs().map_err(|error| cannot_listen(&name, &error))?.collect();
    found.iter().try_for_each(|&address| check_remote(address, allow_remote))?;
    let mut listeners = Vec::new();
    for address in found {
        listeners.push(TcpListener::bind(address).await.map_err(|error| cannot_listen(&name, &error))?);
    }
    Ok(listeners)
}

pub(super) fn check_remote(address: SocketAddr, allow_remote: bool) -> Result<(), CliError> {
    if allow_remote || address.ip().is_loopback() {
        return Ok(());
    }
    let reason = "other machines can reach this address, and lines are sent unencrypted";
    Err(CliError::new(ExitStatus::Usage, format_args!("{address}: {reason}"))
        .hint("listen on 127.0.0.1, or use --allow-remote if this is intended"))
}

pub(super) fn cannot_listen(name: &str, error: &io::Error) -> CliError {
    let code = match error.kind() {
        ErrorKind::AddrInUse => ExitStatus::Temporary,
        ErrorKind::PermissionDenied => ExitStatus::NoPermission,
        _ => ExitStatus::CannotCreate,
    };
    let failure = CliError::new(code, format_args!("{name}: cannot listen: {error}"));
    match code {
        ExitStatus::Temporary => failure.hint("stop the process that listens there, or use another address"),
        ExitStatus::NoPermission => failure.hint("ports below 1024 and directories of other users need root"),
        _ => failure,
    }
}

/// A Unix socket; dropping it removes its file.
#[derive(Debug)]
pub(super) struct UnixSocketGuard {
    pub(super) listener: UnixListener,
    path: PathBuf,
    /// Device and inode, so that the socket of another process is not removed.
    identity: Option<(u64, u64)>,
}

impl UnixSocketGuard {
    /// Replaces a stale socket, but not one that a process listens on.
    pub(super) fn bind(path: &Path, mode: u32) -> Result<Self, CliError> {
        let name = format!("unix:{}", path.display());
        check_free(path, &name)?;
        let refused = |error: &io::Error| cannot_listen(&name, error);
        // Under another name first: clients must not find it before it has its permissions.
        let new = with_suffix(path, "new");
        // An earlier kill may have left one; any other file there is an error.
        if fs::symlink_metadata(&new).is_ok_and(|found| found.file_type().is_socket()) {
            drop(fs::remove_file(&new));
        }
        let listener = StdUnixListener::bind(&new).map_err(|error| refused(&error))?;
        let placed = fs::set_permissions(&new, fs::Permissions::from_mode(mode))
            .and_then(|()| fs::rename(&new, path))
            .and_then(|()| listener.set_nonblocking(true))
            .and_then(|()| UnixListener::from_std(listener));
        match placed {
            Ok(listener) => Ok(Self { listener, path: path.to_owned(), identity: identity(path) }),
            Err(error) => {
                drop(fs::remove_file(&new));
                Err(refused(&error))
            }
        }
    }
}

impl Drop for UnixSocketGuard {
    fn drop(&mut self) {
        if self.identity.is_some() && self.identity == identity(&self.path) {
            drop(fs::remove_file(&self.path));
        }
    }
}

fn identity(path: &Path) -> Option<(u64, u64)> {
    fs::symlink_metadata(path).ok().map(|found| (found.dev(), found.ino()))
}

fn check_free(path: &Path, name: &str) -> Result<(), CliError> {
    let found = match fs::symlink_metadata(path) {
        Ok(found) => found,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(cannot_listen(name, &error)),
    };
    if !found.file_type().is_socket() {
        return Err(CliError::new(
            ExitStatus::CannotCreate,
            format_args!("{name}: exists and is not a socket"),
        ));
    }
    match StdUnixStream::connect(path) {
        Err(error) if error.kind() == ErrorKind::ConnectionRefused => Ok(()),
        // On any other error a process may be listening.
        _ => Err(CliError::new(ExitStatus::Temporary, format_args!("{name}: another process listens there"))
            .hint("stop it first, or use another address")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_loopback_is_local() {
        for (address, remote) in [
            ("127.0.0.1:1", false),
            ("127.8.0.1:1", false),
            ("[::1]:1", false),
            ("0.0.0.0:1", true),
            ("[::]:1", true),
            ("192.0.2.1:1", true),
        ] {
            let address = address.parse().unwrap();
            assert_eq!(check_remote(address, false).is_err(), remote, "{address}");
            assert!(check_remote(address, true).is_ok());
        }
    }
}
