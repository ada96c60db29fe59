//! Weights that begin where a line of the cache begins.
//!
//! Knows no layer. A vector of AVX-512 is a line: from anywhere else each load would touch two.

use bytemuck::{Pod, Zeroable};

/// Numbers of 32 bits to a line.
const NUMBERS: usize = 16;

#[derive(Clone, Copy, Debug, Pod, Zeroable)]
#[repr(C, align(64))]
struct Line([u32; NUMBERS]);

/// Words of 32 bits, in whole lines.
#[derive(Clone, Debug)]
pub(super) struct Lines(Vec<Line>);

impl Lines {
    /// Zeros; panels are whole lines, so `count` is a multiple of one.
    pub(super) fn zeros(count: usize) -> Self {
        debug_assert!(count.is_multiple_of(NUMBERS));
        Self(vec![Line([0; NUMBERS]); count.div_ceil(NUMBERS)])
    }

    #[inline(always)]
    pub(super) fn get<T: Pod>(&self) -> &[T] {
        bytemuck::cast_slice(&self.0)
    }

    pub(super) fn get_mut<T: Pod>(&mut self) -> &mut [T] {
        bytemuck::cast_slice_mut(&mut self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::Lines;

    #[test]
    fn numbers_begin_with_a_line_and_are_kept() {
        for count in [16, 48, 4_096] {
            let mut lines = Lines::zeros(count);
            lines.get_mut::<f32>()[count - 1] = 1.0;
            assert_eq!(lines.get::<f32>().len(), count);
            assert_eq!(lines.get::<f32>().as_ptr().align_offset(64), 0);
            assert_eq!(lines.get::<u32>()[count - 2..], [0, 1.0_f32.to_bits()]);
        }
    }
}
