//! Products with each constant of the field, in the shapes that the forms look them up in.
//!
//! Knows no matrix and no instruction; all of it is made when the program is compiled.

use super::field::{inverse, product};

/// Products of one constant: with the low four bits of a byte, and with the high four. A product is the sum of both.
#[derive(Clone, Copy, Debug)]
pub(super) struct Nibbles {
    pub(super) low: [u8; 16],
    pub(super) high: [u8; 16],
}

/// Every constant's nibbles.
pub(super) static NIBBLES: [Nibbles; 256] = {
    let mut all = [Nibbles { low: [0; 16], high: [0; 16] }; 256];
    let mut c: u16 = 0;
    while c < 256 {
        let constant = c.to_le_bytes()[0];
        let mut x: u8 = 0;
        while x < 16 {
            all[c as usize].low[x as usize] = product(constant, x);
            all[c as usize].high[x as usize] = product(constant, x << 4);
            x += 1;
        }
        c += 1;
    }
    all
};

/// A whole table a constant: what the reference and the matrices look products up in.
pub(super) static PRODUCTS: [[u8; 256]; 256] = {
    let mut all = [[0; 256]; 256];
    let mut c = 0;
    while c < 256 {
        let mut x = 0;
        while x < 256 {
            all[c][x] = NIBBLES[c].low[x & 15] ^ NIBBLES[c].high[x >> 4];
            x += 1;
        }
        c += 1;
    }
    all
};

/// What each constant times is 1; 0 for 0.
pub(super) static INVERSES: [u8; 256] = {
    let mut all = [0; 256];
    let mut c: u16 = 0;
    while c < 256 {
        all[c as usize] = inverse(c.to_le_bytes()[0]);
        c += 1;
    }
    all
};

/// Each constant as a matrix of bits, as `gf2p8affineqb` reads it: a product is a sum of the byte's bits times the constant
/// shifted, so bit `i` of it is the parity of the byte under a mask, and that mask is byte `7 - i`.
pub(super) static BITS: [u64; 256] = {
    let mut all = [0; 256];
    let mut c: u16 = 0;
    while c < 256 {
        let mut of = 0;
        while of < 8 {
            let shifted = product(c.to_le_bytes()[0], 1 << of);
            let mut i = 0;
            while i < 8 {
                if shifted >> i & 1 == 1 {
                    all[c as usize] |= 1 << (8 * (7 - i) + of);
                }
                i += 1;
            }
            of += 1;
        }
        c += 1;
    }
    all
};
