//! A page that shows what was measured: facts, charts and tables in one HTML file that asks nobody for anything.
//!
//! Knows values. It knows neither where they come from nor where the file goes, and of what they mean only what it is
//! told. The drawing is plotters', the page and its escaping minijinja's.

mod axis;
mod chart;
mod page;
mod tone;

pub use axis::{Axis, PERCENTILE_TICKS, Scale, percentile, short_time};
pub use chart::{Chart, Line, Plot, Rule, Stack};
pub use page::{Fact, Mood, Page, Remark, RenderError, Section, TableView};
pub use tone::Tone;
