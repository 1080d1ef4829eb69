//! What a reader of single records knows of a journal, and how it finds one.
//!
//! Everything here may be out of date: the journal is appended to, rotated and shortened by others. What is known only
//! says where to look. Wherever the files say otherwise they are listed anew, and read from where they begin.

use std::{
    fmt, io,
    ops::Range,
    path::{Path, PathBuf},
    sync::Arc,
};

use super::{
    found::Found,
    listing::Listing,
    waypoints::{BYTES_MAX, EVERY_BYTES, Waypoints},
};
use crate::{
    MiniStoreError, Result,
    device::{Disk, DiskFile, Open},
    format::Link,
    names::Names,
    reader::{
        Snapshot,
        cursor::Cursor,
        feed::{Feed, LISTINGS_MAX},
        segment::Segment,
    },
    scan::{Collect, End, Place, Scanner, Waypoint},
    sync::{Mutex, MutexGuard, PoisonError},
};

/// Shared by all who read the same journal by way of one reader.
pub(in crate::reader) struct Index {
    disk: Arc<dyn Disk>,
    path: PathBuf,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    listing: Option<Arc<Listing>>,
    waypoints: Waypoints,
}

/// Without all that it knows, and without its lock.
impl fmt::Debug for Index {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Index").field("path", &self.path).finish_non_exhaustive()
    }
}

impl Index {
    pub(super) fn new(disk: Arc<dyn Disk>, path: PathBuf) -> Self {
        let state = State { listing: None, waypoints: Waypoints::new(BYTES_MAX) };
        Self { disk, path, state: Mutex::new(state) }
    }

    pub(in crate::reader) fn disk(&self) -> &Arc<dyn Disk> {
        &self.disk
    }

    pub(in crate::reader) fn path(&self) -> &Path {
        &self.path
    }

    /// Memory held by what is known of the insides of segments, in bytes.
    pub(super) fn bytes(&self) -> usize {
        self.lock().waypoints.bytes()
    }

    /// Lists the segments anew; gives the active one, open.
    #[expect(clippy::type_complexity, reason = "a pair")]
    pub(in crate::reader) fn look(&self) -> Result<(Arc<Listing>, Option<(PathBuf, Arc<dyn DiskFile>)>)> {
        let snapshot = Snapshot::take(&*self.disk, &Names::resolve(&*self.disk, &self.path)?)?;
        let listing = Arc::new(Listing::of(&snapshot));
        self.lock().listing = Some(Arc::clone(&listing));
        Ok((listing, snapshot.active))
    }

    pub(in crate::reader) fn released(&self, first_seq: u64) -> MiniStoreError {
        MiniStoreError::Trimmed { path: self.path.clone(), first_seq }
    }

    /// The first record that is still there, where a header says it.
    pub(in crate::reader) fn first_seq(&self) -> Option<u64> {
        // All that was listed may be gone before it is looked at.
        let mut listings = (0..LISTINGS_MAX).map_while(|_| Some(self.look().ok()?.0));
        listings.find(|listing| !listing.is_gone(&*self.disk))?.first_seq(&*self.disk)
    }

    /// Whether the newest segment says the number of its first record.
    pub(super) fn states_numbers(&self) -> bool {
        let listing = self.lock().listing.clone();
        listing.is_some_and(|listing| listing.states_numbers(&*self.disk))
    }

    /// The record `seq`; `None` where the journal ends before it.
    pub(super) fn find(self: &Arc<Self>, seq: u64) -> Result<Option<Found>> {
        match self.find_where_known(seq) {
            Some(found) => Ok(found),
            None => self.find_anew(seq),
        }
    }

    /// `None` where what is known does not answer it.
    fn find_where_known(self: &Arc<Self>, seq: u64) -> Option<Option<Found>> {
        let listing = self.lock().listing.clone()?;
        let listed = listing.holding(&*self.disk, seq)?;
        let header = listed.header(&*self.disk)?;
        let file = self.disk.open(&listed.path, Open::Read).ok()?;
        let scanner = Scanner::open(Arc::clone(&file), Collect::Lines).ok()?.ok()?;
        // What was the active file may be an archived one by now.
        let link = header.link().filter(|_| scanner.header() == header)?;
        let mut segment = Segment::new(Arc::clone(&listed.path), file, scanner, link.first);
        match seek(self, &mut segment, seq).ok()? {
            None => segment.take(seq).ok().flatten().map(Some),
            Some(end) => (listed.is_active && !is_damaged(&end)).then_some(None),
        }
    }

    /// Looks at the directory first, and on in the next segment where this one ends.
    pub(super) fn find_anew(self: &Arc<Self>, seq: u64) -> Result<Option<Found>> {
        let mut feed = Feed::of_range(self, only(seq))?;
        let mut cursor = Cursor::default();
        while cursor.refill(&mut feed)? {
            if cursor.advance(seq) {
                return Ok(cursor.line().map(|line| Found::of(&line)));
            }
        }
        Ok(None)
    }

    /// The number of the newest record; 0 where there is none.
    pub(super) fn last_seq(self: &Arc<Self>) -> Result<u64> {
        Feed::last_seq(self)
    }

    fn note(&self, link: Link, place: &Place, seq: u64) -> bool {
        let waypoint = place.waypoint();
        if let Some(waypoint) = waypoint {
            self.lock().waypoints.note(link, seq, waypoint);
        }
        waypoint.is_some()
    }

    fn waypoint_before(&self, link: Link, seq: u64) -> Option<(u64, Waypoint)> {
        self.lock().waypoints.before(link, seq)
    }

    fn forget(&self, link: Link) {
        self.lock().waypoints.forget(link);
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn only(seq: u64) -> Range<u64> {
    seq..seq.saturating_add(1)
}

fn is_damaged(end: &End) -> bool {
    end.tail.as_ref().is_some_and(|tail| tail.damaged)
}

/// Takes a segment to the group that holds record `seq`, from the nearest place that is known. The end, where it holds no
/// such record.
pub(in crate::reader) fn seek(
    index: &Arc<Index>,
    segment: &mut Segment,
    seq: u64,
) -> io::Result<Option<End>> {
    let link = segment.header().link();
    if let Some(link) = link {
        segment.leave(Trail { index: Arc::clone(index), link, next_offset: 0 });
    }
    if segment.next_seq() >= seq {
        return Ok(None);
    }
    if let Some(link) = link
        && let Some((from_seq, waypoint)) = index.waypoint_before(link, seq)
    {
        let mut further = segment.further_on(from_seq, waypoint);
        let sought = further.pass_to(seq);
        // A group stood behind it. Where none does any more, or another, what is known is of a tail that was cut.
        let confirmed = match &sought {
            Ok(None) => true,
            Ok(Some(end)) => further.next_seq() > from_seq && !is_damaged(end),
            Err(_) => false,
        };
        if confirmed {
            *segment = further;
            return sought;
        }
        index.forget(link);
    }
    segment.pass_to(seq)
}

/// Where it is noted how far a segment was verified.
#[derive(Debug, Clone)]
pub(in crate::reader) struct Trail {
    index: Arc<Index>,
    link: Link,
    next_offset: u64,
}

impl Trail {
    /// The group from here on was verified; `seq` is its first record.
    pub(in crate::reader) fn passed(&mut self, place: &Place, seq: u64) {
        if place.offset() >= self.next_offset && self.index.note(self.link, place, seq) {
            self.next_offset = place.offset() + EVERY_BYTES;
        }
    }
}
