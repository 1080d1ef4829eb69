//! Many power cuts of one recording, tried by several workers at once: most of a mount is waiting.

use std::{
    collections::HashSet,
    ops::Range,
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

use crate::{
    bench::Bench,
    check::Trouble,
    crash::{Builder, Crash},
    mark::Mark,
    promise::Promises,
    recording::Recording,
};

/// Crashes that one worker takes at a time: neighbours share most of their images.
const SHARE: usize = 6;

/// An image that takes longer is told of: nothing in it should take seconds, on however busy a machine.
const LONG: Duration = Duration::from_secs(60);

/// When a crew stops before all is tried.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Limits<'a> {
    pub(crate) stop: &'a AtomicBool,
    pub(crate) deadline: Option<Instant>,
    /// So many troubles are enough.
    pub(crate) troubles_max: usize,
}

/// What a crew found.
#[derive(Debug, Default)]
pub(crate) struct Findings {
    pub(crate) images: usize,
    /// The moments of these images.
    pub(crate) moments: HashSet<usize>,
    pub(crate) troubles: Vec<(Crash, Trouble)>,
    /// Images whose file system did not survive its own metadata blocks torn inside: they say nothing of journals.
    pub(crate) unmountable: usize,
}

/// Tries `crashes`, which ascend, on all of `benches`.
pub(crate) fn try_all(
    benches: &mut [Bench],
    recording: &Recording,
    marks: &[(usize, Mark)],
    crashes: &[Crash],
    limits: Limits<'_>,
) -> Findings {
    let queue = Queue { crashes, next: AtomicUsize::new(0), findings: Mutex::default(), limits };
    thread::scope(|scope| {
        for bench in benches {
            let queue = &queue;
            scope.spawn(move || queue.work(bench, Builder::new(recording), Promises::new(marks)));
        }
    });
    queue.findings.into_inner().unwrap_or_else(PoisonError::into_inner)
}

#[derive(Debug)]
struct Queue<'a> {
    crashes: &'a [Crash],
    next: AtomicUsize,
    findings: Mutex<Findings>,
    limits: Limits<'a>,
}

impl Queue<'_> {
    fn work(&self, bench: &mut Bench, mut builder: Builder<'_>, mut promises: Promises<'_>) {
        while let Some(share) = self.share() {
            for crash in &self.crashes[share] {
                if self.is_over() {
                    return;
                }
                let begun = Instant::now();
                let outcome = bench.try_crash(&mut builder, &mut promises, *crash);
                self.note(*crash, outcome, begun.elapsed());
            }
        }
    }

    fn share(&self) -> Option<Range<usize>> {
        let from = self.next.fetch_add(SHARE, Ordering::Relaxed);
        (from < self.crashes.len()).then(|| from..self.crashes.len().min(from + SHARE))
    }

    fn is_over(&self) -> bool {
        let Limits { stop, deadline, troubles_max } = self.limits;
        let troubles = self.findings.lock().unwrap_or_else(PoisonError::into_inner).troubles.len();
        stop.load(Ordering::Relaxed)
            || deadline.is_some_and(|deadline| Instant::now() > deadline)
            || troubles >= troubles_max
    }

    fn note(&self, crash: Crash, outcome: Result<(), Trouble>, took: Duration) {
        let mut findings = self.findings.lock().unwrap_or_else(PoisonError::into_inner);
        findings.images += 1;
        findings.moments.insert(crash.at);
        match outcome {
            Err(Trouble::NotMounted(_)) if crash.kept.tears_blocks() => findings.unmountable += 1,
            Err(trouble) => findings.troubles.push((crash, trouble)),
            Ok(()) if took > LONG => {
                let what = format!("one image took {} s", took.as_secs());
                findings.troubles.push((crash, Trouble::Broken { journal: 0, what }));
            }
            Ok(()) => {}
        }
    }
}
