//! How a payload becomes numbers and numbers become an answer: the same for every backend.
//!
//! Knows no layer.

use super::{NUMBER_LEN, Output, Spec};

/// What payloads and answers look like.
#[derive(Clone, Copy, Debug)]
pub(in crate::kernel) struct Shape {
    /// Numbers of a payload.
    pub(in crate::kernel) inputs: usize,
    /// Numbers of an answer.
    pub(in crate::kernel) outputs: usize,
    /// Bytes of an answer.
    pub(in crate::kernel) answer_len: usize,
    output: Output,
    tag: usize,
}

impl Shape {
    pub(in crate::kernel) fn of(spec: &Spec) -> Self {
        Self {
            inputs: spec.model.inputs(),
            outputs: spec.model.outputs(),
            answer_len: spec.answer_len(),
            output: spec.output,
            tag: spec.tag,
        }
    }

    /// Whether the payload is right: as many features as the network has inputs, all of them numbers, and room for the answer.
    /// They are in `room` then, which is as long as there are inputs.
    #[inline]
    pub(in crate::kernel) fn take(
        &self,
        payload: &[u8],
        capacity: usize,
        room: &mut [f32],
    ) -> bool {
        let features = payload.get(self.tag..);
        features.is_some_and(|f| fill(f, room)) && capacity >= self.answer_len
    }

    /// Writes the answer behind the tag, and says how long it is with it. None where the sums overflowed.
    #[inline]
    pub(in crate::kernel) fn give(&self, numbers: &[f32], memory: &mut [u8]) -> Option<usize> {
        if !finite(numbers.iter().map(|x| x.to_bits())) {
            return None;
        }
        let (room, _) = memory[self.tag..].as_chunks_mut::<NUMBER_LEN>();
        for (to, x) in room.iter_mut().zip(numbers) {
            let value = match self.output {
                Output::Linear => *x,
                Output::Sigmoid => 1.0 / (1.0 + (-x).exp()),
            };
            *to = value.to_le_bytes();
        }
        Some(self.answer_len)
    }
}

/// Whether the payload is as many good numbers as there is room for; they are in `room` then.
fn fill(payload: &[u8], room: &mut [f32]) -> bool {
    let (words, rest) = payload.as_chunks::<NUMBER_LEN>();
    if !rest.is_empty() || words.len() != room.len() {
        return false;
    }
    for (to, word) in room.iter_mut().zip(words) {
        *to = f32::from_le_bytes(*word);
    }
    finite(words.iter().map(|word| u32::from_le_bytes(*word)))
}

/// Whether all are finite: an exponent of all ones overflows into the sign, and a loop of whole numbers becomes vectors on every
/// machine.
#[inline]
fn finite(numbers: impl Iterator<Item = u32>) -> bool {
    const EXPONENT: u32 = 0x7f80_0000;
    const ONE: u32 = 0x0080_0000;
    numbers.fold(0, |all, bits| all | ((bits & EXPONENT) + ONE)) >> 31 == 0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finite_is_what_floats_call_it() {
        for x in [0.0, -0.0, 1.0, -1.0, f32::MAX, f32::MIN, f32::MIN_POSITIVE, 1e-45] {
            assert!(finite([1.0_f32, x].map(f32::to_bits).into_iter()), "{x}");
        }
        for x in [f32::INFINITY, f32::NEG_INFINITY, f32::NAN, -f32::NAN] {
            assert!(!finite([x, 1.0].map(f32::to_bits).into_iter()), "{x}");
        }
    }
}
