//! The page: its parts, and their places in the template.
//!
//! Knows no figure's meaning. What is put into the page is escaped by the template engine; only the drawings, whose words
//! are escaped by the drawing library, go in as they are.

use minijinja::value::Serde;
use minijinja::{Environment, Value, context};
use serde::Serialize;

use super::chart::Chart;
use super::tone;

const TEMPLATE: &str = include_str!("page.html");
/// The name decides that everything is escaped as HTML.
const NAME: &str = "page.html";

/// A figure that stands out.
#[derive(Clone, Debug, Serialize)]
pub struct Fact {
    /// What it is.
    pub label: String,
    /// The figure.
    pub value: String,
    /// What it is compared with, or made of. May be empty.
    pub note: String,
}

/// How good a thing is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Mood {
    /// As it should be.
    Good,
    /// To be known.
    Note,
    /// Not as it should be.
    Bad,
}

/// A sentence about the result.
#[derive(Clone, Debug, Serialize)]
pub struct Remark {
    /// How good that is.
    pub mood: Mood,
    /// The sentence.
    pub text: String,
}

/// A table. All columns but the first `words` are figures.
#[derive(Clone, Debug, Serialize)]
pub struct TableView {
    /// Column titles.
    pub header: Vec<String>,
    /// Rows, as long as the header.
    pub rows: Vec<Vec<String>>,
    /// How many of the first columns hold words.
    pub words: usize,
}

/// A part of the page: charts beside each other, then a table.
#[derive(Clone, Debug, Default)]
pub struct Section {
    /// Its title.
    pub title: String,
    /// What to know to read it. May be empty.
    pub text: String,
    /// Its charts.
    pub charts: Vec<Chart>,
    /// Its table.
    pub table: Option<TableView>,
}

/// A whole page.
#[derive(Clone, Debug, Default)]
pub struct Page {
    /// Its title.
    pub title: String,
    /// What was measured, in a sentence.
    pub subtitle: String,
    /// The figures that stand out.
    pub facts: Vec<Fact>,
    /// What is to be said about the result.
    pub remarks: Vec<Remark>,
    /// Its parts.
    pub sections: Vec<Section>,
    /// What makes it again: names and values.
    pub footer: Vec<(String, String)>,
}

/// A page could not be made.
#[derive(Debug, thiserror::Error)]
pub enum RenderError {
    /// The drawing library cannot lay a chart out.
    #[error("the chart `{0}` cannot be drawn: {1}")]
    Chart(String, String),
    /// The template does not fit the page: a fault of this program.
    #[error("the page cannot be written: {0}")]
    Template(#[from] minijinja::Error),
}

impl Page {
    /// The page as one HTML file.
    ///
    /// # Errors
    /// [`RenderError`].
    pub fn render(&self) -> Result<String, RenderError> {
        let mut engine = Environment::new();
        engine.add_template(NAME, TEMPLATE)?;
        let sections = self.sections.iter().map(section).collect::<Result<Vec<_>, _>>()?;
        let page = engine.get_template(NAME)?.render(context! {
            title => self.title.as_str(),
            subtitle => self.subtitle.as_str(),
            facts => Value::from(Serde(&self.facts)),
            remarks => Value::from(Serde(&self.remarks)),
            sections => sections,
            footer => Value::from(Serde(&self.footer)),
            colors => Value::from_safe_string(tone::style()),
        })?;
        Ok(page)
    }
}

fn section(section: &Section) -> Result<Value, RenderError> {
    let charts = section.charts.iter().map(chart).collect::<Result<Vec<_>, _>>()?;
    Ok(context! {
        title => section.title.as_str(),
        text => section.text.as_str(),
        charts => charts,
        table => Value::from(Serde(&section.table)),
    })
}

fn chart(chart: &Chart) -> Result<Value, RenderError> {
    let svg = chart.svg().map_err(|e| RenderError::Chart(chart.title.clone(), e.to_string()))?;
    let legend: Vec<Value> = chart
        .legend()
        .into_iter()
        .map(|(label, tone, dashed)| context! { label, color => tone.css(), dashed })
        .collect();
    let (header, rows) = chart.figures();
    Ok(context! {
        title => chart.title.as_str(),
        note => chart.note.as_str(),
        svg => Value::from_safe_string(svg),
        legend => legend,
        header => header,
        rows => rows,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_put_in_is_escaped() {
        let evil = "<script>alert(1)</script>\"'&";
        let page = Page {
            title: evil.to_owned(),
            subtitle: evil.to_owned(),
            facts: vec![Fact {
                label: evil.to_owned(),
                value: evil.to_owned(),
                note: evil.to_owned(),
            }],
            remarks: vec![Remark { mood: Mood::Bad, text: evil.to_owned() }],
            sections: vec![Section {
                title: evil.to_owned(),
                table: Some(TableView {
                    header: vec![evil.to_owned()],
                    rows: vec![vec![evil.to_owned()]],
                    words: 1,
                }),
                ..Section::default()
            }],
            footer: vec![(evil.to_owned(), evil.to_owned())],
        };
        let html = page.render().expect("it is rendered");
        assert!(!html.contains("<script"), "{html}");
        assert!(html.contains("&lt;script&gt;"));
    }

    #[test]
    fn the_page_asks_nobody_and_forbids_itself_to() {
        let html = Page::default().render().expect("it is rendered");
        assert!(html.contains("default-src 'none'"));
        for word in
            ["src=\"http", "href=\"http", "url(http", "@import", "<script", "<link rel=\"style"]
        {
            assert!(!html.contains(word), "{word}");
        }
    }
}
