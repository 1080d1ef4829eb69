//! The use of the bytes of a segment, and the bar that shows it.

use std::{env, io};

use anstyle::{AnsiColor, Style};
use ministore_uring::maintenance::{SegmentReport, SegmentState};
use serde::Serialize;
use terminal_size::{Width, terminal_size_of};

use crate::{
    style::{Colors, ERROR, FAINT},
    units,
};

/// The maximum width of a bar, and the width if the output is not a terminal.
const BAR_MAX: usize = 40;

/// The minimum width of a bar.
const BAR_MIN: usize = 10;

/// The bytes of one or more segments, by use.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub(super) struct SpaceUsage {
    #[serde(rename = "header_bytes")]
    header: u64,
    #[serde(rename = "record_bytes")]
    records: u64,
    #[serde(rename = "seal_bytes")]
    seals: u64,
    /// Line feeds and closed marks.
    #[serde(rename = "line_end_bytes")]
    line_ends: u64,
    #[serde(rename = "padding_bytes")]
    padding: u64,
    /// A torn tail, or damage and everything after it.
    #[serde(rename = "unverified_bytes")]
    unverified: u64,
}

/// A part of a bar: its name and how it is drawn.
struct SpaceSlice {
    name: &'static str,
    bytes: fn(&SpaceUsage) -> u64,
    block: char,
    /// Used in other locales than UTF-8.
    ascii: char,
    style: Style,
}

const PARTS: [SpaceSlice; 4] = [
    SpaceSlice {
        name: "records",
        bytes: |space| space.records,
        block: '█',
        ascii: '#',
        style: AnsiColor::Green.on_default(),
    },
    SpaceSlice {
        name: "headers, seals, line feeds",
        bytes: |space| space.header + space.seals + space.line_ends,
        block: '▒',
        ascii: '=',
        style: AnsiColor::Blue.on_default(),
    },
    SpaceSlice { name: "padding", bytes: |space| space.padding, block: '░', ascii: '.', style: FAINT },
    SpaceSlice {
        name: "not verified",
        bytes: |space| space.unverified,
        block: '×',
        ascii: '!',
        style: ERROR,
    },
];

impl SpaceUsage {
    pub(super) fn of(segment: &SegmentReport) -> Self {
        let sound = matches!(segment.state, SegmentState::Closed | SegmentState::Open);
        let [header, records, seals] = [segment.header_bytes, segment.record_bytes, segment.seal_bytes];
        let after_data = segment.file_bytes.saturating_sub(segment.data_bytes);
        let between = segment.data_bytes.saturating_sub(header + records + seals);
        // After the verified data there are a line feed, the closed mark and padding; after damage nothing is known.
        let (last, padding, unverified) = if sound {
            // More may be preallocated while the file is read.
            let padding = segment.padding_bytes.min(after_data);
            (after_data - padding, padding, 0)
        } else {
            (0, 0, after_data)
        };
        Self { header, records, seals, line_ends: between + last, padding, unverified }
    }

    pub(super) fn sum(spaces: impl Iterator<Item = Self>) -> Self {
        spaces.fold(Self::default(), |sum, space| Self {
            header: sum.header + space.header,
            records: sum.records + space.records,
            seals: sum.seals + space.seals,
            line_ends: sum.line_ends + space.line_ends,
            padding: sum.padding + space.padding,
            unverified: sum.unverified + space.unverified,
        })
    }

    fn total(&self) -> u64 {
        PARTS.iter().map(|part| (part.bytes)(self)).sum()
    }

    /// Draws a bar of this width.
    fn bar(&self, width: usize, ascii: bool, paint: Colors) -> String {
        let cells = cells(PARTS.map(|part| (part.bytes)(self)), width);
        let drawn = PARTS.iter().zip(cells).filter(|&(_, cells)| cells > 0);
        drawn
            .map(|(part, cells)| paint.with(part.style, part.sign(ascii).to_string().repeat(cells)))
            .collect()
    }

