//! The arithmetic in lanes against plain arithmetic: the field, the hash, the digits, the rounding mode.

#![allow(clippy::unwrap_used)] // a test that finds None fails

use std::sync::Arc;

use std::arch::x86_64::{__m256i, _mm256_set_epi64x};

use curve25519_dalek::scalar::Scalar;
use ed25519_dalek::{Signer as _, SigningKey};
use sha2::{Digest as _, Sha512};

use super::digits::{self, SPAN, TEETH};
use super::entry::{Digit, index, numbers};
use super::fe::{Fe4, Field as _, Words};
use super::kernel::Lanes;
use super::sha512;
use super::tables::{BASE_DIGITS, BASE_WIDTH, FEW_DIGITS, FEW_WIDTH};
use super::{Kernel as _, Row};
use crate::ed25519::{Key, Mode};

/// A number below 2^256, for arithmetic modulo p by the book.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Number([u64; 4]);

const P: [u64; 4] = [0xFFFF_FFFF_FFFF_FFED, u64::MAX, u64::MAX, 0x7FFF_FFFF_FFFF_FFFF];

impl Number {
    fn mul(self, other: Self) -> Self {
        let mut wide = [0_u64; 8];
        for i in 0..4 {
            let mut carry = 0_u128;
            for j in 0..4 {
                let sum = u128::from(self.0[i]) * u128::from(other.0[j]) + u128::from(wide[i + j]) + carry;
                wide[i + j] = sum as u64;
                carry = sum >> 64;
            }
            wide[i + 4] = carry as u64;
        }
        let mut low = [wide[0], wide[1], wide[2], wide[3]];
        let mut high = Self::scaled(&mut low, [wide[4], wide[5], wide[6], wide[7]]);
        while high != 0 {
            high = Self::scaled(&mut low, [high, 0, 0, 0]);
        }
        Self(low)
    }

    /// Adds 38 times `high` to `low` and returns what is over 2^256.
    fn scaled(low: &mut [u64; 4], high: [u64; 4]) -> u64 {
        let mut carry = 0_u128;
        for (low, high) in low.iter_mut().zip(high) {
            let sum = u128::from(*low) + 38 * u128::from(high) + carry;
            *low = sum as u64;
            carry = sum >> 64;
        }
        carry as u64
    }

    /// Adds a number below p, of either sign.
    fn add(self, value: i64) -> Self {
        // p - |value| for a negative one, so that all is positive.
        let (mut words, size) = ([0; 4], value.unsigned_abs());
        if value < 0 {
            words = P;
            words[0] -= size; // the sizes in use are below 2^63
        } else {
            words[0] = size;
        }
        let mut sum = self.reduced().0;
        let mut carry = 0_u128;
        for (sum, word) in sum.iter_mut().zip(words) {
            let wide = u128::from(*sum) + u128::from(word) + carry;
            *sum = wide as u64;
            carry = wide >> 64;
        }
        assert_eq!(carry, 0);
        Self(sum).reduced()
    }

    fn reduced(mut self) -> Self {
        while self.0.iter().rev().ge(P.iter().rev()) {
            let mut borrow = false;
            for (word, p) in self.0.iter_mut().zip(P) {
                let (less, a) = word.overflowing_sub(p);
                let (less, b) = less.overflowing_sub(u64::from(borrow));
                (*word, borrow) = (less, a | b);
            }
        }
        self
    }

    fn of(limbs: [i64; 5]) -> Self {
        limbs.iter().rev().fold(Self([0; 4]), |sum, &limb| sum.mul(Self([1 << 51, 0, 0, 0])).add(limb))
    }
}

/// `SplitMix64`.
pub(super) struct Seeded(pub(super) u64);

