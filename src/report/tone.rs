//! The colours of a chart: one hue a name, in a step for light and one for dark ground.
//!
//! Knows no chart. In the drawing every colour is the light one; the page's style sheet, made from the same table, says
//! what it is on dark ground.

use std::fmt::Write as _;

use plotters::style::RGBColor;

/// What a line or an area is drawn in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tone {
    /// One of the eight hues, in an order in which neighbours are told apart also by people who see fewer colours; a
    /// higher number begins again.
    Hue(usize),
    /// What others are compared with.
    Control,
}

/// Light step, dark step.
type Steps = (RGBColor, RGBColor);

const HUES: [Steps; 8] = [
    (RGBColor(0x2a, 0x78, 0xd6), RGBColor(0x39, 0x87, 0xe5)),
    (RGBColor(0xeb, 0x68, 0x34), RGBColor(0xd9, 0x59, 0x26)),
    (RGBColor(0x1b, 0xaf, 0x7a), RGBColor(0x19, 0x9e, 0x70)),
    (RGBColor(0xed, 0xa1, 0x00), RGBColor(0xc9, 0x85, 0x00)),
    (RGBColor(0xe8, 0x7b, 0xa4), RGBColor(0xd5, 0x51, 0x81)),
    (RGBColor(0x4a, 0x3a, 0xa7), RGBColor(0x90, 0x85, 0xe9)),
    (RGBColor(0x00, 0x83, 0x00), RGBColor(0x35, 0xb0, 0x35)),
    (RGBColor(0xe3, 0x49, 0x48), RGBColor(0xe6, 0x67, 0x67)),
];
const CONTROL: Steps = (RGBColor(0x8a, 0x89, 0x82), RGBColor(0x9c, 0x9b, 0x94));
/// Words on an axis.
const WORDS: Steps = (RGBColor(0x5f, 0x5e, 0x58), RGBColor(0xa9, 0xa8, 0xa0));
/// The axes themselves.
const AXIS: Steps = (RGBColor(0xb4, 0xb3, 0xab), RGBColor(0x5a, 0x5a, 0x57));
/// The grid.
const GRID: Steps = (RGBColor(0xe7, 0xe6, 0xdf), RGBColor(0x2f, 0x2f, 0x2d));

pub(super) const WORD_COLOR: RGBColor = WORDS.0;
pub(super) const AXIS_COLOR: RGBColor = AXIS.0;
pub(super) const GRID_COLOR: RGBColor = GRID.0;

impl Tone {
    const fn steps(self) -> Steps {
        match self {
            Self::Hue(n) => HUES[n % HUES.len()],
            Self::Control => CONTROL,
        }
    }

    /// The colour that it is drawn in.
    pub(super) const fn color(self) -> RGBColor {
        self.steps().0
    }

    /// The same as the page's style sheet names it.
    pub(super) fn css(self) -> String {
        format!("var(--c{})", hex(self.color()))
    }
}

fn hex(c: RGBColor) -> String {
    // As the drawing writes it: upper case.
    format!("{:02X}{:02X}{:02X}", c.0, c.1, c.2)
}

fn all() -> impl Iterator<Item = Steps> {
    HUES.into_iter().chain([CONTROL, WORDS, AXIS, GRID])
}

/// The style sheet's part about colours: a variable each, its value on dark ground, and the rule that puts it in place
/// of the colour that stands in the drawing.
pub(super) fn style() -> String {
    let (mut light, mut dark, mut rules) = (String::new(), String::new(), String::new());
    for (on_light, on_dark) in all() {
        let name = hex(on_light);
        // Writing to a string cannot fail.
        let _ = write!(light, "--c{name}:#{name};");
        let _ = write!(dark, "--c{name}:#{};", hex(on_dark));
        for attribute in ["stroke", "fill"] {
            let _ = write!(rules, "svg [{attribute}=\"#{name}\"]{{{attribute}:var(--c{name})}}");
        }
    }
    format!(":root{{{light}}}@media (prefers-color-scheme:dark){{:root{{{dark}}}}}{rules}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_two_colours_of_a_drawing_are_the_same() {
        let mut names: Vec<String> = all().map(|(light, _)| hex(light)).collect();
        let count = names.len();
        names.sort();
        names.dedup();
        assert_eq!(names.len(), count, "the style sheet could not tell them apart");
    }

    #[test]
    fn every_colour_has_a_value_on_dark_ground() {
        let style = style();
        assert!(style.contains("--c2A78D6:#2A78D6;") && style.contains("--c2A78D6:#3987E5;"));
        assert!(style.contains("svg [stroke=\"#2A78D6\"]{stroke:var(--c2A78D6)}"));
        assert_eq!(Tone::Hue(0).css(), "var(--c2A78D6)");
        assert_eq!(Tone::Hue(8).css(), Tone::Hue(0).css());
    }
}
