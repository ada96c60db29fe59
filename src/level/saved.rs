//! Measured times that are kept, and taken up again only where they are still true: same processor, build, kernel and backend.
//!
//! Knows no file: text in, text out.

use serde::{Deserialize, Serialize};

use super::backend::Backend;
use super::cost::{CostModel, Point, PointsError};

/// The most bytes of a file of kept times: anything larger is something else.
pub const FILE_MAX: u64 = 1 << 20;
/// The form of the text.
const VERSION: u32 = 1;

/// Whose times they are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Key<'k> {
    /// The kernel's name in the config.
    pub kernel: &'k str,
    /// What stands for its parameters and weights: `KernelSpec::fingerprint`.
    pub fingerprint: u64,
    /// Where it runs.
    pub backend: Backend,
    /// Bytes of a payload.
    pub payload: usize,
}

/// Times of one kernel on one backend.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Pair {
    kernel: String,
    /// Sixteen hexadecimal digits: a number in JSON need not keep 64 bits.
    fingerprint: String,
    backend: String,
    payload: usize,
    /// Rows of one run; 0 for a backend without such a bound.
    run: u32,
    points: Vec<Point>,
}

/// All times of one machine and build.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Saved {
    version: u32,
    cpu: String,
    build: String,
    times: Vec<Pair>,
}

/// The text is no kept times.
#[derive(Debug, thiserror::Error)]
pub enum TextError {
    /// Not JSON, or not of this shape.
    #[error("not what `punctual calibrate --save` writes: {0}")]
    Shape(#[from] serde_json::Error),
    /// Written by another version.
    #[error("of version {0}, and this build reads {VERSION}")]
    Version(u32),
}

/// Kept times that are not true here. Calibrating anew is the way out of each.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    /// Another processor.
    #[error("measured on \"{kept}\", and this machine is \"{here}\"")]
    Cpu {
        /// Whose they are.
        kept: String,
        /// This machine's.
        here: String,
    },
    /// Another build, whose kernels may be others.
    #[error("measured by version {kept}, and this is {here}")]
    Build {
        /// Whose they are.
        kept: String,
        /// This build's.
        here: String,
    },
    /// That pair was not measured.
    #[error("kernel \"{kernel}\" was not measured on {backend}")]
    Missing {
        /// Its name.
        kernel: String,
        /// The backend's name.
        backend: &'static str,
    },
    /// The kernel has other parameters or weights by now.
    #[error("kernel \"{kernel}\" has other parameters or weights than when it was measured")]
    Kernel {
        /// Its name.
        kernel: String,
    },
    /// Payloads have another length.
    #[error("kernel \"{kernel}\" was measured with payloads of {kept} bytes, and they have {here}")]
    Payload {
        /// Its name.
        kernel: String,
        /// Measured.
        kept: usize,
        /// Asked for.
        here: usize,
    },
    /// Its times are none.
    #[error("kernel \"{kernel}\": {why}")]
    Points {
        /// Its name.
        kernel: String,
        /// What is wrong with them.
        why: PointsError,
    },
}

impl Saved {
    /// No times yet, of this machine and build.
    #[must_use]
    pub fn new(cpu: &str, build: &str) -> Self {
        Self { version: VERSION, cpu: cpu.to_owned(), build: build.to_owned(), times: Vec::new() }
    }

    /// Adds what was measured of one kernel on one backend.
    pub fn add(&mut self, key: &Key<'_>, model: &CostModel) {
        self.times.push(Pair {
            kernel: key.kernel.to_owned(),
            fingerprint: hex(key.fingerprint),
            backend: key.backend.word().to_owned(),
            payload: key.payload,
            run: model.run(),
            points: model.points().to_vec(),
        });
    }

    /// Reads what [`Saved::to_text`] wrote.
    ///
    /// # Errors
    /// It is something else.
    pub fn parse(text: &str) -> Result<Self, TextError> {
        let saved: Self = serde_json::from_str(text)?;
        if saved.version == VERSION { Ok(saved) } else { Err(TextError::Version(saved.version)) }
    }

    /// As text, to be kept.
    ///
    /// # Errors
    /// None that is known: nothing in it cannot be written.
    pub fn to_text(&self) -> Result<String, serde_json::Error> {
        Ok(serde_json::to_string_pretty(self)? + "\n")
    }

