//! Owns what the bytes of a segment are spent on, and the bar that shows it.

use std::{env, io};

use anstyle::{AnsiColor, Style};
use ministore_uring::maintenance::{Segment, SegmentState};
use terminal_size::{Width, terminal_size_of};

use crate::{
    style::{ERROR, FAINT, Paint},
    units,
};

/// How wide a bar is where the terminal does not say how wide it may be, and at most.
const BAR_MAX: usize = 40;

/// Less says nothing.
const BAR_MIN: usize = 10;

/// Bytes of one segment, or of several.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Space {
    pub(super) header: u64,
    pub(super) records: u64,
    pub(super) seals: u64,
    /// Line feeds and closed marks.
    pub(super) line_ends: u64,
    pub(super) padding: u64,
    /// A torn tail, or damage and everything behind it.
    pub(super) unverified: u64,
}

/// A part of a bar: what it is called, and how it is drawn.
struct Part {
    name: &'static str,
    bytes: fn(&Space) -> u64,
    block: char,
    /// Where the locale has no other characters.
    ascii: char,
    style: Style,
}

const PARTS: [Part; 4] = [
    Part {
        name: "records",
        bytes: |space| space.records,
        block: '█',
        ascii: '#',
        style: AnsiColor::Green.on_default(),
    },
    Part {
        name: "headers, seals, line feeds",
        bytes: |space| space.header + space.seals + space.line_ends,
        block: '▒',
        ascii: '=',
        style: AnsiColor::Blue.on_default(),
    },
    Part { name: "padding", bytes: |space| space.padding, block: '░', ascii: '.', style: FAINT },
    Part { name: "not verified", bytes: |space| space.unverified, block: '×', ascii: '!', style: ERROR },
];

impl Space {
    pub(super) fn of(segment: &Segment) -> Self {
        let sound = matches!(segment.state, SegmentState::Closed | SegmentState::Open);
        let [header, records, seals] = [segment.header_bytes, segment.record_bytes, segment.seal_bytes];
        let behind = segment.file_bytes.saturating_sub(segment.data_bytes);
        let between = segment.data_bytes.saturating_sub(header + records + seals);
        // Behind what verifies there are a line feed, the closed mark and padding; behind a fault nobody knows.
        let (last, padding, unverified) = if sound {
            // It may be written further ahead while it is read.
            let padding = segment.padding_bytes.min(behind);
            (behind - padding, padding, 0)
        } else {
            (0, 0, behind)
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

    /// So many characters for all its bytes.
    fn bar(&self, width: usize, ascii: bool, paint: Paint) -> String {
        let cells = cells(PARTS.map(|part| (part.bytes)(self)), width);
        let drawn = PARTS.iter().zip(cells).filter(|&(_, cells)| cells > 0);
        drawn
            .map(|(part, cells)| paint.with(part.style, part.sign(ascii).to_string().repeat(cells)))
            .collect()
    }

    /// What the signs of the bars mean, for those that can be seen in them.
    fn legend(&self, ascii: bool, paint: Paint) -> String {
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

impl Part {
    fn sign(&self, ascii: bool) -> char {
        if ascii { self.ascii } else { self.block }
    }
}

/// Bars of the segments and of all together, and what their signs mean.
pub(super) fn bars(rows: &[(String, Space)], total: &Space) -> Vec<String> {
    let (paint, ascii) = (Paint::of_stdout(), !has_blocks());
    let names = rows.iter().map(|(name, _)| name.chars().count()).max().unwrap_or(0).max("total".len());
    let width = terminal_size_of(io::stdout()).map_or(BAR_MAX, |(Width(columns), _)| {
        usize::from(columns).saturating_sub(names + "  ".len()).clamp(BAR_MIN, BAR_MAX)
    });
    let bar = |name: &str, space: &Space| format!("{name:names$}  {}", space.bar(width, ascii, paint));
    let mut lines: Vec<String> = rows.iter().map(|(name, space)| bar(name, space)).collect();
    // One segment is all there is.
    if rows.len() > 1 {
        lines.push(bar("total", total));
    }
    lines.push(total.legend(ascii, paint));
    lines
}

/// Whether the locale has the characters of a bar. One that says nothing is taken to be as most are today.
fn has_blocks() -> bool {
    let value = |name| env::var(name).ok().filter(|value| !value.is_empty());
    let locale = ["LC_ALL", "LC_CTYPE", "LANG"].into_iter().find_map(value);
    locale.is_none_or(|locale| {
        let locale = locale.to_ascii_lowercase();
        locale.contains("utf-8") || locale.contains("utf8")
    })
}

/// Shares a bar out: whatever there is can be seen, and the largest part bears what does not come out even.
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

/// A part in percent, so that what is there is not shown as nothing.
fn share(part: u64, total: u64) -> String {
    let tenths = units::ratio(part.saturating_mul(1000), units::ratio(total, 1.0));
    if part > 0 && tenths < 1.0 { "< 0.1 %".to_owned() } else { format!("{:.1} %", tenths / 10.0) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bar_is_as_wide_as_it_is_to_be_and_shows_whatever_there_is() {
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
    fn what_is_there_is_not_shown_as_nothing() {
        assert_eq!([share(1, 100_000), share(0, 10), share(1, 3)], ["< 0.1 %", "0.0 %", "33.3 %"]);
    }
}
