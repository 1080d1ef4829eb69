//! Parses the addresses to listen on. Pure, except that a plain path is looked up in the file system.

use std::{
    fmt, fs,
    os::unix::fs::FileTypeExt,
    path::{Path, PathBuf},
};

/// An address to listen on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Address {
    Unix(PathBuf),
    /// A host name or IP address, and a port.
    Tcp(String),
    Fifo(PathBuf),
}

impl Address {
    pub(crate) fn parse(text: &str) -> Result<Self, String> {
        match text.split_once(':') {
            Some(("unix", path)) if !path.is_empty() => Ok(Self::Unix(path.into())),
            Some(("fifo", path)) if !path.is_empty() => Ok(Self::Fifo(path.into())),
            Some(("tcp", address)) if has_port(address) => Ok(Self::Tcp(address.to_owned())),
            _ => Self::of_file(Path::new(text)).ok_or_else(|| {
                "use unix:PATH, tcp:HOST:PORT or fifo:PATH (or the path of an existing socket or FIFO)"
                    .to_owned()
            }),
        }
    }

    fn of_file(path: &Path) -> Option<Self> {
        let kind = fs::metadata(path).ok()?.file_type();
        if kind.is_socket() {
            Some(Self::Unix(path.to_owned()))
        } else if kind.is_fifo() {
            Some(Self::Fifo(path.to_owned()))
        } else {
            None
        }
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unix(path) => write!(f, "unix:{}", path.display()),
            Self::Tcp(address) => write!(f, "tcp:{address}"),
            Self::Fifo(path) => write!(f, "fifo:{}", path.display()),
        }
    }
}

fn has_port(address: &str) -> bool {
    address.rsplit_once(':').is_some_and(|(host, port)| !host.is_empty() && port.parse::<u16>().is_ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn address_roundtrips() {
        for text in ["unix:/run/a:b.sock", "tcp:127.0.0.1:7000", "tcp:[::1]:0", "fifo:in.fifo"] {
            assert_eq!(Address::parse(text).map(|address| address.to_string()), Ok(text.to_owned()));
        }
    }

    #[test]
    fn invalid_address_is_rejected() {
        for text in [
            "",
            "unix:",
            "fifo:",
            "tcp:7000",
            "tcp:host:",
            "tcp::7000",
            "tcp:h:70000",
            "udp:h:1",
            "/dev/null",
        ] {
            assert!(Address::parse(text).is_err(), "{text}");
        }
    }

    #[test]
    fn plain_path_of_a_socket_is_accepted() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("socket");
        let _listener = std::os::unix::net::UnixListener::bind(&path).unwrap();
        assert_eq!(Address::parse(path.to_str().unwrap()), Ok(Address::Unix(path)));
    }
}
