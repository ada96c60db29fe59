//! Words that a key chooses among: one table for reading, for printing and for messages.
//!
//! Knows no file.

/// A value that a config writes as one of a few words.
pub(super) trait Choice: Copy + PartialEq + 'static {
    /// Every word with its value.
    const WORDS: &'static [(&'static str, Self)];

    /// The value of that word.
    fn from_word(word: &str) -> Option<Self> {
        Self::WORDS.iter().find(|(w, _)| *w == word).map(|(_, v)| *v)
    }

    /// The words as a message lists them.
    fn listed() -> String {
        let words: Vec<String> = Self::WORDS.iter().map(|(w, _)| format!("\"{w}\"")).collect();
        words.join(", ")
    }
}

/// An enum of words: `choice! { /// doc \n pub enum Idle { /// doc \n Spin = "spin" } }`.
macro_rules! choice {
    ($(#[$doc:meta])* pub enum $name:ident { $($(#[$vdoc:meta])* $variant:ident = $word:literal,)+ }) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub enum $name { $($(#[$vdoc])* $variant,)+ }

        impl $name {
            /// Every value, in the order of their words in messages.
            pub const ALL: &'static [Self] = &[$(Self::$variant,)+];

            /// The word for it in a config.
            #[must_use]
            pub const fn word(self) -> &'static str {
                match self { $(Self::$variant => $word,)+ }
            }
        }

        impl $crate::config::choice::Choice for $name {
            const WORDS: &'static [(&'static str, Self)] = &[$(($word, Self::$variant),)+];
        }
    };
}
pub(super) use choice;

impl Choice for crate::base::Priority {
    const WORDS: &'static [(&'static str, Self)] = &[
        ("high", Self::High),
        ("medium", Self::Medium),
        ("low", Self::Low),
        ("best-effort", Self::BestEffort),
    ];
}

use crate::kernel::mlp::{Output, Precision};
use crate::kernel::rs::Task;
use crate::kernel::simd::SimdChoice;

impl Choice for SimdChoice {
    const WORDS: &'static [(&'static str, Self)] = &[
        (Self::Auto.word(), Self::Auto),
        (Self::Scalar.word(), Self::Scalar),
        (Self::Avx2.word(), Self::Avx2),
        (Self::Avx512.word(), Self::Avx512),
    ];
}

impl Choice for Precision {
    const WORDS: &'static [(&'static str, Self)] =
        &[(Self::F32.word(), Self::F32), (Self::Int8.word(), Self::Int8)];
}

impl Choice for Task {
    const WORDS: &'static [(&'static str, Self)] =
        &[(Self::Repair.word(), Self::Repair), (Self::Encode.word(), Self::Encode)];
}

impl Choice for Output {
    const WORDS: &'static [(&'static str, Self)] =
        &[(Self::Linear.word(), Self::Linear), (Self::Sigmoid.word(), Self::Sigmoid)];
}

#[cfg(test)]
mod tests {
    use super::Choice;
    use crate::base::Priority;

    #[test]
    fn priorities_are_chosen_by_their_labels() {
        assert_eq!(Priority::WORDS.map_labels(), Priority::ALL.map(Priority::label));
        assert_eq!(Priority::from_word("urgent"), None);
        assert_eq!(Priority::listed(), "\"high\", \"medium\", \"low\", \"best-effort\"");
    }

    trait MapLabels {
        fn map_labels(&self) -> [&'static str; 4];
    }

    impl MapLabels for &[(&'static str, Priority)] {
        fn map_labels(&self) -> [&'static str; 4] {
            std::array::from_fn(|i| {
                let (word, priority) = self[i];
                assert_eq!(priority.label(), word);
                word
            })
        }
    }
}
