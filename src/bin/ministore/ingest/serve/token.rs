//! Owns who may send: the tokens of clients, the users and groups of their processes.

use std::{fs, os::unix::fs::MetadataExt, path::Path};

use constant_time_eq::constant_time_eq;
use tokio::net::unix::UCred;

use super::args::ServeArgs;
use crate::exit::{Code, Failure};

/// Permissions of others on a file of tokens.
const OTHERS: u32 = 0o007;

/// A shorter one could be guessed.
const TOKEN_BYTES_MIN: usize = 16;

/// What was configured.
pub(super) struct Allowed {
    /// Empty: none is asked for.
    tokens: Vec<String>,
    uids: Vec<u32>,
    gids: Vec<u32>,
}

/// Without the tokens.
impl std::fmt::Debug for Allowed {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Allowed").field("uids", &self.uids).field("gids", &self.gids).finish_non_exhaustive()
    }
}

impl Allowed {
    pub(super) fn read(args: &ServeArgs) -> Result<Self, Failure> {
        let tokens = args.token_file.as_deref().map(tokens).transpose()?.unwrap_or_default();
        Ok(Self { tokens, uids: args.allow_uid.clone(), gids: args.allow_gid.clone() })
    }

    pub(super) fn asks_for_token(&self) -> bool {
        !self.tokens.is_empty()
    }

    /// Takes as long whichever of the tokens it is, and however much of one it is.
    pub(super) fn token(&self, token: Option<&str>) -> bool {
        let given = token.unwrap_or("").as_bytes();
        let same = |known: &String| constant_time_eq(known.as_bytes(), given);
        !self.asks_for_token() || self.tokens.iter().fold(false, |found, known| found | same(known))
    }

    pub(super) fn peer(&self, peer: UCred) -> bool {
        (self.uids.is_empty() && self.gids.is_empty())
            || self.uids.contains(&peer.uid())
            || self.gids.contains(&peer.gid())
    }
}

const MAKE_ONE: &str = "a line of it is a token: 'head -c 24 /dev/urandom | base64' makes one";

fn tokens(file: &Path) -> Result<Vec<String>, Failure> {
    let refused = |error| Failure::file(file, "read", &error);
    let not_usable = |code, reason: &str, hint: &str| {
        Failure::new(code, format_args!("{}: {reason}", file.display())).hint(hint)
    };
    if fs::metadata(file).map_err(refused)?.mode() & OTHERS != 0 {
        return Err(not_usable(
            Code::NoPermission,
            "a file of tokens must not be open to others",
            "chmod o= it, and replace the tokens if somebody may have read them",
        ));
    }
    let text = fs::read_to_string(file).map_err(refused)?;
    let tokens: Vec<String> =
        text.lines().map(str::trim).filter(|line| !line.is_empty()).map(str::to_owned).collect();
    if tokens.is_empty() {
        return Err(not_usable(Code::BadData, "no token in it", MAKE_ONE));
    }
    if tokens.iter().any(|token| token.len() < TOKEN_BYTES_MIN) {
        return Err(not_usable(Code::BadData, "a token must have at least 16 bytes", MAKE_ONE));
    }
    Ok(tokens)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn with(tokens: &[&str]) -> Allowed {
        Allowed { tokens: tokens.iter().map(|&token| token.into()).collect(), uids: vec![], gids: vec![] }
    }

    #[test]
    fn one_of_the_tokens_is_enough_and_nothing_less() {
        let allowed = with(&["0123456789abcdef", "fedcba9876543210"]);
        assert!(allowed.token(Some("0123456789abcdef")) && allowed.token(Some("fedcba9876543210")));
        for token in
            [None, Some(""), Some("0123456789abcde"), Some("0123456789abcdef0"), Some("0123456789abcdeF")]
        {
            assert!(!allowed.token(token), "{token:?}");
        }
        assert!(with(&[]).token(None) && with(&[]).token(Some("any")));
    }
}
