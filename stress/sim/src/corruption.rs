//! Corrupts a closed journal: every corruption is reported as an error or is harmless, and is never returned as data.

use std::path::Path;

use ministore_uring::{
    JournalOptions,
    internals::{CrashKind, Rng},
    testkit::SimDisk,
};

use crate::{
    model::{Checked, violated},
    read::{read, segments},
};

/// The length of a seal and the LF after it.
const SEAL_BYTES: usize = 34;

/// Corrupts a copy of the disk at random and reads it. Returns whether the corruption was detected.
pub fn check_random(disk: &SimDisk, path: &Path, intact: &[(u64, u64)], seed: u64) -> Checked<bool> {
    let mut rng = Rng::new(seed);
    let fork = disk.fork(rng.number());
    fork.heal();
    let files: Vec<_> = segments(&fork, path).into_iter().filter(|(_, bytes)| !bytes.is_empty()).collect();
    if files.is_empty() {
        return Ok(false);
    }
    let (file, bytes) = &files[rng.below(files.len() as u64) as usize];
    let Some((what, corrupted)) = corrupt(bytes, &mut rng) else { return Ok(false) };
    fork.put(file, &corrupted);
    let (found, error) = read(&fork, path);
    let context = || format!("{what} in {}", file.display());
    if !intact.starts_with(&found) {
        return violated(format!("{}: the records read are not the records written", context()));
    }
    if error.is_none() && found.len() != intact.len() {
        return violated(format!("{}: {} records were read of {}", context(), found.len(), intact.len()));
    }
    let before = segments(&fork, path);
    let opened = fork.open_stepped(JournalOptions::new(), path);
    if opened.is_err() && segments(&fork, path) != before {
        return violated(format!("{}: recovery fails and changes files", context()));
    }
    let is_holds_file = file.extension().is_some_and(|extension| extension == "holds");
    if is_holds_file && opened.is_ok() {
        return violated(format!("{}: corrupted holds are accepted", context()));
    }
    fork.stop_now(CrashKind::Kill);
    drop(opened);
    Ok(error.is_some() || is_holds_file)
}

/// Puts a segment of another journal in place of the prepared next segment and removes the active one. Recovery must fail:
/// that segment does not continue this journal.
pub fn check_foreign_next(disk: &SimDisk, path: &Path, intact: &[(u64, u64)], seed: u64) -> Checked {
    let fork = disk.fork(seed);
    fork.heal();
    let Some((last, _)) = intact.last() else { return Ok(()) };
    let first = last + 1;
    let link = format!(r#"{{"seal":"crc32c","first":{first},"prev":"0badcafe"}}"#);
    fork.put(&path.with_extension("next"), format!("// MINISTORE JOURNAL v0.1.4 {link}\n").as_bytes());
    fork.put(&path.with_extension("999"), &fork.read(path).unwrap_or_default());
    fork.erase(path);
    let before = segments(&fork, path);
    let opened = fork.open_stepped(JournalOptions::new(), path);
    if opened.is_ok() || segments(&fork, path) != before {
        return violated("a next segment that does not continue the journal was adopted");
    }
    Ok(())
}

/// Changes the file in a random way. Returns a description and the new bytes, or `None` if that change is not possible in
/// this file.
fn corrupt(bytes: &[u8], rng: &mut Rng) -> Option<(String, Vec<u8>)> {
    let mut corrupted = bytes.to_vec();
    let groups = groups(bytes);
    let at = rng.below(bytes.len() as u64) as usize;
    let what = match rng.below(8) {
        0..3 => {
            corrupted[at] ^= 1 << rng.below(8);
            format!("byte {at} flipped")
        }
        3 => {
            let end = at / 512 * 512 + 512;
            if end + SEAL_BYTES >= groups.last()?.1 {
                // A file alone cannot show that its newest groups were removed whole.
                return None;
            }
            corrupted[at / 512 * 512..end].fill(rng.pick(&[0, b' ', b'x']));
            format!("the sector of byte {at} overwritten")
        }
        4 => {
            // A digit of the header.
            let header_end = bytes.iter().position(|b| *b == b'\n')?;
            let digits: Vec<usize> = (30..header_end).filter(|at| bytes[*at].is_ascii_digit()).collect();
            let at = *digits.get(rng.below(digits.len() as u64) as usize)?;
            corrupted[at] = b'0' + (bytes[at] - b'0' + 1 + rng.below(9) as u8) % 10;
            format!("digit {at} of the header changed")
        }
        5 => {
            let (from, to) = *groups.get(rng.below(groups.len() as u64) as usize)?;
            corrupted.drain(from..to);
            format!("the group at {from} removed")
        }
        6 => {
            let (from, to) = *groups.get(rng.below(groups.len() as u64) as usize)?;
            corrupted.splice(to..to, bytes[from..to].iter().copied());
            format!("the group at {from} repeated")
        }
        _ => {
            let first = rng.below((groups.len() as u64).saturating_sub(1)) as usize;
            let ((from, middle), (_, to)) = (*groups.get(first)?, *groups.get(first + 1)?);
            corrupted[from..to].rotate_left(middle - from);
            format!("the groups at {from} and {middle} exchanged")
        }
    };
    (corrupted != bytes).then_some((what, corrupted))
}

/// Returns the ranges of the groups of a closed file, except for the last one, whose trailer is different.
fn groups(bytes: &[u8]) -> Vec<(usize, usize)> {
    let mut groups = Vec::new();
    let Some(header_end) = bytes.iter().position(|b| *b == b'\n') else { return groups };
    let mut from = header_end + 1;
    let mut at = from;
    for line in bytes[from..].split_inclusive(|b| *b == b'\n') {
        at += line.len();
        let space = line.iter().rev().take_while(|b| b.is_ascii_whitespace()).count();
        if space >= SEAL_BYTES {
            groups.push((from, at));
            from = at;
        }
    }
    groups.pop();
    groups
}
