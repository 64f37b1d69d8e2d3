//! Points out of their encodings: a square root in each lane.

use std::arch::x86_64::{
    __m256d, __m256i, _mm256_castsi256_pd, _mm256_or_pd, _mm256_slli_epi64, _mm256_srli_epi64, _mm256_xor_si256,
};

use super::entry::words_of;
use super::field::{Element, Words};
use super::point::{Affine, Point, root_candidate};

/// d of the curve, a square root of -1, and 1 / 2.
const D: [u64; 4] = [0x75EB_4DCA_1359_78A3, 0x0070_0A4D_4141_D8AB, 0x8CC7_4079_7779_E898, 0x5203_6CEE_2B6F_FE73];
const ROOT: [u64; 4] = [0xC4EE_1B27_4A0E_A0B0, 0x2F43_1806_AD2F_E478, 0x2B4D_0099_3DFB_D7A7, 0x2B83_2480_4FC1_DF0B];
const HALF: [u64; 4] = [0xFFFF_FFFF_FFFF_FFF7, u64::MAX, u64::MAX, 0x3FFF_FFFF_FFFF_FFFF];

/// Numbers that decoding and building need.
pub(super) struct Numbers<E> {
    pub(super) zero: E,
    pub(super) one: E,
    pub(super) d: E,
    pub(super) twice_d: E,
    pub(super) half: E,
    root: E,
}

impl<E: Element> Numbers<E> {
    #[target_feature(enable = "avx2,fma")]
    pub(super) fn new() -> Self {
        let d = E::splat(D);
        let (zero, one) = (E::splat([0; 4]), E::splat([1, 0, 0, 0]));
        let (half, root) = (E::splat(HALF), E::splat(ROOT));
        Self { zero, one, d, twice_d: d.add(&d).carry(), half, root }
    }
}

/// The points of four encodings, which must be canonical.
#[derive(Clone, Copy)]
pub(super) struct Decoded<E> {
    pub(super) x: E,
    pub(super) y: E,
    /// Sign bits set where there is such a point; elsewhere x and y mean nothing.
    pub(super) on_curve: __m256d,
}

impl<E: Element> Decoded<E> {
    /// Chooses among the roots that `root_candidate` gives for y, by the lowest bits of `odd`: those of x.
    #[target_feature(enable = "avx2,fma")]
    fn new(y: E, (u, v, r): (E, E, E), odd: __m256i, numbers: &Numbers<E>) -> Self {
        let square = r.sqr().mul(&v);
        let (exact, opposite) = (square.sub(&u).carry().is_zero(), square.add(&u).carry().is_zero());
        let x = r.mul(&numbers.root).or_where(&r, exact);
        let wrong = _mm256_slli_epi64(_mm256_xor_si256(x.to_words()[0], odd), 63);
        let x = x.negated_where(_mm256_castsi256_pd(wrong)).settled();
        Self { x, y, on_curve: _mm256_or_pd(exact, opposite) }
    }

    #[target_feature(enable = "avx2,fma")]
    pub(super) fn point(&self, numbers: &Numbers<E>) -> Point<E> {
        Point::new(self.x, self.y, numbers.one)
    }

    /// The points as entries, all parts tight.
    #[target_feature(enable = "avx2,fma")]
    pub(super) fn affine(&self, numbers: &Numbers<E>) -> Affine<E> {
        Affine::new(&self.x, &self.y, &numbers.half, &numbers.d)
    }
}

/// The points with these y, and an x whose lowest bit is that of `odd`.
#[target_feature(enable = "avx2,fma")]
pub(super) fn with_y<E: Element>(y: E, odd: __m256i, numbers: &Numbers<E>) -> Decoded<E> {
    Decoded::new(y, root_candidate(&y, &numbers.one, &numbers.d), odd, numbers)
}

/// The points of four encodings.
#[target_feature(enable = "avx2,fma")]
pub(super) fn decoded<E: Element>(encodings: [&[u8; 32]; 4], numbers: &Numbers<E>) -> Decoded<E> {
    let words = words_of(encodings);
    with_y(E::from_words(&words), sign_bits(&words), numbers)
}

/// The sign bit of each encoding, which is the lowest bit of x, as a number.
#[target_feature(enable = "avx2")]
pub(super) fn sign_bits(words: &Words) -> __m256i {
    _mm256_srli_epi64(words[3], 63)
}

/// The encoding of the negative point: the same y, the other x.
pub(super) fn negative(encoding: &[u8; 32]) -> [u8; 32] {
    let mut negative = *encoding;
    negative[31] ^= 0x80;
    negative
}

/// The points of sixteen encodings, if they are any.
#[target_feature(enable = "avx2,fma")]
pub(super) fn decoded_sixteen<E: Element>(encodings: [[&[u8; 32]; 4]; 4], numbers: &Numbers<E>) -> [Decoded<E>; 4] {
    let words = encodings.map(|four| words_of(four));
    let y = words.map(|words| E::from_words(&words));
    let candidates = E::root_candidates(y, numbers);
    std::array::from_fn(|four| Decoded::new(y[four], candidates[four], sign_bits(&words[four]), numbers))
}

/// The points of eight encodings, if they are any: two square roots side by side take much less than twice one.
#[target_feature(enable = "avx2,fma")]
pub(super) fn decoded_eight<E: Element>(encodings: [[&[u8; 32]; 4]; 2], numbers: &Numbers<E>) -> [Decoded<E>; 2] {
    let words = [words_of(encodings[0]), words_of(encodings[1])];
    let y = [E::from_words(&words[0]), E::from_words(&words[1])];
    let (u, v, r) = root_candidate(&y, &[numbers.one; 2], &[numbers.d; 2]);
    std::array::from_fn(|half| Decoded::new(y[half], (u[half], v[half], r[half]), sign_bits(&words[half]), numbers))
}
