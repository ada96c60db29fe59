//! The field of 256 elements (polynomial 0x11d) and the matrices of an erasure code over it.
//!
//! Knows no shard. The code is the one of the common libraries (Vandermonde, made systematic): parity of theirs repairs here.

use std::ops::Range;

use super::tables::{INVERSES, PRODUCTS};

/// What makes products of bytes stay bytes: x^8 + x^4 + x^3 + x^2 + 1.
const POLYNOMIAL: u16 = 0x11d;

/// `a * b`, bit by bit: for tables and matrices, not for data.
pub(super) const fn product(a: u8, b: u8) -> u8 {
    let (mut a, mut b, mut sum) = (a as u16, b, 0_u16);
    while b > 0 {
        if b & 1 == 1 {
            sum ^= a;
        }
        a <<= 1;
        if a & 0x100 != 0 {
            a ^= POLYNOMIAL;
        }
        b >>= 1;
    }
    sum.to_le_bytes()[0]
}

/// The same by table.
fn by_table(a: u8, b: u8) -> u8 {
    PRODUCTS[usize::from(a)][usize::from(b)]
}

/// `a` to the power `n`.
fn power(a: u8, n: usize) -> u8 {
    (0..n).fold(1, |p, _| by_table(p, a))
}

/// What `a` times is 1; 0 has none and gives 0. Fermat: `a^254`, which is `a^2 * a^4 * … * a^128`.
pub(super) const fn inverse(a: u8) -> u8 {
    let (mut square, mut all, mut i) = (a, 1, 0);
    while i < 7 {
        square = product(square, square);
        all = product(all, square);
        i += 1;
    }
    all
}

/// The largest side of a matrix.
pub(super) const SIDE: usize = super::SHARDS_MAX;

/// A matrix of up to `SIDE` rows and twice as many columns, in memory of its own: repairs allocate nothing.
#[derive(Clone, Debug)]
pub(super) struct Matrix {
    pub(super) rows: usize,
    /// The columns that count.
    columns: Range<usize>,
    cells: [[u8; 2 * SIDE]; SIDE],
}

impl Matrix {
    /// A matrix without rows.
    pub(super) const fn none() -> Self {
        Self { rows: 0, columns: 0..0, cells: [[0; 2 * SIDE]; SIDE] }
    }

    /// A matrix whose cells `f` gives by row and column.
    pub(super) fn new(rows: usize, columns: usize, f: impl Fn(usize, usize) -> u8) -> Self {
        let mut made = Self::none();
        made.set(rows, columns, f);
        made
    }

    /// The same in this one's place.
    pub(super) fn set(&mut self, rows: usize, columns: usize, f: impl Fn(usize, usize) -> u8) {
        for (r, row) in self.cells.iter_mut().enumerate().take(rows) {
            row.iter_mut().enumerate().take(columns).for_each(|(c, cell)| *cell = f(r, c));
        }
        (self.rows, self.columns) = (rows, 0..columns);
    }

    /// The coefficients of row `r`.
    pub(super) fn row(&self, r: usize) -> &[u8] {
        &self.cells[r][self.columns.clone()]
    }

    /// Row times matrix.
    fn times(&self, other: &Self) -> Self {
        Self::new(self.rows, other.columns.len(), |r, c| {
            let products = (0..other.rows).map(|i| by_table(self.row(r)[i], other.row(i)[c]));
            products.fold(0, |sum, product| sum ^ product)
        })
    }

    /// Of a matrix `[A | B]` whose `A` is square only `inverse(A) * B` is left, by Gauss and Jordan: what is done to the rows
    /// until `A` is the identity makes that of `B`. None where `A` has no inverse.
    pub(super) fn solve(&mut self) -> Option<()> {
        let (size, columns) = (self.rows, self.columns.clone());
        for i in 0..size {
            let pivot = (i..size).find(|r| self.cells[*r][i] != 0)?;
            self.cells.swap(i, pivot);
            let scale = &PRODUCTS[usize::from(INVERSES[usize::from(self.cells[i][i])])];
            // Columns before this one are the identity's already: nothing happens to them any more.
            let rest = i..columns.end;
            self.cells[i][rest.clone()].iter_mut().for_each(|x| *x = scale[usize::from(*x)]);
            let source = self.cells[i];
            for (r, row) in self.cells.iter_mut().enumerate().take(size) {
                let factor = &PRODUCTS[usize::from(row[i])];
                if r != i && row[i] != 0 {
                    let pairs = row[rest.clone()].iter_mut().zip(&source[rest.clone()]);
                    pairs.for_each(|(x, s)| *x ^= factor[usize::from(*s)]);
                }
            }
        }
        self.columns = size..columns.end;
        Some(())
    }
}

/// The parity rows of the code: `parity` rows of `data` coefficients. Together at most `SIDE`.
pub(super) fn parity_rows(data: usize, parity: usize) -> Matrix {
    let point = |r: usize| u8::try_from(r).unwrap_or(u8::MAX);
    let mut top = Matrix::new(data, 2 * data, |r, c| match c.checked_sub(data) {
        None => power(point(r), c),
        Some(c) => u8::from(r == c),
    });
    let rest = Matrix::new(parity, data, |r, c| power(point(data + r), c));
    // Distinct points: the top of a Vandermonde matrix has an inverse, and nothing else would be a code.
    match top.solve() {
        Some(()) => rest.times(&top),
        None => rest,
    }
}