impl Seeded {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mixed = (self.0 ^ self.0 >> 30).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        let mixed = (mixed ^ mixed >> 27).wrapping_mul(0x94D0_49BB_1331_11EB);
        mixed ^ mixed >> 31
    }

    pub(super) fn below(&mut self, end: usize) -> usize {
        (self.next() % end as u64) as usize
    }

    pub(super) fn bytes<const N: usize>(&mut self) -> [u8; N] {
        std::array::from_fn(|_| self.next() as u8)
    }

    /// A limb of at most `bound` in size; one in two is at a bound, just under it, or near a corner of the arithmetic.
    fn limb(&mut self, bound: i64) -> i64 {
        let corners = [bound, bound - 1, bound / 2, bound / 2 + 1, bound / 2 - 1, 0, 1, (1 << 50) - 1];
        let any = (self.next() >> 2).cast_signed() % (bound + 1);
        let size = if self.next() & 1 == 0 { any } else { corners[self.next() as usize % 8] };
        if self.next() & 1 == 0 { size } else { -size }
    }

    fn limbs(&mut self, bound: i64) -> [[i64; 5]; 4] {
        std::array::from_fn(|_| std::array::from_fn(|_| self.limb(bound)))
    }
}

const TIGHT: i64 = (1 << 50) + (1 << 12);

fn here() -> bool {
    Lanes::detect().is_some()
}

#[target_feature(enable = "avx2,fma")]
fn lanes(limbs: [[i64; 5]; 4]) -> Fe4 {
    Fe4::from_lanes(limbs.map(|limbs| limbs.map(|limb| limb as f64)))
}

#[target_feature(enable = "avx2,fma")]
fn transposed(words: Words) -> [Number; 4] {
    let words = super::entry::transposed(words);
    std::array::from_fn(|lane| Number(numbers(words[lane])))
}

#[target_feature(enable = "avx2,fma")]
fn check_products(a: [[i64; 5]; 4], b: [[i64; 5]; 4], tight: [[i64; 5]; 4]) {
    let product = transposed(lanes(a).mul(&lanes(b)).to_words());
    let square = transposed(lanes(tight).sqr().to_words());
    for lane in 0..4 {
        let (a_number, b_number, c) = (Number::of(a[lane]), Number::of(b[lane]), Number::of(tight[lane]));
        assert_eq!(product[lane], a_number.mul(b_number).reduced(), "{:?} * {:?}", a[lane], b[lane]);
        assert_eq!(square[lane], c.mul(c).reduced(), "{:?} squared", tight[lane]);
    }
}

fn products(vectors: usize, seed: u64) {
    if !here() {
        return;
    }
    let mut numbers = Seeded(seed);
    for _ in 0..vectors {
        // A loose factor with a packed one, 2^102 at most: 2^52 times 2^50; then two that are both at 2^51 exactly.
        let bounds = [(TIGHT, TIGHT), (2 * TIGHT, 1 << 50), (1 << 50, 1 << 52), (1 << 51, 1 << 51)];
        let (a, b) = bounds[numbers.next() as usize % 4];
        let (a, b, c) = (numbers.limbs(a), numbers.limbs(b), numbers.limbs(TIGHT));
        // SAFETY: AVX2 and FMA were found.
        unsafe { check_products(a, b, c) }
    }
}

#[test]
fn products_and_squares_are_those_of_plain_arithmetic() {
    products(25_000, 51);
}

#[test]
#[ignore = "10^7 products: a minute"]
fn ten_million_products_and_squares() {
    products(2_500_000, 1_051);
}

#[test]
fn products_of_all_corners() {
    if !here() {
        return;
    }
    let (edge, half) = (1 << 51, 1 << 50);
    let corners = [edge, edge - 1, -edge, 1 - edge, half, half - 1, -half, 0, 1, -1];
    for a in corners {
        for b in corners {
            let small = |value: i64| value.clamp(-TIGHT, TIGHT);
            let mixed = [[a; 5], [a, b, a, b, a], [0, 0, 0, 0, a], [-a, a, -a, a, -a]];
            // SAFETY: AVX2 and FMA were found.
            unsafe { check_products(mixed, [[b; 5]; 4], mixed.map(|limbs| limbs.map(small))) }
        }
    }
}

