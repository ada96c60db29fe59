//! What is told while a benchmark runs: a bar with the time left on a terminal, lines elsewhere when asked for.
//!
//! Knows no figures.

use std::io::{IsTerminal as _, Write as _};
use std::time::Duration;

use indicatif::{ProgressBar, ProgressStyle};

/// See the module.
#[derive(Debug)]
pub(super) struct Teller {
    bar: ProgressBar,
    lines: bool,
}

impl Teller {
    /// For `runs` runs that last about as long as each other. `lines` asks for lines where there is no terminal.
    pub(super) fn new(runs: usize, lines: bool, title: &str) -> Self {
        if !std::io::stderr().is_terminal() {
            let bar = ProgressBar::hidden();
            bar.set_length(runs as u64);
            return Self { bar, lines };
        }
        let bar = ProgressBar::new(runs as u64);
        let style =
            ProgressStyle::with_template("{bar:30} {pos}/{len}  {msg}  {elapsed}, {eta} left");
        if let Ok(style) = style {
            bar.set_style(style);
        }
        bar.println(title);
        bar.enable_steady_tick(Duration::from_millis(200));
        Self { bar, lines: false }
    }

    /// That much more is to be done.
    pub(super) fn more(&self, runs: usize) {
        self.bar.inc_length(runs as u64);
    }

    /// What is being done now.
    pub(super) fn doing(&self, what: &str) {
        self.bar.set_message(what.to_owned());
    }

    /// One more is done.
    pub(super) fn done(&self, what: &str, result: &str) {
        self.bar.inc(1);
        if self.lines {
            let (at, of) = (self.bar.position(), self.bar.length().unwrap_or(0));
            let left = self.bar.elapsed().mul_f64(ratio(of.saturating_sub(at), at));
            self.line(&format!("[{at}/{of}] {what}: {result}; {} s left", left.as_secs()));
        }
    }

    /// Something to be known, whoever looks.
    pub(super) fn note(&self, what: &str) {
        if self.bar.is_hidden() {
            self.line(what);
        } else {
            self.bar.println(what);
        }
    }

    fn line(&self, text: &str) {
        // That nobody reads it is no fault.
        let _ = writeln!(std::io::stderr().lock(), "{text}");
    }

    pub(super) fn end(&self) {
        self.bar.finish_and_clear();
    }
}

#[expect(clippy::cast_precision_loss, reason = "a guess of the time left")]
fn ratio(a: u64, b: u64) -> f64 {
    if b == 0 { 0.0 } else { a as f64 / b as f64 }
}
