//! The text form of a distribution, as HdrHistogram's own tools write it and its plotter reads it.

use std::io::{self, Write};

use hdrhistogram::Histogram;

/// Steps for each halving of the distance to 100 %: the default of HdrHistogram.
const TICKS_PER_HALF_DISTANCE: u32 = 5;

/// Writes the distribution as HdrHistogram prints it (`.hgrm`), each value divided by `per_unit`: 1000.0 makes
/// microseconds of nanoseconds.
///
/// ```
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let dir = tempfile::tempdir()?;
/// # let store = ministore_uring::JournalOptions::new().open_blocking(dir.path().join("j"))?;
/// use ministore_uring::stats::write_hgrm;
///
/// store.blocking().append(&"hello")?;
/// let mut text = Vec::new();
/// write_hgrm(&store.stats().sync, 1000.0, &mut text)?;
/// # assert!(String::from_utf8(text)?.contains("Total count    =            1]"));
/// # Ok(())
/// # }
/// ```
///
/// # Errors
///
/// Those of `out`.
pub fn write_hgrm(histogram: &Histogram<u64>, per_unit: f64, out: &mut impl Write) -> io::Result<()> {
    writeln!(out, "{:>12} {:>14} {:>10} {:>14}\n", "Value", "Percentile", "TotalCount", "1/(1-Percentile)")?;
    let mut total = 0;
    for step in histogram.iter_quantiles(TICKS_PER_HALF_DISTANCE) {
        total += step.count_since_last_iteration();
        let value = step.value_iterated_to() as f64 / per_unit;
        let quantile = step.quantile_iterated_to();
        if quantile < 1.0 {
            writeln!(out, "{value:12.3} {quantile:2.12} {total:10} {:14.2}", 1.0 / (1.0 - quantile))?;
        } else {
            writeln!(out, "{value:12.3} {quantile:2.12} {total:10}")?;
        }
    }
    footer(histogram, per_unit, out)
}

fn footer(histogram: &Histogram<u64>, per_unit: f64, out: &mut impl Write) -> io::Result<()> {
    let (mean, deviation) = (histogram.mean() / per_unit, histogram.stdev() / per_unit);
    writeln!(out, "#[Mean    = {mean:12.3}, StdDeviation   = {deviation:12.3}]")?;
    let max = histogram.max() as f64 / per_unit;
    writeln!(out, "#[Max     = {max:12.3}, Total count    = {:12}]", histogram.len())?;
    writeln!(out, "#[Buckets = {:12}, SubBuckets     = {:12}]", histogram.buckets(), sub_buckets(histogram))
}

/// Returns the smallest power of two that resolves the significant digits, as HdrHistogram defines it.
fn sub_buckets(histogram: &Histogram<u64>) -> u64 {
    (2 * 10_u64.pow(u32::from(histogram.sigfig()))).next_power_of_two()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(histogram: &Histogram<u64>) -> Vec<String> {
        let mut out = Vec::new();
        write_hgrm(histogram, 1000.0, &mut out).unwrap();
        String::from_utf8(out).unwrap().lines().map(str::to_owned).collect()
    }

    #[test]
    fn hgrm_text_has_the_format_of_the_plotter() {
        let mut histogram = Histogram::new_with_bounds(1, 3_600_000_000_000, 3).unwrap();
        (1..=1000).for_each(|n| histogram.record(n * 1000).unwrap());
        let lines = text(&histogram);
        assert_eq!(lines[0], "       Value     Percentile TotalCount 1/(1-Percentile)");
        assert_eq!(lines[1], "");
        assert_eq!(lines[2], "       1.000 0.000000000000          1           1.00");
        let last_row = lines.iter().rposition(|line| !line.starts_with('#')).unwrap();
        assert_eq!(
            lines[last_row].split_whitespace().skip(1).collect::<Vec<_>>(),
            ["1.000000000000", "1000"]
        );
        assert!(lines[last_row + 1].starts_with("#[Mean    =      500."), "{lines:?}");
        assert!(lines[last_row + 2].ends_with(", Total count    =         1000]"), "{lines:?}");
        assert!(lines[last_row + 3].ends_with(", SubBuckets     =         2048]"), "{lines:?}");
    }

    #[test]
    fn hgrm_values_and_counts_never_decrease() {
        let mut histogram = Histogram::new(3).unwrap();
        (0..10_000_u64).for_each(|n| histogram.record(1 + n * n % 7919).unwrap());
        let lines = text(&histogram);
        let rows = lines[2..].iter().filter(|line| !line.starts_with('#'));
        let rows: Vec<Vec<f64>> =
            rows.map(|row| row.split_whitespace().map(|cell| cell.parse().unwrap()).collect()).collect();
        assert!(rows.windows(2).all(|pair| (0..3).all(|column| pair[0][column] <= pair[1][column])));
    }
}
