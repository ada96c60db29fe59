//! An axis: its range, its ticks and their words.
//!
//! Knows numbers only. A logarithmic axis is a linear one of logarithms, so that ticks stand where people expect them.

use std::ops::Range;

use plotters::coord::ranged1d::{DefaultFormatting, KeyPointHint, Ranged};

/// How values are laid out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scale {
    /// Evenly.
    Linear,
    /// By their decimal logarithm; what is not above zero is not shown.
    Log,
}

/// One side of a chart.
#[derive(Clone, Debug)]
pub struct Axis {
    label: String,
    scale: Scale,
    format: fn(f64) -> String,
    ticks: Option<Vec<f64>>,
    range: Option<(f64, f64)>,
}

impl Axis {
    /// An axis named `label` whose ticks are written by `format`; its range is that of the data.
    #[must_use]
    pub fn new(label: &str, scale: Scale, format: fn(f64) -> String) -> Self {
        Self { label: label.to_owned(), scale, format, ticks: None, range: None }
    }

    /// With ticks at these values and nowhere else.
    #[must_use]
    pub fn ticks(mut self, ticks: Vec<f64>) -> Self {
        self.ticks = Some(ticks);
        self
    }

    /// With this range, whatever the data.
    #[must_use]
    pub const fn range(mut self, from: f64, to: f64) -> Self {
        self.range = Some((from, to));
        self
    }

    pub(super) fn label(&self) -> &str {
        &self.label
    }

    /// The value in words.
    pub(super) fn word(&self, value: f64) -> String {
        (self.format)(value)
    }

    /// Where `value` lies; `None` when it cannot be shown.
    pub(super) fn place(&self, value: f64) -> Option<f64> {
        match self.scale {
            Scale::Linear => value.is_finite().then_some(value),
            Scale::Log => (value > 0.0 && value.is_finite()).then(|| value.log10()),
        }
    }

    /// The value that lies at `place`.
    pub(super) fn value(&self, place: f64) -> f64 {
        match self.scale {
            Scale::Linear => place,
            Scale::Log => 10_f64.powf(place),
        }
    }

    /// The places from which to which the axis reaches, for data at `places`.
    fn reach(&self, places: impl Iterator<Item = f64>) -> (f64, f64) {
        if let Some((from, to)) = self.range
            && let (Some(from), Some(to)) = (self.place(from), self.place(to))
        {
            return (from, to);
        }
        let (low, high) = places.fold((f64::MAX, f64::MIN), |(l, h), p| (l.min(p), h.max(p)));
        if low > high {
            return (0.0, 1.0);
        }
        match self.scale {
            // Counts and rates begin at nothing.
            Scale::Linear => (low.min(0.0), (high * 1.05).max(low.min(0.0) + 1e-9)),
            Scale::Log => (low - 0.05, (high + 0.05).max(low + 0.1)),
        }
    }

    /// The side of a drawing that this axis is, for data at `places`.
    pub(super) fn span(&self, places: impl Iterator<Item = f64>) -> Span {
        let ends = self.reach(places);
        Span { ends, ticks: self.tick_places(ends) }
    }

    /// The places of the ticks between two places.
    fn tick_places(&self, (from, to): (f64, f64)) -> Vec<f64> {
        let within = |p: &f64| *p >= from - 1e-9 && *p <= to + 1e-9;
        if let Some(ticks) = &self.ticks {
            return ticks.iter().filter_map(|t| self.place(*t)).filter(within).collect();
        }
        match self.scale {
            Scale::Linear => steps(from, to, nice((to - from) / 5.0)),
            Scale::Log => {
                let decades = steps(from, to, 1.0);
                if decades.len() > 2 {
                    return decades;
                }
                let start = from.floor();
                let fine = [1.0_f64, 2.0, 5.0, 10.0, 20.0, 50.0, 100.0, 200.0, 500.0, 1000.0];
                fine.iter().map(|m| start + m.log10()).filter(within).collect()
            }
        }
    }
}

/// One side of a drawing, as the drawing library asks for it.
pub(super) struct Span {
    ends: (f64, f64),
    ticks: Vec<f64>,
}

impl Span {
    pub(super) const fn ends(&self) -> (f64, f64) {
        self.ends
    }
}

impl Ranged for Span {
    type FormatOption = DefaultFormatting;
    type ValueType = f64;

    #[expect(clippy::cast_possible_truncation, reason = "a place in a drawing; `as` saturates")]
    fn map(&self, place: &f64, (from, to): (i32, i32)) -> i32 {
        let share = (place - self.ends.0) / (self.ends.1 - self.ends.0);
        from + (share * f64::from(to - from)).round() as i32
    }

