//! The measurements of a run.

use std::time::Duration;

use super::{
    bench_case::{BenchCase, Shape},
    measure::MeasurementConfig,
    phases::Timing,
    records::RecordKind,
};

/// The records of most targets.
pub const TARGET_RECORDS: RecordKind = RecordKind::of_bytes(300);

/// The records of the target for large ones.
pub const LARGE_RECORDS: RecordKind = RecordKind::ready(65_536);

/// The numbers of callers of that target.
pub const LARGE_RECORD_CALLERS: [usize; 3] = [4, 16, 64];

/// The least number of rounds in which targets are evaluated.
pub const TARGET_ROUNDS: usize = 8;

#[derive(Debug, Clone, PartialEq)]
pub struct BenchPlan {
    pub cases: Vec<BenchCase>,
    pub callers: Vec<usize>,
    pub kinds: Vec<RecordKind>,
    pub timing: Timing,
    pub rounds: usize,
    /// The calls in flight of each task that submits.
    pub in_flight: usize,
    /// Whether only the cases that the targets need are measured.
    pub targets_only: bool,
}

impl Default for BenchPlan {
    fn default() -> Self {
        Self {
            cases: BenchCase::usual(),
            callers: vec![1, 4, 16, 64, 256, 1024, 2048, 4096],
            kinds: [100, 300, 4096, 65_536].map(RecordKind::of_bytes).to_vec(),
            timing: Timing { warm_up: Duration::from_millis(300), window: Duration::from_secs(1) },
            rounds: 5,
            in_flight: 4096,
            targets_only: false,
        }
    }
}

impl BenchPlan {
    /// Returns the measurements of one round in their order: cases that are compared directly follow each other.
    pub fn round(&self, count_peers: bool) -> Vec<MeasurementConfig> {
        let mut configs = Vec::new();
        for &records in &self.kinds {
            let groups = self.callers.iter().map(|&callers| Some(callers)).chain([None]);
            for group in groups {
                let cases = self.cases.iter().filter(|case| self.is_included(**case, group, records));
                configs.extend(cases.map(|&case| MeasurementConfig {
                    case,
                    callers: group.unwrap_or(0),
                    records,
                    timing: self.timing,
                    in_flight: self.in_flight,
                    count_peers,
                    write_bytes: None,
                }));
            }
        }
        configs
    }

    /// Returns whether `case` is measured with `callers` callers; `None` means pipelined.
    fn is_included(&self, case: BenchCase, callers: Option<usize>, records: RecordKind) -> bool {
        if self.targets_only && !is_in_a_target(case, callers, records) {
            return false;
        }
        match case.shape() {
            Shape::Callers => callers.is_some(),
            Shape::One => callers == Some(1),
            Shape::Bulk => callers.is_none(),
            Shape::Target => records == TARGET_RECORDS && callers == Some(256),
        }
    }
}

/// Returns whether a target compares this case with this number of callers.
fn is_in_a_target(case: BenchCase, callers: Option<usize>, records: RecordKind) -> bool {
    let ours_or_best_peer = case == BenchCase::Append || case.is_grouping_peer();
    match (records, callers) {
        (TARGET_RECORDS, None) => true,
        (TARGET_RECORDS, Some(1)) => {
            case.shape() == Shape::One
                || [BenchCase::Append, BenchCase::AppendBlocking, BenchCase::Okaywal, BenchCase::RaftEngine]
                    .contains(&case)
        }
        (TARGET_RECORDS, Some(16)) => ours_or_best_peer,
        (TARGET_RECORDS, Some(256 | 2048)) => {
            ours_or_best_peer || case == BenchCase::Echo || case.shape() == Shape::Target
        }
        (LARGE_RECORDS, Some(callers)) => ours_or_best_peer && LARGE_RECORD_CALLERS.contains(&callers),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::{BenchCase, BenchPlan, LARGE_RECORDS, TARGET_RECORDS};

    #[test]
    fn round_measures_each_case_once_in_order() {
        let round = BenchPlan::default().round(false);
        for (index, config) in round.iter().enumerate() {
            assert!(!round[index + 1..].contains(config), "{config:?} twice");
        }
        let with_256 = |case| {
            round.iter().position(|config| {
                (config.case, config.callers, config.records) == (case, 256, TARGET_RECORDS)
            })
        };
        let (first, last) = (with_256(BenchCase::Append), with_256(BenchCase::Echo));
        assert!(
            first
                .zip(last)
                .is_some_and(|(first, last)| last > first && last - first < BenchPlan::default().cases.len())
        );
    }

    #[test]
    fn baseline_has_one_caller_and_pipelined_none() {
        for config in BenchPlan::default().round(false) {
            match config.case {
                BenchCase::FloorDirect | BenchCase::FloorBuffered => assert_eq!(config.callers, 1),
                BenchCase::Submit | BenchCase::AppendBatch | BenchCase::AppendJson => {
                    assert_eq!(config.callers, 0)
                }
                _ => {}
            }
        }
    }

    #[test]
    fn targets_only_plan_has_fewer_measurements() {
        let all = BenchPlan { kinds: vec![TARGET_RECORDS, LARGE_RECORDS], ..BenchPlan::default() };
        let targets = BenchPlan { targets_only: true, ..all.clone() };
        let (all, targets) = (all.round(false), targets.round(false));
        assert!(targets.len() < all.len() / 3, "{} of {}", targets.len(), all.len());
        for config in targets.iter().filter(|config| config.records == LARGE_RECORDS) {
            assert!([4, 16, 64].contains(&config.callers), "{config:?}");
        }
    }
}
