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
        if numbers.iter().any(|x| !x.is_finite()) {
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
    let mut good = true;
    for (to, word) in room.iter_mut().zip(words) {
        *to = f32::from_le_bytes(*word);
        good &= to.is_finite();
    }
    good
}