#[target_feature(enable = "avx2,fma")]
fn check_forms(limbs: [[i64; 5]; 4], wide: [[i64; 5]; 4]) {
    let expected = limbs.map(|limbs| Number::of(limbs).reduced());
    assert_eq!(transposed(lanes(limbs).to_words()), expected, "{limbs:?}");
    let words = lanes(limbs).to_words();
    assert_eq!(transposed(Fe4::from_words(&words).to_words()), expected, "{limbs:?}");
    let packed = lanes(limbs).to_packed();
    assert_eq!(transposed(Fe4::from_packed(&packed).to_words()), expected, "{limbs:?}");
    let carried = transposed(lanes(wide).carry().to_words());
    assert_eq!(carried, wide.map(|limbs| Number::of(limbs).reduced()), "{wide:?}");
    let sum = transposed(lanes(limbs).sub(&lanes(wide)).carry().to_words());
    for lane in 0..4 {
        let plain = std::array::from_fn(|at| limbs[lane][at] - wide[lane][at]);
        assert_eq!(sum[lane], Number::of(plain).reduced());
    }
}

#[test]
fn every_form_of_an_element_is_the_same_element() {
    if !here() {
        return;
    }
    let mut numbers = Seeded(19);
    let near_p = |less: i64| [(1 << 50) - 19 - less, (1 << 50) - 1, (1 << 50) - 1, (1 << 50) - 1, 1 << 50];
    for round in 0..20_000 {
        let mut limbs = numbers.limbs(TIGHT);
        // Around 0, where p itself and 2^255 must come out below p.
        limbs[0] = [round % 60 - 30, 0, 0, 0, 0];
        limbs[1] = near_p(round % 60 - 30);
        // SAFETY: AVX2 and FMA were found.
        unsafe { check_forms(limbs, numbers.limbs(1 << 52)) }
    }
}

#[test]
fn hashes_of_any_mix_of_lengths() {
    if !here() {
        return;
    }
    let mut numbers = Seeded(512);
    let bytes: Vec<u8> = (0..70_000_u32).map(|at| (at * 7 % 251) as u8).collect();
    for round in 0..300_usize {
        let count = round % 23;
        let lengths: Vec<usize> = (0..count)
            .map(|_| match numbers.next() % 20 {
                0 => numbers.next() as usize % 65_537,
                1..10 => numbers.next() as usize % 300,
                _ => [0, 111, 112, 113, 127, 128, 129, 239, 240, 400][numbers.next() as usize % 10],
            })
            .collect();
        let pieces = |&length: &usize| {
            let (a, b) = bytes[..length].split_at(length / 3);
            [a, b"", &b[..b.len() / 2], &b[b.len() / 2..], b"", b""]
        };
        let messages: Vec<sha512::Pieces<'_>> = lengths.iter().map(pieces).collect();
        // SAFETY: AVX2 was found.
        let digests = unsafe { sha512::digests(&messages) };
        let expected: Vec<[u8; 64]> = lengths.iter().map(|&length| Sha512::digest(&bytes[..length]).into()).collect();
        assert_eq!(digests, expected);
    }
}

#[target_feature(enable = "avx2,avx512f,avx512vl")]
fn check_compressions(numbers: &mut Seeded) {
    let mut any = || _mm256_set_epi64x(numbers.next().cast_signed(), numbers.next().cast_signed(), 3, -4);
    let (mut state, mut words): ([__m256i; 8], [__m256i; 16]) =
        (std::array::from_fn(|_| any()), std::array::from_fn(|_| any()));
    let (mut same, mut again) = (state, words);
    sha512::compress(&mut state, &mut words);
    sha512::compress_with_rotations(&mut same, &mut again);
    assert_eq!(state.map(|vector| super::entry::numbers(vector)), same.map(|vector| super::entry::numbers(vector)));
}

#[test]
fn both_ways_to_compress_are_one() {
    if !here() || !is_x86_feature_detected!("avx512f") || !is_x86_feature_detected!("avx512vl") {
        return;
    }
    let mut numbers = Seeded(80);
    // SAFETY: AVX2, AVX-512F and AVX-512VL were found.
    (0..200).for_each(|_| unsafe { check_compressions(&mut numbers) });
}

