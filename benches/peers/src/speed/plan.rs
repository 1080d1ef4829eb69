//! Which measurements a run consists of.

use std::time::Duration;

use super::{
    cell::Cell,
    entrant::{Entrant, Shape},
    phases::Timing,
};

/// Records of the targets.
pub const TARGET_BYTES: usize = 300;

/// What is measured, and how.
#[derive(Debug, Clone, PartialEq)]
pub struct Plan {
    /// Who takes part.
    pub entrants: Vec<Entrant>,
    /// With how many callers each.
    pub callers: Vec<usize>,
    /// With records of how many bytes.
    pub sizes: Vec<usize>,
    /// Each measurement's time.
    pub timing: Timing,
    /// How often everything is measured.
    pub rounds: usize,
    /// Calls in flight of each of the tasks that submit.
    pub in_flight: usize,
    /// Only what the targets are judged by.
    pub targets_only: bool,
}

impl Default for Plan {
    fn default() -> Self {
        Self {
            entrants: Entrant::usual(),
            callers: vec![1, 4, 16, 64, 256, 1024, 2048, 4096],
            sizes: vec![100, TARGET_BYTES, 4096, 65_536],
            timing: Timing { warm_up: Duration::from_millis(300), window: Duration::from_secs(1) },
            rounds: 5,
            in_flight: 4096,
            targets_only: false,
        }
    }
}

impl Plan {
    /// What is measured within one round, in the order in which it is done: the entrants that are compared follow each
    /// other at once.
    #[must_use]
    pub fn round(&self, count_peers: bool) -> Vec<Cell> {
        let mut cells = Vec::new();
        for &record_bytes in &self.sizes {
            let groups = self.callers.iter().map(|&callers| Some(callers)).chain([None]);
            for group in groups {
                let entrants =
                    self.entrants.iter().filter(|entrant| self.wanted(**entrant, group, record_bytes));
                cells.extend(entrants.map(|&entrant| Cell {
                    entrant,
                    callers: group.unwrap_or(0),
                    record_bytes,
                    timing: self.timing,
                    in_flight: self.in_flight,
                    count_peers,
                }));
            }
        }
        cells
    }

    /// Whether `entrant` is measured with so many callers; with none: in bulk.
    fn wanted(&self, entrant: Entrant, callers: Option<usize>, record_bytes: usize) -> bool {
        let target = record_bytes == TARGET_BYTES
            && [Some(1), Some(16), Some(256), Some(2048), None].contains(&callers);
        if self.targets_only && (!target || entrant == Entrant::EchoEmpty && callers == Some(1)) {
            return false;
        }
        match entrant.shape() {
            Shape::Callers => callers.is_some(),
            Shape::One => callers == Some(1),
            Shape::Bulk => callers.is_none(),
            Shape::Target => record_bytes == TARGET_BYTES && callers == Some(256),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{Entrant, Plan};

    #[test]
    fn every_round_measures_each_thing_once_and_what_is_compared_together() {
        let round = Plan::default().round(false);
        for (index, cell) in round.iter().enumerate() {
            assert!(!round[index + 1..].contains(cell), "{cell:?} twice");
        }
        let with_256 = |entrant| {
            round
                .iter()
                .position(|cell| (cell.entrant, cell.callers, cell.record_bytes) == (entrant, 256, 300))
        };
        let (first, last) = (with_256(Entrant::Append), with_256(Entrant::Echo));
        assert!(
            first.zip(last).is_some_and(|(first, last)| last > first && last - first < Entrant::ALL.len())
        );
    }

    #[test]
    fn a_floor_has_one_caller_and_bulk_has_no_number_of_them() {
        for cell in Plan::default().round(false) {
            match cell.entrant {
                Entrant::FloorDirect | Entrant::FloorBuffered => assert_eq!(cell.callers, 1),
                Entrant::Submit | Entrant::AppendBatch | Entrant::AppendJson => assert_eq!(cell.callers, 0),
                _ => {}
            }
        }
    }

    #[test]
    fn the_targets_alone_need_fewer_measurements() {
        let all = Plan::default();
        let targets = Plan { targets_only: true, ..Plan::default() };
        assert!(targets.round(false).len() < all.round(false).len() / 3);
        assert!(targets.round(false).iter().all(|cell| cell.record_bytes == 300));
    }
}
