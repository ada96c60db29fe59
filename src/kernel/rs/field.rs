//! The field of 256 elements (polynomial 0x11d) and the matrices of an erasure code over it.
//!
//! Knows no shard. The code is the one of the common libraries (Vandermonde, made systematic): parity of theirs repairs here.

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

/// `a` to the power `n`.
fn power(a: u8, n: usize) -> u8 {
    (0..n).fold(1, |p, _| product(p, a))
}

/// What `a` times is 1; 0 has none and gives 0. Fermat: `a^254`.
fn inverse(a: u8) -> u8 {
    power(a, 254)
}

/// The largest side of a matrix.
pub(super) const SIDE: usize = super::SHARDS_MAX;

/// A matrix of up to `SIDE` rows and columns, in memory of its own: repairs allocate nothing. Behind its columns is room for the
/// identity that an inversion starts from.
#[derive(Clone, Debug)]
pub(super) struct Matrix {
    pub(super) rows: usize,
    pub(super) columns: usize,
    cells: [[u8; 2 * SIDE]; SIDE],
}

impl Matrix {
    /// A matrix whose cells `f` gives by row and column.
    pub(super) fn new(rows: usize, columns: usize, f: impl Fn(usize, usize) -> u8) -> Self {
        let mut cells = [[0; 2 * SIDE]; SIDE];
        for (r, row) in cells.iter_mut().enumerate().take(rows) {
            row.iter_mut().enumerate().take(columns).for_each(|(c, cell)| *cell = f(r, c));
        }
        Self { rows, columns, cells }
    }

    /// The coefficients of row `r`.
    pub(super) fn row(&self, r: usize) -> &[u8] {
        &self.cells[r][..self.columns]
    }

    /// Row times matrix.
    pub(super) fn times(&self, other: &Self) -> Self {
        Self::new(self.rows, other.columns, |r, c| {
            let products = self.row(r).iter().zip(&other.cells);
            products.fold(0, |sum, (a, row)| sum ^ product(*a, row[c]))
        })
    }

    /// The same with another one's columns behind its own.
    pub(super) fn beside(&self, other: &Self) -> Self {
        Self::new(self.rows, self.columns + other.columns, |r, c| {
            if c < self.columns { self.cells[r][c] } else { other.cells[r][c - self.columns] }
        })
    }

    /// The inverse of a square matrix, by Gauss and Jordan; none where there is none.
    pub(super) fn inverted(mut self) -> Option<Self> {
        let size = self.rows;
        for (i, row) in self.cells.iter_mut().enumerate().take(size) {
            row[size + i] = 1;
        }
        for i in 0..size {
            let pivot = (i..size).find(|r| self.cells[*r][i] != 0)?;
            self.cells.swap(i, pivot);
            let scale = inverse(self.cells[i][i]);
            self.cells[i].iter_mut().for_each(|x| *x = product(*x, scale));
            let source = self.cells[i];
            for (r, row) in self.cells.iter_mut().enumerate().take(size) {
                let factor = row[i];
                if r != i && factor != 0 {
                    row.iter_mut().zip(&source).for_each(|(x, s)| *x ^= product(factor, *s));
                }
            }
        }
        Some(Self::new(size, size, |r, c| self.cells[r][size + c]))
    }
}

/// The parity rows of the code: `parity` rows of `data` coefficients. Together at most `SIDE`.
pub(super) fn parity_rows(data: usize, parity: usize) -> Matrix {
    let point = |r: usize| u8::try_from(r).unwrap_or(u8::MAX);
    let top = Matrix::new(data, data, |r, c| power(point(r), c));
    let rest = Matrix::new(parity, data, |r, c| power(point(data + r), c));
    // Distinct points: the top of a Vandermonde matrix has an inverse, and nothing else would be a code.
    top.inverted().map_or_else(|| rest.clone(), |top| rest.times(&top))
}
