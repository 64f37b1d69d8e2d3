//! The hash, the digits and the tables in lanes against plain arithmetic.

#![allow(clippy::unwrap_used)] // a test that finds None fails

use std::sync::Arc;

use std::arch::x86_64::{__m256i, _mm256_set_epi64x};

use curve25519_dalek::scalar::Scalar;
use ed25519_dalek::{Signer as _, SigningKey};
use sha2::{Digest as _, Sha512};

use super::digits::{self, SPAN, TEETH};
use super::entry::{Digit, index};
use super::fe::Fe4;
use super::fi::Fi4;
use super::field::Element;
use super::kernel::Lanes;
use super::sha512;
use super::tables::{BASE_DIGITS, BASE_WIDTH, FEW_DIGITS, FEW_WIDTH};
use super::{Kernel as _, Row};
use crate::ed25519::{Key, Mode};

/// `SplitMix64`.
pub(super) struct Seeded(pub(super) u64);

impl Seeded {
    pub(super) fn next(&mut self) -> u64 {
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
}

fn here() -> bool {
    Lanes::<Fe4>::detect().is_some()
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
    check_tables::<Fe4>();
    check_tables::<Fi4>();
}

fn check_tables<E: Element>() {
    let Some(lanes) = Lanes::<E>::detect() else { return };
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
