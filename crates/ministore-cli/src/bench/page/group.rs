//! Groups the points of a sweep that differ in one parameter only. Pure.

use crate::{
    bench::report::{BenchPoint, Point},
    units,
};

/// The parameter that differs within a group.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum XAxis {
    Clients,
    Rate,
}

impl XAxis {
    pub(super) fn of(self, point: &Point) -> f64 {
        match self {
            Self::Clients => f64::from(point.setting.clients),
            Self::Rate => point.setting.rate.unwrap_or(0.0),
        }
    }

    pub(super) fn noun(self) -> &'static str {
        match self {
            Self::Clients => "clients",
            Self::Rate => "appends due per second",
        }
    }

    /// Returns `16 clients` or `5,000 due per second`.
    pub(super) fn tip(self, point: &Point) -> String {
        match (self, point.setting.clients) {
            (Self::Clients, 1) => "1 client".to_owned(),
            (Self::Clients, clients) => format!("{} clients", units::rounded(f64::from(clients))),
            (Self::Rate, _) => format!("{} due per second", point.setting.rate.unwrap_or(0.0)),
        }
    }
}

/// Points that differ in one parameter, with their indexes.
#[derive(Debug)]
pub(super) struct Group<'a> {
    pub(super) name: String,
    pub(super) over: XAxis,
    pub(super) points: Vec<(usize, &'a Point)>,
}

pub(super) fn groups(points: &[Point]) -> Vec<Group<'_>> {
    let one_number = points.windows(2).all(|two| two[0].setting.clients == two[1].setting.clients);
    let open = points.iter().all(|point| point.setting.rate.is_some());
    let over = if one_number && open { XAxis::Rate } else { XAxis::Clients };
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

fn name(setting: &BenchPoint, over: XAxis) -> String {
    let BenchPoint { clients, record_bytes, backend, rate } = setting;
    let loop_ = match (over, rate) {
        (XAxis::Clients, None) => "closed loop".to_owned(),
        (XAxis::Clients, Some(rate)) => format!("open loop, {rate} due per second"),
        (XAxis::Rate, _) => format!("open loop, at most {clients} in flight"),
    };
    format!("{record_bytes} B, {backend}, {loop_}")
}
