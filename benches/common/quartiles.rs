//! The one statistic that all benches report.

/// Lower quartile, median and upper quartile: the nearest values themselves, none in between. Not a number where there are none.
pub(crate) fn quartiles(values: impl IntoIterator<Item = f64>) -> [f64; 3] {
    let mut all: Vec<f64> = values.into_iter().collect();
    all.sort_by(f64::total_cmp);
    let at = |q: f64| {
        let place = ((all.len().max(1) - 1) as f64 * q).round() as usize;
        all.get(place).copied().unwrap_or(f64::NAN)
    };
    [at(0.25), at(0.5), at(0.75)]
}