    /// Whether they are of this machine and build.
    ///
    /// # Errors
    /// They are not.
    pub fn hold_to(&self, cpu: &str, build: &str) -> Result<(), Refused> {
        if self.cpu != cpu {
            return Err(Refused::Cpu { kept: self.cpu.clone(), here: cpu.to_owned() });
        }
        if self.build != build {
            return Err(Refused::Build { kept: self.build.clone(), here: build.to_owned() });
        }
        Ok(())
    }

    /// The model of one pair.
    ///
    /// # Errors
    /// It was not measured, or as something else.
    pub fn model(&self, key: &Key<'_>) -> Result<CostModel, Refused> {
        let kernel = || key.kernel.to_owned();
        let of = |p: &&Pair| p.kernel == key.kernel && p.backend == key.backend.word();
        let Some(pair) = self.times.iter().find(of) else {
            return Err(Refused::Missing { kernel: kernel(), backend: key.backend.word() });
        };
        if pair.fingerprint != hex(key.fingerprint) {
            return Err(Refused::Kernel { kernel: kernel() });
        }
        if pair.payload != key.payload {
            let (kept, here) = (pair.payload, key.payload);
            return Err(Refused::Payload { kernel: kernel(), kept, here });
        }
        let model = CostModel::new(pair.points.clone());
        let model = model.map_err(|why| Refused::Points { kernel: kernel(), why })?;
        Ok(model.in_runs_of(pair.run))
    }
}

fn hex(n: u64) -> String {
    format!("{n:016x}")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::Nanos;

    fn key(kernel: &str) -> Key<'_> {
        Key { kernel, fingerprint: u64::MAX - 1, backend: Backend::Avx2, payload: 64 }
    }

    fn saved() -> Saved {
        let mut saved = Saved::new("a processor", "0.1.0");
        let points = [(1, 10_500), (12, 99_999)].map(|(rows, ps)| Point { rows, ps });
        let model = CostModel::new(points.to_vec()).expect("a model").in_runs_of(12);
        saved.add(&key("score"), &model);
        saved
    }

    #[test]
    fn what_was_kept_is_taken_up_to_the_last_digit() {
        let text = saved().to_text().expect("text");
        let back = Saved::parse(&text).expect("it is ours");
        assert_eq!(back, saved());
        back.hold_to("a processor", "0.1.0").expect("the very machine");
        let model = back.model(&key("score")).expect("measured");
        assert_eq!(model.predict(24), Nanos::new(200), "two runs of 12");
    }

    #[test]
    fn what_is_not_true_here_is_refused_with_the_reason() {
        let saved = saved();
        let cpu = saved.hold_to("another", "0.1.0").unwrap_err().to_string();
        assert_eq!(cpu, "measured on \"a processor\", and this machine is \"another\"");
        let build = saved.hold_to("a processor", "0.2.0").unwrap_err().to_string();
        assert_eq!(build, "measured by version 0.1.0, and this is 0.2.0");
        let refused = |key: &Key<'_>| saved.model(key).unwrap_err().to_string();
        assert_eq!(refused(&key("other")), "kernel \"other\" was not measured on avx2");
        let elsewhere = Key { backend: Backend::Scalar, ..key("score") };
        assert_eq!(refused(&elsewhere), "kernel \"score\" was not measured on scalar");
        let retrained = Key { fingerprint: 1, ..key("score") };
        assert!(refused(&retrained).contains("other parameters or weights"));
        let longer = Key { payload: 65, ..key("score") };
        assert!(refused(&longer).contains("payloads of 64 bytes, and they have 65"));
    }

    #[test]
    fn what_is_no_kept_times_is_refused() {
        let text = saved().to_text().expect("text");
        for (from, to, said) in [
            ("\"version\": 1", "\"version\": 2", "of version 2"),
            ("\"cpu\"", "\"gpu\"", "unknown field `gpu`"),
            ("10500", "-1", "invalid value"),
            ("{", "[", "not what"),
        ] {
            let broken = Saved::parse(&text.replacen(from, to, 1)).unwrap_err().to_string();
            assert!(broken.contains(said), "{broken}");
        }
        let broken = Saved::parse(&text.replace("10500", "0")).expect("the shape is right");
        let said = broken.model(&key("score")).unwrap_err().to_string();
        assert_eq!(said, "kernel \"score\": the batch of 1 rows takes no time");
    }
}
