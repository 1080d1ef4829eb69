//! Tests many power cuts of one recording on several workers in parallel, because a mount mostly waits for the kernel.

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

use ministore_faultfs::recording::Recording;

use crate::{
    acked_state::AckedStates,
    check::Finding,
    crash::{Crash, ImageBuilder, tears_blocks},
    image_tester::ImageTester,
    marker::Marker,
};

/// Crashes that a worker takes at a time: neighbours share most of their images.
const CHUNK_LEN: usize = 6;

/// Tests of an image that take longer are reported, because no step should take seconds even on a busy machine.
const MAX_IMAGE_TIME: Duration = Duration::from_secs(60);

/// Conditions that stop the workers early.
#[derive(Debug, Clone, Copy)]
pub(crate) struct StopConditions<'a> {
    pub(crate) stop: &'a AtomicBool,
    pub(crate) deadline: Option<Instant>,
    /// Stop after this number of findings.
    pub(crate) max_findings: usize,
}

/// The results of all workers.
#[derive(Debug, Default)]
pub(crate) struct CheckResults {
    pub(crate) images: usize,
    /// The crash points of these images.
    pub(crate) points: HashSet<usize>,
    pub(crate) findings: Vec<(Crash, Finding)>,
    /// Images whose file system did not survive torn metadata blocks. They show nothing about journals.
    pub(crate) unmountable: usize,
}

/// Tests `crashes`, which must ascend, on all testers.
pub(crate) fn check_all(
    testers: &mut [ImageTester],
    recording: &Recording,
    markers: &[(usize, Marker)],
    crashes: &[Crash],
    stop_conditions: StopConditions<'_>,
) -> CheckResults {
    let queue = CrashQueue { crashes, next: AtomicUsize::new(0), results: Mutex::default(), stop_conditions };
    thread::scope(|scope| {
        for tester in testers {
            let queue = &queue;
            scope.spawn(move || queue.work(tester, ImageBuilder::new(recording), AckedStates::new(markers)));
        }
    });
    queue.results.into_inner().unwrap_or_else(PoisonError::into_inner)
}

#[derive(Debug)]
struct CrashQueue<'a> {
    crashes: &'a [Crash],
    next: AtomicUsize,
    results: Mutex<CheckResults>,
    stop_conditions: StopConditions<'a>,
}

impl CrashQueue<'_> {
    fn work(
        &self,
        tester: &mut ImageTester,
        mut builder: ImageBuilder<'_>,
        mut acked_states: AckedStates<'_>,
    ) {
        while let Some(chunk) = self.next_chunk() {
            for crash in &self.crashes[chunk] {
                if self.is_over() {
                    return;
                }
                let started = Instant::now();
                let outcome = tester.check_crash(&mut builder, &mut acked_states, *crash);
                self.add_outcome(*crash, outcome, started.elapsed());
            }
        }
    }

    fn next_chunk(&self) -> Option<Range<usize>> {
        let from = self.next.fetch_add(CHUNK_LEN, Ordering::Relaxed);
        (from < self.crashes.len()).then(|| from..self.crashes.len().min(from + CHUNK_LEN))
    }

    fn is_over(&self) -> bool {
        let StopConditions { stop, deadline, max_findings } = self.stop_conditions;
        let findings = self.results.lock().unwrap_or_else(PoisonError::into_inner).findings.len();
        stop.load(Ordering::Relaxed)
            || deadline.is_some_and(|deadline| Instant::now() > deadline)
            || findings >= max_findings
    }

    fn add_outcome(&self, crash: Crash, outcome: Result<(), Finding>, took: Duration) {
        let mut results = self.results.lock().unwrap_or_else(PoisonError::into_inner);
        results.images += 1;
        results.points.insert(crash.at);
        match outcome {
            Err(Finding::NotMounted(_)) if tears_blocks(crash.kept) => results.unmountable += 1,
            Err(finding) => results.findings.push((crash, finding)),
            Ok(()) if took > MAX_IMAGE_TIME => {
                let message = format!("one image took {} s", took.as_secs());
                results.findings.push((crash, Finding::Violation { journal: 0, message }));
            }
            Ok(()) => {}
        }
    }
}
