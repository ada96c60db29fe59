//! Charts: lines with their spread, and areas on top of each other, drawn as SVG.
//!
//! Knows values and tones. The legend and the figures in words are the page's.

use plotters::backend::SVGBackend;
use plotters::chart::{ChartBuilder, ChartContext};
use plotters::coord::cartesian::Cartesian2d;
use plotters::drawing::IntoDrawingArea as _;
use plotters::element::{Circle, Polygon, Text};
use plotters::series::{DashedLineSeries, LineSeries};
use plotters::style::{Color as _, IntoFont as _, ShapeStyle, TextStyle};

use super::axis::{Axis, Span};
use super::tone::{AXIS_COLOR, GRID_COLOR, Tone, WORD_COLOR};

/// The drawing's size; the page scales it. Coordinates are whole numbers, so small ones would make curves jagged.
const SIZE: (u32, u32) = (1_440, 840);
const FONT: &str = "sans-serif";
/// The drawing library writes it smaller by a quarter, and the page halves the drawing.
const FONT_SIZE: i32 = 40;
const LINE: u32 = 5;

/// One line.
#[derive(Clone, Debug)]
pub struct Line {
    /// Its name in the legend.
    pub label: String,
    /// Its colour.
    pub tone: Tone,
    /// Dashed: what others are compared with.
    pub dashed: bool,
    /// Its points, from left to right.
    pub points: Vec<(f64, f64)>,
    /// The spread round it: x, low, high. May be empty.
    pub band: Vec<(f64, f64, f64)>,
    /// Mark each point.
    pub marks: bool,
}

/// One area of a stack.
#[derive(Clone, Debug)]
pub struct Stack {
    /// Its name in the legend.
    pub label: String,
    /// Its colour.
    pub tone: Tone,
    /// Its height at each of the chart's places.
    pub heights: Vec<f64>,
}

/// What is drawn.
#[derive(Clone, Debug)]
pub enum Plot {
    /// Lines.
    Lines(Vec<Line>),
    /// Areas on top of each other: where they stand, and their heights there.
    Stacks(Vec<f64>, Vec<Stack>),
}

/// A line right across, at a height that means something.
#[derive(Clone, Debug)]
pub struct Rule {
    /// Its height.
    pub at: f64,
    /// What it means.
    pub label: String,
}

/// A chart with its axes.
#[derive(Clone, Debug)]
pub struct Chart {
    /// What it shows.
    pub title: String,
    /// What to look for, in a sentence. May be empty.
    pub note: String,
    /// From left to right.
    pub x: Axis,
    /// From bottom to top.
    pub y: Axis,
    /// Lines right across.
    pub rules: Vec<Rule>,
    /// What is drawn.
    pub plot: Plot,
}

type Canvas<'a, 'b> = ChartContext<'a, SVGBackend<'b>, Cartesian2d<Span, Span>>;
type Drawn = Result<(), Box<dyn std::error::Error>>;

impl Chart {
    /// What stands in the legend: name, tone, dashed.
    pub(super) fn legend(&self) -> Vec<(&str, Tone, bool)> {
        match &self.plot {
            Plot::Lines(lines) => {
                lines.iter().map(|l| (l.label.as_str(), l.tone, l.dashed)).collect()
            }
            Plot::Stacks(_, stacks) => {
                stacks.iter().map(|s| (s.label.as_str(), s.tone, false)).collect()
            }
        }
    }

    /// Every figure that is drawn, in words: a header, and a row for each place.
    pub(super) fn figures(&self) -> (Vec<String>, Vec<Vec<String>>) {
        let mut header = vec![self.x.label().to_owned()];
        header.extend(self.legend().iter().map(|(name, ..)| (*name).to_owned()));
        let row = |x: f64, cells: Vec<Option<f64>>| {
            let words =
                cells.into_iter().map(|c| c.map_or_else(|| "–".to_owned(), |v| self.y.word(v)));
            std::iter::once(self.x.word(x)).chain(words).collect()
        };
        let rows = match &self.plot {
            Plot::Lines(lines) => {
                let mut all: Vec<f64> =
                    lines.iter().flat_map(|l| l.points.iter().map(|p| p.0)).collect();
                all.sort_by(f64::total_cmp);
                all.dedup_by(|a, b| a.total_cmp(b).is_eq());
                let at = |l: &Line, x: f64| {
                    l.points.iter().find(|p| p.0.total_cmp(&x).is_eq()).map(|p| p.1)
                };
                all.iter().map(|x| row(*x, lines.iter().map(|l| at(l, *x)).collect())).collect()
            }
            Plot::Stacks(places, stacks) => (0..)
                .zip(places)
                .map(|(i, x): (usize, &f64)| {
                    row(*x, stacks.iter().map(|s| s.heights.get(i).copied()).collect())
                })
                .collect(),
        };
        (header, rows)
    }

