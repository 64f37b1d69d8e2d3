//! Sums of products modulo L, the order of the base point, for the coefficients of a batch.
//!
//! L is 2^252 + C with C below 2^125, so 2^252 times anything is the same as -C times it: of a long number the part over
//! 2^252 goes over into a product that is 127 bits shorter and counts with the other sign.

use super::digits::{L, add};

/// A number below L, least word first.
pub(super) type Number = [u64; 4];

const C: [u64; 2] = [L[0], L[1]];
/// Words of a sum: of products of ten words each, and 64 bits for how many there are and for the sign.
const WORDS: usize = 11;

/// A multiplier of 128 bits with a sign.
#[derive(Clone, Copy, Debug)]
pub(super) struct Multiplier {
    size: [u64; 2],
    negative: bool,
}

impl Multiplier {
    /// 2 r + 1 - 2^128: each r gives another odd number, and none of them is 0 mod L.
    pub(super) const fn new(r: u128) -> Self {
        let twice = r << 1;
        let (size, negative) = if r >> 127 == 1 { (twice | 1, false) } else { (!twice, true) };
        Self { size: [size as u64, (size >> 64) as u64], negative }
    }
}

/// A sum that is not reduced before all is added, in two's complement.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Sum([u64; WORDS]);

impl Sum {
    /// Adds a product with a number of `N` words, at most eight. There must be fewer than 2^63 in one sum.
    #[inline]
    pub(super) fn add<const N: usize>(&mut self, multiplier: Multiplier, factor: &[u64; N]) {
        let mut product = [0; WORDS];
        multiply(factor, multiplier.size, &mut product);
        // -x is the complement of x, plus 1.
        let (flip, mut carry) = if multiplier.negative { (u64::MAX, true) } else { (0, false) };
        for (sum, word) in self.0.iter_mut().zip(product) {
            let (more, over) = sum.overflowing_add(word ^ flip);
            let (more, again) = more.overflowing_add(u64::from(carry));
            (*sum, carry) = (more, over | again);
        }
    }

    /// The sum mod L.
    pub(super) fn reduced(&self) -> Number {
        if self.0[WORDS - 1] >> 63 == 0 {
            return reduced(self.0);
        }
        let mut carry = true;
        let size = self.0.map(|word| {
            let (word, over) = (!word).overflowing_add(u64::from(carry));
            carry = over;
            word
        });
        less(&[0; 4], &reduced(size))
    }
}

/// `long` times two words into `out`, which is zero.
#[inline(always)]
fn multiply(long: &[u64], [low, high]: [u64; 2], out: &mut [u64; WORDS]) {
    let (mut carry, mut before) = (0_u128, 0_u64);
    for (word, out) in long.iter().chain([&0, &0]).zip(out.iter_mut()) {
        // Below 2^128: (2^64 - 1)^2 + 2 (2^64 - 1) at most, twice, each time with its own carry.
        let first = u128::from(*word) * u128::from(low) + u128::from(carry as u64);
        let second = u128::from(before) * u128::from(high) + u128::from(first as u64);
        *out = second as u64;
        carry = (carry >> 64) + (first >> 64) + (second >> 64);
        before = *word;
    }
}

/// a - b mod L, both below L.
fn less(a: &Number, b: &Number) -> Number {
    let (difference, borrow) = difference(a, b);
    if borrow { lower(add(&wide(&difference), &L)) } else { difference }
}

fn wide([a, b, c, d]: &Number) -> [u64; 5] {
    [*a, *b, *c, *d, 0]
}

fn lower([a, b, c, d, _]: [u64; 5]) -> Number {
    [a, b, c, d]
}

/// a - b mod 2^256, and whether b is larger.
fn difference(a: &Number, b: &Number) -> (Number, bool) {
    let mut borrow = false;
    let words = std::array::from_fn(|at| {
        let (less, under) = a[at].overflowing_sub(b[at]);
        let (less, again) = less.overflowing_sub(u64::from(borrow));
        borrow = under | again;
        less
    });
    (words, borrow)
}

/// Of a number the part below 2^252, and C times the `N` words above.
#[inline(always)]
fn folded<const N: usize>(value: &[u64; WORDS]) -> ([u64; 5], [u64; WORDS]) {
    let part = |at: usize| value.get(at).copied().unwrap_or(0);
    let high: [u64; N] = std::array::from_fn(|at| part(at + 3) >> 60 | part(at + 4) << 4);
    let mut product = [0; WORDS];
    multiply(&high, C, &mut product);
    ([value[0], value[1], value[2], value[3] & (u64::MAX >> 4), 0], product)
}

/// A number below 2^703, mod L.
fn reduced(value: [u64; WORDS]) -> Number {
    // 703 bits, then 576, 449, 322 and 195.
    let (first, value) = folded::<8>(&value);
    let (second, value) = folded::<6>(&value);
    let (third, value) = folded::<4>(&value);
    let (fourth, value) = folded::<2>(&value);
    let (plus, minus) =
        (add(&first, &add(&third, &[value[0], value[1], value[2], value[3], 0])), add(&second, &fourth));
    // What counts with a minus is below 2^253.
    let (mut value, _) = difference(&lower(add(&plus, &add(&wide(&lower(L)), &L))), &lower(minus));
    loop {
        let (next, under) = difference(&value, &lower(L));
        if under {
            return value;
        }
        value = next;
    }
}
