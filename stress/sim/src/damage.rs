//! Damage to a closed journal: shown as an error, or harmless; never returned as data.

use std::path::Path;

use ministore_uring::{
    JournalOptions,
    testkit::{
        SimDisk,
        sim::{Rng, Stop},
    },
};

use crate::{
    model::{Checked, violated},
    reading::{read, segments},
};

/// A seal and the LF behind it.
const SEAL_BYTES: usize = 34;

/// Damages a copy of the disk and reads it. Says whether the damage was detected.
pub fn try_one(disk: &SimDisk, path: &Path, sound: &[(u64, u64)], seed: u64) -> Checked<bool> {
    let mut rng = Rng::new(seed);
    let fork = disk.fork(rng.number());
    fork.heal();
    let files = segments(&fork, path);
    if files.is_empty() {
        return Ok(false);
    }
    let (file, bytes) = &files[rng.below(files.len() as u64) as usize];
    let Some((what, damaged)) = damage(bytes, &mut rng) else { return Ok(false) };
    fork.put(file, &damaged);
    let (found, error) = read(&fork, path);
    let context = || format!("{what} in {}", file.display());
    if !sound.starts_with(&found) {
        return violated(format!("{}: what is read is not what was written", context()));
    }
    if error.is_none() && found.len() != sound.len() {
        return violated(format!("{}: {} records are read of {}", context(), found.len(), sound.len()));
    }
    let before = segments(&fork, path);
    let opened = fork.open_stepped(JournalOptions::new(), path);
    if opened.is_err() && segments(&fork, path) != before {
        return violated(format!("{}: recovery refuses, and changes files", context()));
    }
    let of_holds = file.extension().is_some_and(|extension| extension == "holds");
    if of_holds && opened.is_ok() {
        return violated(format!("{}: damaged holds are taken for sound", context()));
    }
    fork.stop_now(Stop::Kill);
    drop(opened);
    Ok(error.is_some() || of_holds)
}

/// A file of another journal stands where the next segment is prepared, and the active one is missing: it must be
/// refused, for it does not continue what is there.
pub fn try_foreign_next(disk: &SimDisk, path: &Path, sound: &[(u64, u64)], seed: u64) -> Checked {
    let fork = disk.fork(seed);
    fork.heal();
    let Some((last, _)) = sound.last() else { return Ok(()) };
    let first = last + 1;
    let link = format!(r#"{{"seal":"crc32c","first":{first},"prev":"0badcafe"}}"#);
    fork.put(&path.with_extension("next"), format!("// MINISTORE JOURNAL v0.1.4 {link}\n").as_bytes());
    fork.put(&path.with_extension("999"), &fork.read(path).unwrap_or_default());
    fork.erase(path);
    let before = segments(&fork, path);
    let opened = fork.open_stepped(JournalOptions::new(), path);
    if opened.is_ok() || segments(&fork, path) != before {
        return violated("a next segment that continues nothing was adopted");
    }
    Ok(())
}

/// Something that changes a file; `None` where it cannot be done to this one.
fn damage(bytes: &[u8], rng: &mut Rng) -> Option<(String, Vec<u8>)> {
    let mut damaged = bytes.to_vec();
    let groups = groups(bytes);
    let at = rng.below(bytes.len() as u64) as usize;
    let what = match rng.below(8) {
        0..3 => {
            damaged[at] ^= 1 << rng.below(8);
            format!("byte {at} flipped")
        }
        3 => {
            let end = at / 512 * 512 + 512;
            if end + SEAL_BYTES >= groups.last()?.1 {
                // That its newest groups are gone whole a file cannot tell by itself.
                return None;
            }
            damaged[at / 512 * 512..end].fill(rng.pick(&[0, b' ', b'x']));
            format!("the sector of byte {at} overwritten")
        }
        4 => {
            // A digit of the header.
            let header_end = bytes.iter().position(|b| *b == b'\n')?;
            let digits: Vec<usize> = (30..header_end).filter(|at| bytes[*at].is_ascii_digit()).collect();
            let at = *digits.get(rng.below(digits.len() as u64) as usize)?;
            damaged[at] = b'0' + (bytes[at] - b'0' + 1 + rng.below(9) as u8) % 10;
            format!("digit {at} of the header changed")
        }
        5 => {
            let (from, to) = *groups.get(rng.below(groups.len() as u64) as usize)?;
            damaged.drain(from..to);
            format!("the group at {from} removed")
        }
        6 => {
            let (from, to) = *groups.get(rng.below(groups.len() as u64) as usize)?;
            damaged.splice(to..to, bytes[from..to].iter().copied());
            format!("the group at {from} repeated")
        }
        _ => {
            let first = rng.below((groups.len() as u64).saturating_sub(1)) as usize;
            let ((from, middle), (_, to)) = (*groups.get(first)?, *groups.get(first + 1)?);
            damaged[from..to].rotate_left(middle - from);
            format!("the groups at {from} and {middle} exchanged")
        }
    };
    (damaged != bytes).then_some((what, damaged))
}

/// Where the groups of a closed file begin and end; the last one excepted, for its ending is another.
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