    /// The drawing, as an `<svg>` element.
    ///
    /// # Errors
    /// What the drawing library says: that it cannot lay the chart out.
    pub(super) fn svg(&self) -> Result<String, Box<dyn std::error::Error>> {
        let mut text = String::new();
        {
            let area = SVGBackend::with_string(&mut text, SIZE).into_drawing_area();
            let (x, y) = (self.x.span(self.xs().into_iter()), self.y.span(self.ys().into_iter()));
            let across = x.ends();
            let mut canvas = ChartBuilder::on(&area)
                .margin(14)
                .margin_right(40)
                .x_label_area_size(112)
                .y_label_area_size(184)
                .build_cartesian_2d(x, y)?;
            self.draw_grid(&mut canvas)?;
            match &self.plot {
                Plot::Lines(lines) => self.draw_lines(&mut canvas, lines)?,
                Plot::Stacks(places, stacks) => self.draw_stacks(&mut canvas, places, stacks)?,
            }
            self.draw_rules(&mut canvas, across)?;
            area.present()?;
        }
        // The page decides the size; the picture has a name for those who do not see it.
        let head = format!("<svg width=\"{}\" height=\"{}\"", SIZE.0, SIZE.1);
        Ok(text.replacen(&head, "<svg role=\"img\"", 1))
    }

    fn xs(&self) -> Vec<f64> {
        match &self.plot {
            Plot::Lines(lines) => lines
                .iter()
                .flat_map(|l| l.points.iter())
                .filter_map(|p| self.x.place(p.0))
                .collect(),
            Plot::Stacks(places, _) => places.iter().filter_map(|x| self.x.place(*x)).collect(),
        }
    }

    fn ys(&self) -> Vec<f64> {
        let mut all: Vec<f64> = match &self.plot {
            Plot::Lines(lines) => lines
                .iter()
                .flat_map(|l| l.points.iter().map(|p| p.1).chain(l.band.iter().map(|b| b.2)))
                .collect(),
            Plot::Stacks(_, stacks) => tops(stacks).last().cloned().unwrap_or_default(),
        };
        all.extend(self.rules.iter().map(|r| r.at));
        all.into_iter().filter_map(|y| self.y.place(y)).collect()
    }

    fn draw_grid(&self, canvas: &mut Canvas<'_, '_>) -> Drawn {
        let words: TextStyle<'_> = (FONT, FONT_SIZE).into_font().color(&WORD_COLOR);
        canvas
            .configure_mesh()
            .bold_line_style(ShapeStyle::from(GRID_COLOR).stroke_width(2))
            .light_line_style(plotters::style::TRANSPARENT)
            .axis_style(ShapeStyle::from(AXIS_COLOR).stroke_width(2))
            .label_style(words.clone())
            .axis_desc_style(words)
            .x_desc(self.x.label())
            .y_desc(self.y.label())
            .x_label_formatter(&|p| self.x.word(self.x.value(*p)))
            .y_label_formatter(&|p| self.y.word(self.y.value(*p)))
            .draw()?;
        Ok(())
    }

    fn places(&self, points: impl Iterator<Item = (f64, f64)>) -> Vec<(f64, f64)> {
        points.filter_map(|(x, y)| Some((self.x.place(x)?, self.y.place(y)?))).collect()
    }

    fn draw_lines(&self, canvas: &mut Canvas<'_, '_>, lines: &[Line]) -> Drawn {
        for line in lines.iter().filter(|l| l.band.len() > 1) {
            let low = self.places(line.band.iter().map(|b| (b.0, b.1)));
            let high = self.places(line.band.iter().rev().map(|b| (b.0, b.2)));
            let outline: Vec<_> = low.into_iter().chain(high).collect();
            canvas.draw_series([Polygon::new(outline, line.tone.color().mix(0.16).filled())])?;
        }
        for line in lines {
            let style = ShapeStyle::from(line.tone.color()).stroke_width(LINE);
            let points = self.places(line.points.iter().copied());
            if line.dashed {
                canvas.draw_series(DashedLineSeries::new(points.iter().copied(), 16, 12, style))?;
            } else {
                canvas.draw_series(LineSeries::new(points.iter().copied(), style))?;
            }
            if line.marks {
                let dot = |p: &(f64, f64)| Circle::new(*p, 9, line.tone.color().filled());
                canvas.draw_series(points.iter().map(dot))?;
            }
        }
        Ok(())
    }

    fn draw_stacks(&self, canvas: &mut Canvas<'_, '_>, places: &[f64], stacks: &[Stack]) -> Drawn {
        let mut below = vec![0.0; places.len()];
        for (stack, top) in stacks.iter().zip(tops(stacks)) {
            let edge = |heights: &[f64]| self.places(places.iter().copied().zip(heights.to_vec()));
            let (low, high) = (edge(&below), edge(&top));
            let outline: Vec<_> = high.iter().copied().chain(low.into_iter().rev()).collect();
            canvas.draw_series([Polygon::new(outline, stack.tone.color().mix(0.85).filled())])?;
            below = top;
        }
        Ok(())
    }

