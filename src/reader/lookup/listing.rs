//! The segments of a journal as they were listed at one moment, and what their headers say.

use std::{io, path::Path, sync::Arc};

use crate::{
    device::{Disk, Open},
    format::Header,
    reader::Snapshot,
    scan::read_header,
    sync::OnceLock,
};

/// The segments of a journal, oldest first.
#[derive(Debug)]
pub(in crate::reader) struct Listing {
    segments: Vec<Listed>,
}

#[derive(Debug)]
pub(super) struct Listed {
    pub(super) path: Arc<Path>,
    /// The segment that is appended to.
    pub(super) is_active: bool,
    header: OnceLock<Header>,
}

/// What can be known of a segment's header.
enum Found {
    Header(Header),
    /// Archived segments may be deleted at any time, the oldest first.
    Gone,
    Unreadable,
}

impl Listing {
    pub(super) fn of(Snapshot { archived, active }: &Snapshot) -> Self {
        let listed =
            |path: &Path, is_active| Listed { path: path.into(), is_active, header: OnceLock::new() };
        let archived = archived.iter().map(|(_, path)| listed(path, false));
        let active = active.iter().map(|(path, _)| listed(path, true));
        Self { segments: archived.chain(active).collect() }
    }

    /// The segment that holds record `seq`, or would: the last that begins with it or before. Reads few headers.
    pub(super) fn holding(&self, disk: &dyn Disk, seq: u64) -> Option<&Listed> {
        self.segments.get(self.index_holding(disk, seq)?)
    }

    /// The paths of that segment and those behind it; all of them where no segment says that it holds `seq`.
    pub(in crate::reader) fn paths_holding(
        &self,
        disk: &dyn Disk,
        seq: u64,
    ) -> impl Iterator<Item = Arc<Path>> {
        let from = self.index_holding(disk, seq).unwrap_or(0);
        self.segments[from..].iter().map(|listed| Arc::clone(&listed.path))
    }

    /// The number of the first record that is still there, if a header says it.
    pub(super) fn first_seq(&self, disk: &dyn Disk) -> Option<u64> {
        self.segments.iter().find_map(|listed| match listed.find_header(disk) {
            Found::Header(header) => Some(header.link().map(|link| link.first)),
            Found::Gone => None,
            Found::Unreadable => Some(None),
        })?
    }

    /// Whether nothing of it is there any more.
    pub(super) fn is_gone(&self, disk: &dyn Disk) -> bool {
        let is_gone = |listed: &Listed| matches!(listed.find_header(disk), Found::Gone);
        !self.segments.is_empty() && self.segments.iter().all(is_gone)
    }

    /// Whether the newest segment says the number of its first record.
    pub(super) fn states_numbers(&self, disk: &dyn Disk) -> bool {
        let newest = self.segments.last().and_then(|listed| listed.header(disk));
        newest.and_then(Header::link).is_some()
    }

    fn index_holding(&self, disk: &dyn Disk, seq: u64) -> Option<usize> {
        let (mut low, mut high) = (0, self.segments.len());
        while low < high {
            let middle = low.midpoint(high);
            let before = match self.segments[middle].find_header(disk) {
                Found::Header(Header::Sealed(link)) => link.first <= seq,
                Found::Gone => true,
                Found::Header(Header::Plain) | Found::Unreadable => return self.look_at_each(disk, seq),
            };
            if before {
                low = middle + 1;
            } else {
                high = middle;
            }
        }
        low.checked_sub(1)
    }

    /// Where not every header states a number.
    fn look_at_each(&self, disk: &dyn Disk, seq: u64) -> Option<usize> {
        self.segments.iter().rposition(|listed| {
            let link = listed.header(disk).and_then(Header::link);
            link.is_some_and(|link| link.first <= seq)
        })
    }
}

impl Listed {
    pub(super) fn header(&self, disk: &dyn Disk) -> Option<Header> {
        match self.find_header(disk) {
            Found::Header(header) => Some(header),
            Found::Gone | Found::Unreadable => None,
        }
    }

    /// Reads it once.
    fn find_header(&self, disk: &dyn Disk) -> Found {
        if let Some(&header) = self.header.get() {
            return Found::Header(header);
        }
        let read = disk.open(&self.path, Open::Read).and_then(read_header);
        match read {
            Ok(Ok(header)) => {
                let _ = self.header.set(header);
                Found::Header(header)
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound && !self.is_active => Found::Gone,
            Ok(Err(_)) | Err(_) => Found::Unreadable,
        }
    }
}
