//! The measurements of a run.

use std::time::Duration;

use super::{
    bench_case::{BenchCase, Shape},
    measure::MeasurementConfig,
    phases::Timing,
};

pub const TARGET_BYTES: usize = 300;

#[derive(Debug, Clone, PartialEq)]
pub struct BenchPlan {
    pub cases: Vec<BenchCase>,
    pub callers: Vec<usize>,
    pub sizes: Vec<usize>,
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
            sizes: vec![100, TARGET_BYTES, 4096, 65_536],
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
        for &record_bytes in &self.sizes {
            let groups = self.callers.iter().map(|&callers| Some(callers)).chain([None]);
            for group in groups {
                let cases = self.cases.iter().filter(|case| self.is_included(**case, group, record_bytes));
                configs.extend(cases.map(|&case| MeasurementConfig {
                    case,
                    callers: group.unwrap_or(0),
                    record_bytes,
                    timing: self.timing,
                    in_flight: self.in_flight,
                    count_peers,
                }));
            }
        }
        configs
    }

    /// Returns whether `case` is measured with `callers` callers; `None` means pipelined.
    fn is_included(&self, case: BenchCase, callers: Option<usize>, record_bytes: usize) -> bool {
        let target = record_bytes == TARGET_BYTES
            && [Some(1), Some(16), Some(256), Some(2048), None].contains(&callers);
        if self.targets_only && (!target || case == BenchCase::EchoEmpty && callers == Some(1)) {
            return false;
        }
        match case.shape() {
            Shape::Callers => callers.is_some(),
            Shape::One => callers == Some(1),
            Shape::Bulk => callers.is_none(),
            Shape::Target => record_bytes == TARGET_BYTES && callers == Some(256),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{BenchCase, BenchPlan};

    #[test]
    fn round_measures_each_case_once_in_order() {
        let round = BenchPlan::default().round(false);
        for (index, config) in round.iter().enumerate() {
            assert!(!round[index + 1..].contains(config), "{config:?} twice");
        }
        let with_256 = |case| {
            round
                .iter()
                .position(|config| (config.case, config.callers, config.record_bytes) == (case, 256, 300))
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
        let all = BenchPlan::default();
        let targets = BenchPlan { targets_only: true, ..BenchPlan::default() };
        assert!(targets.round(false).len() < all.round(false).len() / 3);
        assert!(targets.round(false).iter().all(|config| config.record_bytes == 300));
    }
}