    fn key_points<Hint: KeyPointHint>(&self, hint: Hint) -> Vec<f64> {
        // The light lines would lie between these; there are none.
        if hint.weight().allow_light_points() { Vec::new() } else { self.ticks.clone() }
    }

    fn range(&self) -> Range<f64> {
        self.ends.0..self.ends.1
    }
}

/// Multiples of `step` from `from` to `to`; at most 100.
fn steps(from: f64, to: f64, step: f64) -> Vec<f64> {
    let first = (from / step - 1e-9).ceil();
    (0..100_u32)
        .map(|i| (first + f64::from(i)) * step)
        .take_while(|p| *p <= to + step * 1e-9)
        .collect()
}

/// The next of 1, 2, 5 and their tenfolds.
fn nice(rough: f64) -> f64 {
    if !(rough > 0.0 && rough.is_finite()) {
        return 1.0;
    }
    let decade = 10_f64.powf(rough.log10().floor());
    let of = [1.0, 2.0, 5.0].into_iter().find(|m| m * decade >= rough - 1e-12);
    of.map_or(10.0 * decade, |m| m * decade)
}

/// Microseconds as people write them: `20 us`, `1.5 ms`, `2 s`.
#[must_use]
pub fn short_time(us: f64) -> String {
    let (value, unit) = match us {
        _ if us < 0.999_5 => (us * 1e3, "ns"),
        _ if us < 999.5 => (us, "us"),
        _ if us < 999_500.0 => (us / 1e3, "ms"),
        _ => (us / 1e6, "s"),
    };
    let digits = usize::from(value < 9.95 && (value - value.round()).abs() > 0.01);
    format!("{value:.digits$} {unit}")
}

/// Where people expect the words of a percentile axis, whose places are the nines: 50 %, 90 %, 99 % and so on.
pub const PERCENTILE_TICKS: [f64; 5] = [std::f64::consts::LOG10_2, 1.0, 2.0, 3.0, 4.0];

/// The percentile that has so many nines: 2 is `99 %`.
#[must_use]
pub fn percentile(nines: f64) -> String {
    match nines {
        _ if nines < 0.05 => "fastest".to_owned(),
        _ if nines < 2.0 => format!("{:.0} %", 100.0 - 100.0 * 10_f64.powf(-nines)),
        _ => format!("{} %", ((100.0 - 100.0 * 10_f64.powf(-nines)) * 100.0).round() / 100.0),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn axis(scale: Scale) -> Axis {
        Axis::new("a", scale, short_time)
    }

    #[test]
    fn ticks_stand_where_people_expect_them() {
        let linear = axis(Scale::Linear);
        assert_eq!(linear.tick_places((0.0, 105.0)), [0.0, 50.0, 100.0]);
        assert_eq!(
            linear.tick_places((0.0, 1.0)),
            [0.0, 0.2, 0.4, 0.600_000_000_000_000_1, 0.8, 1.0]
        );
        let log = axis(Scale::Log);
        assert_eq!(log.tick_places((0.9, 4.1)), [1.0, 2.0, 3.0, 4.0]);
        let fine: Vec<f64> =
            log.tick_places((1.0, 1.9)).iter().map(|p| log.value(*p).round()).collect();
        assert_eq!(fine, [10.0, 20.0, 50.0]);
        let told = axis(Scale::Log).ticks(vec![0.1, 1.0, 10.0, 1e9, -1.0]);
        assert_eq!(told.tick_places((-1.05, 1.05)), [-1.0, 0.0, 1.0]);
    }

    #[test]
    fn a_range_covers_the_data_and_is_never_empty() {
        assert_eq!(axis(Scale::Linear).reach([2.0, 100.0].into_iter()), (0.0, 105.0));
        assert_eq!(axis(Scale::Linear).reach(std::iter::empty()), (0.0, 1.0));
        for scale in [Scale::Linear, Scale::Log] {
            let (from, to) = axis(scale).reach([0.0].into_iter());
            assert!(from < to, "{scale:?}");
        }
        assert_eq!(axis(Scale::Log).range(1.0, 100.0).reach([5.0].into_iter()), (0.0, 2.0));
        assert_eq!(axis(Scale::Log).place(0.0), None);
        assert_eq!(axis(Scale::Linear).place(f64::NAN), None);
    }

    #[test]
    fn times_are_short() {
        for (us, want) in [
            (0.5, "500 ns"),
            (20.0, "20 us"),
            (1.54, "1.5 us"),
            (999.9, "1 ms"),
            (34_512.0, "35 ms"),
            (2e6, "2 s"),
        ] {
            assert_eq!(short_time(us), want);
        }
    }
}
