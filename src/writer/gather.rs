//! One commit group out of what is pending.

use std::time::Instant;

use super::Writer;
use crate::{
    planted::{Bug, planted},
    request::{Append, Request},
};

/// Appends that will be committed together, in the order in which they were issued.
#[derive(Debug)]
pub(super) struct Group {
    pub(super) appends: Vec<Append>,
    bytes: u64,
}

impl Group {
    fn of(first: Append) -> Self {
        let bytes = first.lines.bytes().len() as u64;
        Self { appends: vec![first], bytes }
    }

    fn add(&mut self, append: Append) {
        self.bytes += append.lines.bytes().len() as u64;
        self.appends.push(append);
    }
}

impl Writer {
    /// Takes what is pending, up to the size limit. What arrived while the last commit was in flight is here by
    /// now: no timer is needed, and one append alone is not delayed (unless a `commit_delay` is set).
    ///
    /// A request to rotate or close ends the group; it comes back to be served after it.
    pub(super) fn gather(&self, first: Append) -> (Group, Option<Request>) {
        let mut group = Group::of(first);
        let delay = self.options.commit_delay;
        let deadline = (!delay.is_zero()).then(|| Instant::now() + delay);
        while group.bytes < self.options.max_group_bytes {
            let request = match (self.requests.try_recv(), deadline) {
                (Ok(request), _) => request,
                (Err(_), None) => break,
                (Err(_), Some(deadline)) => match self.requests.recv_deadline(deadline) {
                    Ok(request) => request,
                    Err(_) => break,
                },
            };
            match request {
                Request::Append(append) => group.add(append),
                _ if planted(Bug::ForgetsWhatEndsAGroup) => {}
                control => return (group, Some(control)),
            }
        }
        (group, None)
    }
}