fn power_of_two(bits: usize) -> Scalar {
    (0..bits).fold(Scalar::ONE, |power, _| power + power)
}

/// The number that a digit of plain binary digits, `spread` apart, stands for.
fn value(digit: Digit, teeth: usize, spread: usize) -> Scalar {
    let sum = (0..teeth).fold(Scalar::ZERO, |sum, tooth| {
        // The entry has the last tooth as plus, and each other one by a bit of its place.
        let plus = tooth == teeth - 1 || index(digit) >> tooth & 1 == 1;
        let term = power_of_two(spread * tooth);
        if plus { sum + term } else { sum - term }
    });
    if digit >> 15 == 1 { -sum } else { sum }
}

#[test]
fn digits_add_up_to_their_number() {
    let mut numbers = Seeded(252);
    let mut scalars: Vec<Scalar> = (0..200).map(|_| Scalar::from_bytes_mod_order_wide(&numbers.bytes())).collect();
    scalars.extend([Scalar::ZERO, Scalar::ONE, -Scalar::ONE, -Scalar::ONE - Scalar::ONE]);
    for k in scalars {
        let mut comb = [[0; 4]; SPAN];
        digits::comb(&k.to_bytes(), 2, &mut comb);
        let sum: Scalar = comb.iter().enumerate().map(|(at, d)| power_of_two(at) * value(d[2], TEETH, SPAN)).sum();
        assert_eq!(sum, k);
        let mut windows = [[0; 4]; BASE_DIGITS];
        digits::windows(&k.to_bytes(), BASE_WIDTH, 1, &mut windows);
        let width = BASE_WIDTH as usize;
        let sum: Scalar =
            windows.iter().enumerate().map(|(at, d)| power_of_two(width * at) * value(d[1], width, 1)).sum();
        assert_eq!(sum, k);
        let (mut few, width) = ([[0; 4]; FEW_DIGITS], FEW_WIDTH as usize);
        digits::windows(&k.to_bytes(), FEW_WIDTH, 3, &mut few);
        let sum: Scalar = few.iter().enumerate().map(|(at, d)| power_of_two(width * at) * value(d[3], width, 1)).sum();
        assert_eq!(sum, k);
    }
}

#[test]
fn only_numbers_below_the_order_are_reduced() {
    let last = (-Scalar::ONE).to_bytes();
    assert!(digits::is_reduced(&last) && digits::is_reduced(&[0; 32]));
    let mut order = last;
    order[0] += 1;
    assert!(!digits::is_reduced(&order) && !digits::is_reduced(&[0xFF; 32]));
}

/// Whether the comb and the larger table have been built.
fn built(key: &Key) -> (bool, bool) {
    (key.tables().comb().is_some(), key.tables().wide().is_some())
}

#[test]
fn a_comb_comes_with_the_second_row_and_the_larger_table_with_many() {
    let Some(lanes) = Lanes::detect() else { return };
    let signing = SigningKey::from_bytes(&[9; 32]);
    let public = signing.verifying_key().to_bytes();
    // Enrolled in lanes whatever the environment says: the tables are theirs.
    let key = Key::of(public, lanes.enroll(&[public]).remove(0).unwrap(), &Arc::default());
    let signature = signing.sign(b"row").to_bytes();
    let (r, s) = signature.split_first_chunk::<32>().unwrap();
    let row = Row { key: &key, r, s: s.try_into().unwrap(), message: [b"row", b"", b"", b""] };
    assert_eq!(built(&key), (false, false));
    assert_eq!(lanes.verify(&[row], Mode::Exact), [true]);
    assert_eq!(built(&key), (false, false));
    assert_eq!(lanes.verify(&[row], Mode::Exact), [true]);
    assert_eq!(built(&key), (true, false));
    assert_eq!(lanes.verify(&[row; 300], Mode::Exact), [true; 300]);
    assert_eq!(built(&key), (true, true));
    let other = Row { s: &[7; 32], ..row };
    assert_eq!(lanes.verify(&[row, other, row], Mode::Exact), [true, false, true]);
}