    fn draw_rules(&self, canvas: &mut Canvas<'_, '_>, (from, to): (f64, f64)) -> Drawn {
        for rule in &self.rules {
            let Some(y) = self.y.place(rule.at) else { continue };
            let style = ShapeStyle::from(AXIS_COLOR).stroke_width(3);
            canvas.draw_series(DashedLineSeries::new([(from, y), (to, y)], 6, 8, style))?;
            let words: TextStyle<'_> = (FONT, FONT_SIZE - 4).into_font().color(&WORD_COLOR);
            let at = (from + (to - from) * 0.01, y);
            let above = words.pos(plotters::style::text_anchor::Pos::new(
                plotters::style::text_anchor::HPos::Left,
                plotters::style::text_anchor::VPos::Bottom,
            ));
            canvas.draw_series([Text::new(rule.label.clone(), at, above)])?;
        }
        Ok(())
    }
}

/// The upper edge of each area of a stack.
fn tops(stacks: &[Stack]) -> Vec<Vec<f64>> {
    let mut sum: Vec<f64> = Vec::new();
    stacks
        .iter()
        .map(|s| {
            sum.resize(s.heights.len().max(sum.len()), 0.0);
            sum.iter_mut().zip(&s.heights).for_each(|(sum, h)| *sum += h);
            sum.clone()
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::super::axis::{Scale, short_time};
    use super::*;

    fn chart(plot: Plot) -> Chart {
        Chart {
            title: "t".to_owned(),
            note: String::new(),
            x: Axis::new("load", Scale::Log, |v| format!("{v:.1}x")),
            y: Axis::new("time", Scale::Log, short_time),
            rules: vec![Rule { at: 1_000.0, label: "budget <1>".to_owned() }],
            plot,
        }
    }

    fn line(points: Vec<(f64, f64)>) -> Line {
        let band = points.iter().map(|(x, y)| (*x, y * 0.9, y * 1.1)).collect();
        Line { label: "a".to_owned(), tone: Tone::Hue(1), dashed: false, points, band, marks: true }
    }

    #[test]
    fn a_drawing_is_one_svg_element_whose_words_are_escaped() {
        let svg = chart(Plot::Lines(vec![line(vec![(0.5, 20.0), (1.0, 50.0), (2.0, 900.0)])]))
            .svg()
            .expect("it is drawn");
        assert!(
            svg.starts_with("<svg role=\"img\"") && svg.trim_end().ends_with("</svg>"),
            "{svg}"
        );
        assert_eq!(svg.matches("<circle").count(), 3);
        assert!(svg.contains("budget &lt;1&gt;") && !svg.contains("<1>"));
        // The one address in it is the name of the format.
        assert_eq!(svg.matches("http").count(), 1);
    }

    #[test]
    fn what_cannot_be_shown_is_left_out_and_nothing_is_an_empty_chart() {
        let svg =
            chart(Plot::Lines(vec![line(vec![(0.0, 5.0), (1.0, f64::NAN), (1.0, 7.0)])])).svg();
        assert_eq!(svg.expect("it is drawn").matches("<circle").count(), 1);
        for plot in [Plot::Lines(Vec::new()), Plot::Stacks(Vec::new(), Vec::new())] {
            assert!(chart(plot).svg().is_ok());
        }
    }

    #[test]
    fn areas_stand_on_each_other() {
        let stack = |heights: &[f64]| Stack {
            label: "a".to_owned(),
            tone: Tone::Hue(0),
            heights: heights.to_vec(),
        };
        assert_eq!(tops(&[stack(&[1.0, 2.0]), stack(&[3.0, 4.0])]), [[1.0, 2.0], [4.0, 6.0]]);
        let mut c =
            chart(Plot::Stacks(vec![0.0, 1.0], vec![stack(&[1.0, 2.0]), stack(&[3.0, 4.0])]));
        c.x = Axis::new("s", Scale::Linear, |v| format!("{v}"));
        c.y = Axis::new("n", Scale::Linear, |v| format!("{v}"));
        assert_eq!(c.svg().expect("it is drawn").matches("<polygon").count(), 2);
        assert_eq!(c.figures().1, [["0", "1", "3"], ["1", "2", "4"]]);
    }

    #[test]
    fn figures_say_every_point_and_mark_what_is_missing() {
        let c =
            chart(Plot::Lines(vec![line(vec![(1.0, 20.0)]), line(vec![(1.0, 30.0), (2.0, 40.0)])]));
        let (header, rows) = c.figures();
        assert_eq!(header, ["load", "a", "a"]);
        assert_eq!(rows, [["1.0x", "20 us", "30 us"], ["2.0x", "–", "40 us"]]);
    }
}
