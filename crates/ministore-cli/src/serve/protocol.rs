//! Recognises clients that speak another protocol than lines of JSON, by their first bytes. Pure.
//!
//! A web page can make a browser send a request to any port of this machine, with a body of its choice. Without this check the
//! lines of that body would be records as soon as bad lines are skipped.

/// A protocol that a first line belongs to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum WrongProtocol {
    Http,
    Tls,
}

/// The methods that are recognised before the request line is complete.
const METHODS: [&str; 10] =
    ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "CONNECT", "TRACE", "PRI"];

/// More of a line is not examined.
const EXAMINED_BYTES: usize = 8 * 1024;

/// The type of a TLS record with a handshake message, which is the first one of every client.
const TLS_HANDSHAKE: u8 = 0x16;

impl WrongProtocol {
    /// Examines the bytes that a client sent first. Neither protocol begins like a JSON value.
    pub(super) fn detect(start: &[u8]) -> Option<Self> {
        // HTTP allows empty lines before a request.
        let start = start[..start.len().min(EXAMINED_BYTES)].trim_ascii_start();
        let line = start.split(|&byte| byte == b'\n').next().unwrap_or_default();
        let is_request = || {
            let (method, rest) = line.split_at(line.iter().position(|&byte| byte == b' ')?);
            let is_token = !method.is_empty() && method.iter().all(u8::is_ascii_alphabetic);
            let is_known = METHODS.iter().any(|known| known.as_bytes() == method);
            let version = rest.trim_ascii_end().rsplit(|&byte| byte == b' ').next()?;
            Some(is_known || (is_token && version.starts_with(b"HTTP/")))
        };
        match start.first()? {
            &TLS_HANDSHAKE => Some(Self::Tls),
            _ => is_request()?.then_some(Self::Http),
        }
    }

    pub(super) fn reason(self) -> &'static str {
        match self {
            Self::Http => "wrong protocol: this listener accepts lines of JSON, not HTTP",
            Self::Tls => "wrong protocol: this listener accepts lines of JSON, not TLS",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn http_and_tls_are_recognised() {
        let http: [&[u8]; 8] = [
            b"GET / HTTP/1.1\r\nHost: here\r\n",
            b"POST ",
            b"POST /a%20b HTTP/1.1",
            b"\r\n\nOPTIONS * HTTP/1.1\r\n",
            b"GET /old\r\n",
            b"PROPFIND /x HTTP/1.1\r\n",
            b"invented /x HTTP/1.0\n{\"n\":1}\n",
            b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
        ];
        for start in http {
            assert_eq!(WrongProtocol::detect(start), Some(WrongProtocol::Http), "{start:?}");
        }
        for start in [&b"\x16"[..], b"\x16\x03\x01\x02\x00\x01\x00"] {
            assert_eq!(WrongProtocol::detect(start), Some(WrongProtocol::Tls), "{start:?}");
        }
    }

    #[test]
    fn records_and_bad_lines_are_not_a_protocol() {
        let starts: [&[u8]; 12] = [
            b"",
            b"\n\r\n",
            b"{\"GET\":\"/ HTTP/1.1\"}\n",
            b"\"GET / HTTP/1.1\"\n",
            b"null \n",
            b"true HTTP\n",
            b"[1, 2]\n",
            b"GE",
            b"GET",
            b"GETX /\n",
            b"hello world\n",
            b"1 HTTP/1.1\n",
        ];
        for start in starts {
            assert_eq!(WrongProtocol::detect(start), None, "{start:?}");
        }
    }
}
