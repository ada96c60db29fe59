//! Which vector instructions the kernels use: chosen once at start, passed by value from then on.
//!
//! Knows no kernel. A level is a proof that the machine has the instructions, so no kernel looks again.

use std::fmt;

#[cfg(target_arch = "x86_64")]
use fearless_simd::{Avx2, Avx512};

/// What the config asks for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum SimdChoice {
    /// The widest level that the machine has.
    #[default]
    Auto,
    /// The portable reference.
    Scalar,
    /// AVX2 with FMA (x86-64-v3), or no start.
    Avx2,
    /// AVX-512 as of Ice Lake, or no start.
    Avx512,
}

impl SimdChoice {
    /// All choices, in the order of the config's words.
    pub const ALL: [Self; 4] = [Self::Auto, Self::Scalar, Self::Avx2, Self::Avx512];

    /// The config's word.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Auto => "auto",
            Self::Scalar => "scalar",
            Self::Avx2 => "avx2",
            Self::Avx512 => "avx512",
        }
    }

    /// The level that this choice means on this machine. The first call asks the processor, later ones do not.
    ///
    /// # Errors
    /// The machine lacks the level that was asked for.
    pub fn resolve(self) -> Result<Level, LevelMissing> {
        let missing = LevelMissing { wanted: self };
        match self {
            Self::Auto => Ok(Level::detect()),
            Self::Scalar => Ok(Level::Scalar),
            #[cfg(target_arch = "x86_64")]
            Self::Avx2 => fearless_simd::Level::new().as_avx2().map(Level::Avx2).ok_or(missing),
            #[cfg(target_arch = "x86_64")]
            Self::Avx512 => {
                fearless_simd::Level::new().as_avx512().map(Level::Avx512).ok_or(missing)
            }
            #[cfg(not(target_arch = "x86_64"))]
            Self::Avx2 | Self::Avx512 => Err(missing),
        }
    }
}

/// The machine lacks the instructions that the config asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("kernels.simd is \"{}\", which this machine does not have: it has {}", wanted.word(), Level::detect())]
pub struct LevelMissing {
    wanted: SimdChoice,
}

/// A level that this machine has.
#[derive(Clone, Copy, Debug)]
pub enum Level {
    /// The portable reference: what the compiler makes of plain code for every machine of this architecture.
    Scalar,
    /// AVX2 with FMA.
    #[cfg(target_arch = "x86_64")]
    Avx2(Avx2),
    /// AVX-512 with VNNI and GFNI.
    #[cfg(target_arch = "x86_64")]
    Avx512(Avx512),
}

impl Level {
    /// The widest level of this machine.
    #[must_use]
    pub fn detect() -> Self {
        #[cfg(target_arch = "x86_64")]
        {
            let found = fearless_simd::Level::new();
            if let Some(token) = found.as_avx512() {
                return Self::Avx512(token);
            }
            if let Some(token) = found.as_avx2() {
                return Self::Avx2(token);
            }
        }
        Self::Scalar
    }

    /// Its word, as in the config.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Scalar => "scalar",
            #[cfg(target_arch = "x86_64")]
            Self::Avx2(_) => "avx2",
            #[cfg(target_arch = "x86_64")]
            Self::Avx512(_) => "avx512",
        }
    }

    /// Every level, narrowest first; none where this machine lacks it. For tests and reports, which say what they skip.
    #[must_use]
    pub fn every() -> [(&'static str, Option<Self>); 3] {
        [SimdChoice::Scalar, SimdChoice::Avx2, SimdChoice::Avx512]
            .map(|choice| (choice.word(), choice.resolve().ok()))
    }
}

impl fmt::Display for Level {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.word())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn auto_is_the_widest_level_there_is() {
        let widest = Level::every().into_iter().filter_map(|(_, level)| level).next_back();
        let auto = SimdChoice::Auto.resolve().expect("auto never fails");
        assert_eq!(widest.map(Level::word), Some(auto.word()));
    }

    #[test]
    fn a_forced_level_is_that_level_or_an_error_that_names_both() {
        for choice in SimdChoice::ALL.into_iter().skip(1) {
            match choice.resolve() {
                Ok(level) => assert_eq!(level.word(), choice.word()),
                Err(e) => {
                    let said = e.to_string();
                    assert!(said.contains(&format!("\"{}\"", choice.word())), "{said}");
                    assert!(said.ends_with(&format!("it has {}", Level::detect())), "{said}");
                }
            }
        }
    }
}
