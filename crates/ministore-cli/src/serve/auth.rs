//! Decides which clients may send: tokens, and the users and groups of their processes.

use std::{
    fs,
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
    sync::{PoisonError, RwLock},
};

use constant_time_eq::constant_time_eq;
use tokio::net::unix::UCred;

use super::args::Args;
use crate::exit::{CliError, ExitStatus};

/// The permissions of other users on a token file.
const OTHERS: u32 = 0o007;

/// A shorter token could be guessed.
const TOKEN_BYTES_MIN: usize = 16;

/// The configured restrictions.
pub(super) struct AccessPolicy {
    /// `None`: no token is required.
    token_file: Option<PathBuf>,
    /// The content of that file.
    tokens: RwLock<Vec<String>>,
    uids: Vec<u32>,
    gids: Vec<u32>,
}

/// Leaves out the tokens.
impl std::fmt::Debug for AccessPolicy {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("AccessPolicy")
            .field("uids", &self.uids)
            .field("gids", &self.gids)
            .finish_non_exhaustive()
    }
}

impl AccessPolicy {
    pub(super) fn read(args: &Args) -> Result<Self, CliError> {
        let token_file = args.token_file.clone();
        let tokens = RwLock::new(token_file.as_deref().map(tokens).transpose()?.unwrap_or_default());
        Ok(Self { token_file, tokens, uids: args.allow_uid.clone(), gids: args.allow_gid.clone() })
    }

    /// Reads the token file again. On an error the tokens stay as they are. Clients that have authenticated stay connected.
    pub(super) fn reload(&self) -> Result<(), CliError> {
        if let Some(file) = &self.token_file {
            let new = tokens(file)?;
            *self.tokens.write().unwrap_or_else(PoisonError::into_inner) = new;
        }
        Ok(())
    }

    pub(super) fn requires_token(&self) -> bool {
        self.token_file.is_some()
    }

    /// Compares in constant time with all tokens.
    pub(super) fn token(&self, token: Option<&str>) -> bool {
        let given = token.unwrap_or("").as_bytes();
        let same = |known: &String| constant_time_eq(known.as_bytes(), given);
        let tokens = self.tokens.read().unwrap_or_else(PoisonError::into_inner);
        !self.requires_token() || tokens.iter().fold(false, |found, known| found | same(known))
    }

    pub(super) fn peer(&self, peer: UCred) -> bool {
        (self.uids.is_empty() && self.gids.is_empty())
            || self.uids.contains(&peer.uid())
            || self.gids.contains(&peer.gid())
    }
}

const CREATE_TOKEN: &str = "one token per line; create one with 'head -c 24 /dev/urandom | base64'";

fn tokens(file: &Path) -> Result<Vec<String>, CliError> {
    let refused = |error| CliError::file(file, "read", &error);
    let not_usable = |code, reason: &str, hint: &str| CliError::about(file, code, reason).hint(hint);
    if fs::metadata(file).map_err(refused)?.mode() & OTHERS != 0 {
        return Err(not_usable(
            ExitStatus::NoPermission,
            "the token file must not be accessible to other users",
            "run 'chmod o=' on it, and replace the tokens if they may have been read",
        ));
    }
    let text = fs::read_to_string(file).map_err(refused)?;
    // Editors on other systems write a byte order mark.
    let text = text.strip_prefix('\u{feff}').unwrap_or(&text);
    let tokens: Vec<String> =
        text.lines().map(str::trim).filter(|line| !line.is_empty()).map(str::to_owned).collect();
    if tokens.is_empty() {
        return Err(not_usable(ExitStatus::BadData, "contains no token", CREATE_TOKEN));
    }
    if tokens.iter().any(|token| token.len() < TOKEN_BYTES_MIN) {
        return Err(not_usable(ExitStatus::BadData, "a token must have at least 16 bytes", CREATE_TOKEN));
    }
    Ok(tokens)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn with(tokens: &[&str]) -> AccessPolicy {
        AccessPolicy {
            token_file: (!tokens.is_empty()).then(PathBuf::new),
            tokens: RwLock::new(tokens.iter().map(|&token| token.into()).collect()),
            uids: vec![],
            gids: vec![],
        }
    }

    #[test]
    fn any_of_the_tokens_authenticates() {
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