    /// Explains the characters of the bars.
    fn legend(&self, ascii: bool, paint: Colors) -> String {
        let total = self.total();
        let shown = PARTS.iter().filter(|part| (part.bytes)(self) > 0).map(|part| {
            let bytes = (part.bytes)(self);
            let share = share(bytes, total);
            format!(
                "{} {} {} ({share})",
                paint.with(part.style, part.sign(ascii)),
                part.name,
                units::bytes(bytes)
            )
        });
        shown.collect::<Vec<_>>().join("  ")
    }
}

impl SpaceSlice {
    fn sign(&self, ascii: bool) -> char {
        if ascii { self.ascii } else { self.block }
    }
}

/// The bars of the segments and of the total, and the legend.
pub(super) fn bars(rows: &[(String, SpaceUsage)], total: &SpaceUsage) -> Vec<String> {
    let (paint, ascii) = (Colors::of_stdout(), !has_blocks());
    let names = rows.iter().map(|(name, _)| name.chars().count()).max().unwrap_or(0).max("total".len());
    let width = terminal_size_of(io::stdout()).map_or(BAR_MAX, |(Width(columns), _)| {
        usize::from(columns).saturating_sub(names + "  ".len()).clamp(BAR_MIN, BAR_MAX)
    });
    let bar = |name: &str, space: &SpaceUsage| format!("{name:names$}  {}", space.bar(width, ascii, paint));
    let mut lines: Vec<String> = rows.iter().map(|(name, space)| bar(name, space)).collect();
    // With one segment the total is the same.
    if rows.len() > 1 {
        lines.push(bar("total", total));
    }
    lines.push(total.legend(ascii, paint));
    lines
}

/// Whether the locale is UTF-8, which is also the default.
fn has_blocks() -> bool {
    let value = |name| env::var(name).ok().filter(|value| !value.is_empty());
    let locale = ["LC_ALL", "LC_CTYPE", "LANG"].into_iter().find_map(value);
    locale.is_none_or(|locale| {
        let locale = locale.to_ascii_lowercase();
        locale.contains("utf-8") || locale.contains("utf8")
    })
}

/// Distributes the cells of a bar: every part that is not empty gets at least one, and the largest part absorbs rounding.
fn cells<const N: usize>(parts: [u64; N], width: usize) -> [usize; N] {
    let total: u128 = parts.iter().copied().map(u128::from).sum();
    if total == 0 {
        return [0; N];
    }
    let exact = |part: u64| usize::try_from(u128::from(part) * width as u128 / total).unwrap_or(width);
    let mut cells = parts.map(|part| if part == 0 { 0 } else { exact(part).max(1) });
    let others = |cells: &[usize; N], largest: usize| cells.iter().sum::<usize>() - cells[largest];
    if let Some(largest) = (0..N).max_by_key(|&part| parts[part]) {
        cells[largest] = width.saturating_sub(others(&cells, largest));
    }
    cells
}

/// Formats a share in percent; a small share is not shown as 0.
fn share(part: u64, total: u64) -> String {
    let tenths = units::ratio(part.saturating_mul(1000), units::ratio(total, 1.0));
    if part > 0 && tenths < 1.0 { "< 0.1 %".to_owned() } else { format!("{:.1} %", tenths / 10.0) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bar_has_the_given_width_and_shows_all_parts() {
        let cases = [
            ([1000, 0, 0, 0], [40, 0, 0, 0]),
            ([500, 500, 0, 0], [20, 20, 0, 0]),
            ([1_000_000, 1, 1, 1], [37, 1, 1, 1]),
            ([1, 0, u64::MAX - 1, 0], [1, 0, 39, 0]),
            ([0, 0, 0, 0], [0, 0, 0, 0]),
            ([1, 1, 1, 0], [13, 13, 14, 0]),
        ];
        for (parts, expected) in cases {
            assert_eq!(cells(parts, 40), expected, "{parts:?}");
        }
    }

    #[test]
    fn small_share_is_not_shown_as_zero() {
        assert_eq!([share(1, 100_000), share(0, 10), share(1, 3)], ["< 0.1 %", "0.0 %", "33.3 %"]);
    }
}
