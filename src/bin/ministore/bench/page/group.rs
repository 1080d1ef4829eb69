//! Owns how the points of a sweep are sorted for the page: into groups that differ in one thing alone. Pure.

use super::shown;
use crate::bench::outcome::{Point, Setting};

/// What the points of a group differ in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Over {
    Callers,
    Rate,
}

impl Over {
    pub(super) fn of(self, point: &Point) -> f64 {
        match self {
            Self::Callers => f64::from(point.setting.callers),
            Self::Rate => point.setting.rate.unwrap_or(0.0),
        }
    }

    pub(super) fn noun(self) -> &'static str {
        match self {
            Self::Callers => "callers",
            Self::Rate => "appends due a second",
        }
    }

    /// `16 callers`, `5,000 due a second`.
    pub(super) fn tip(self, point: &Point) -> String {
        match (self, point.setting.callers) {
            (Self::Callers, 1) => "1 caller".to_owned(),
            (Self::Callers, callers) => format!("{} callers", shown::whole(f64::from(callers))),
            (Self::Rate, _) => format!("{} due a second", point.setting.rate.unwrap_or(0.0)),
        }
    }
}

/// Points that differ in one thing, with their places among all.
#[derive(Debug)]
pub(super) struct Group<'a> {
    pub(super) name: String,
    pub(super) over: Over,
    pub(super) points: Vec<(usize, &'a Point)>,
}

pub(super) fn groups(points: &[Point]) -> Vec<Group<'_>> {
    let one_number = points.windows(2).all(|two| two[0].setting.callers == two[1].setting.callers);
    let open = points.iter().all(|point| point.setting.rate.is_some());
    let over = if one_number && open { Over::Rate } else { Over::Callers };
    let mut groups: Vec<Group<'_>> = Vec::new();
    for (n, point) in points.iter().enumerate() {
        let name = name(&point.setting, over);
        match groups.iter_mut().find(|group| group.name == name) {
            Some(group) => group.points.push((n, point)),
            None => groups.push(Group { name, over, points: vec![(n, point)] }),
        }
    }
    for group in &mut groups {
        group.points.sort_by(|(_, a), (_, b)| over.of(a).total_cmp(&over.of(b)));
    }
    groups
}

fn name(setting: &Setting, over: Over) -> String {
    let Setting { callers, record_bytes, backend, rate } = setting;
    let loop_ = match (over, rate) {
        (Over::Callers, None) => "closed loop".to_owned(),
        (Over::Callers, Some(rate)) => format!("open loop, {rate} due a second"),
        (Over::Rate, _) => format!("open loop, at most {callers} in flight"),
    };
    format!("{record_bytes} B, {backend}, {loop_}")
}
