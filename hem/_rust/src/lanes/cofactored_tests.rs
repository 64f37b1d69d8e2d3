//! The pieces of the batch against plain arithmetic and curve25519-dalek, and what the equation itself says.

#![allow(clippy::unwrap_used)] // a test that finds None fails

use std::sync::Arc;

use curve25519_dalek::constants::EIGHT_TORSION;
use curve25519_dalek::edwards::{CompressedEdwardsY, EdwardsPoint};
use curve25519_dalek::scalar::Scalar;
use sha2::{Digest as _, Sha512};

use super::buckets::{Shape, Term};
use super::cofactored::{lanes, together};
use super::decode::{Numbers, decoded_eight, decoded_sixteen};
use super::digits;
use super::entry::{Digit, index};
use super::fe::Fe4;
use super::fi::Fi4;
use super::field::Element;
use super::kernel::{Lanes, encodings};
use super::order::{Multiplier, Sum};
use super::tests::Seeded;
use super::{Kernel as _, Row};
use crate::ed25519::{Key, Mode};

fn power_of_two(bits: usize) -> Scalar {
    (0..bits).fold(Scalar::ONE, |power, _| power + power)
}

/// 2 r + 1 - 2^128.
fn multiplier(r: u128) -> Scalar {
    Scalar::from(r) + Scalar::from(r) + Scalar::ONE - power_of_two(128)
}

fn words<const N: usize>(bytes: &[u8]) -> [u64; N] {
    std::array::from_fn(|at| u64::from_le_bytes(bytes[8 * at..8 * at + 8].try_into().unwrap()))
}

fn scalar(words: [u64; 4]) -> Scalar {
    let mut bytes = [0; 32];
    bytes.chunks_exact_mut(8).zip(words).for_each(|(bytes, word)| bytes.copy_from_slice(&word.to_le_bytes()));
    Scalar::from_canonical_bytes(bytes).unwrap()
}

#[test]
fn sums_of_products_are_those_of_dalek() {
    let mut numbers = Seeded(640);
    let corners = [0, 1, u128::MAX, u128::MAX >> 1, (u128::MAX >> 1) + 1, u128::from(u64::MAX), 1 << 64];
    let longs = [[0; 64], [0xFF; 64], numbers.bytes()];
    let mut all = (Sum::default(), Scalar::ZERO);
    for round in 0..3_000 {
        let r = if round < 21 { corners[round % 7] } else { u128::from_le_bytes(numbers.bytes()) };
        let long = if round < 21 { longs[round / 7] } else { numbers.bytes() };
        let (hash, z) = (Scalar::from_bytes_mod_order_wide(&long), multiplier(r));
        let (mut one, mut short) = (Sum::default(), Sum::default());
        one.add::<8>(Multiplier::new(r), &words(&long));
        short.add::<4>(Multiplier::new(r), &words(&hash.to_bytes()));
        all.0.add::<8>(Multiplier::new(r), &words(&long));
        all.1 += z * hash;
        assert_eq!(scalar(one.reduced()), z * hash, "{r:#x}");
        assert_eq!(scalar(short.reduced()), z * hash, "{r:#x}");
        assert_eq!(scalar(all.0.reduced()), all.1);
    }
    let mut most = Sum::default();
    (0..5_000).for_each(|_| most.add::<8>(Multiplier::new(u128::MAX), &[u64::MAX; 8]));
    let each = multiplier(u128::MAX) * Scalar::from_bytes_mod_order_wide(&[0xFF; 64]);
    assert_eq!(scalar(most.reduced()), Scalar::from(5_000_u16) * each);
}

fn value(digit: Digit) -> Scalar {
    let size = Scalar::from(2 * index(digit) as u64 + 1);
    if digit >> 15 == 1 { -size } else { size }
}

/// The number that `h` stands for, by its digits.
fn number(half: &[u64; 5], width: u32, bits: usize) -> Scalar {
    let digits = (0..bits / (4 * width as usize)).flat_map(|group| digits::four(half, width, group));
    digits.enumerate().map(|(at, digit)| power_of_two(at * width as usize) * value(digit)).sum()
}

#[test]
fn digits_of_every_shape_add_up_to_their_number() {
    let mut numbers = Seeded(128);
    let counts = [1, 60, 300, 1_000, 5_000, 65_536, 1_000_000];
    for (terms, groups) in counts.iter().flat_map(|&terms| [(terms, 1), (terms, 2)]) {
        let (short, long) = (Shape::best(128, terms, groups), Shape::best(256, terms, groups));
        assert!((128..192).contains(&short.bits()) && (256..320).contains(&long.bits()));
        for r in [0, u128::MAX, 1 << 127, u128::from_le_bytes(numbers.bytes())] {
            assert_eq!(number(&digits::spread_out(r, short.bits()), short.width(), short.bits()), multiplier(r));
        }
        for k in [Scalar::ZERO, -Scalar::ONE, Scalar::from_bytes_mod_order_wide(&numbers.bytes())] {
            let [a, b, c, d] = words(&k.to_bytes());
            let half = digits::halved(&[a, b, c, d, 0], long.bits());
            assert_eq!(number(&half, long.width(), long.bits()), k);
        }
    }
}

/// Any points of the curve, the neutral one and others of small order among them.
fn points(count: usize, numbers: &mut Seeded) -> Vec<EdwardsPoint> {
    (0..count)
        .map(|at| {
            let scalar = if at % 11 == 0 { Scalar::ZERO } else { Scalar::from_bytes_mod_order_wide(&numbers.bytes()) };
            EdwardsPoint::mul_base(&scalar) + EIGHT_TORSION[at % 8]
        })
        .collect()
}

#[target_feature(enable = "avx2,fma")]
fn check_sums<E: Element>(terms: usize, numbers: &mut Seeded) {
    let constants = Numbers::<E>::new();
    let points = points(terms, numbers);
    let mut prepared = Vec::new();
    for eight in points.chunks(8) {
        let bytes: [[u8; 32]; 8] = std::array::from_fn(|at| eight.get(at).unwrap_or(&eight[0]).compress().to_bytes());
        let [a, b, c, d, e, f, g, h] = bytes.each_ref();
        for four in decoded_eight([[a, b, c, d], [e, f, g, h]], &constants) {
            assert_eq!(lanes(four), [true; 4]);
            prepared.extend(Term::scattered(&four.affine(&constants)));
        }
    }
    prepared.truncate(terms);
    for width in [4, 5, 8, 11, 13] {
        let shape = Shape::new(128, width);
        // Some digits all alike, so that buckets meet the same point and its negative.
        let r: Vec<u128> = (0..terms)
            .map(|at| if at % 5 == 0 { u128::MAX << 100 } else { u128::from_le_bytes(numbers.bytes()) })
            .collect();
        let halves: Vec<[u64; 5]> = r.iter().map(|&r| digits::spread_out(r, shape.bits())).collect();
        let sum = shape.sum(&prepared, &halves, &constants);
        // Not mod L: the points have parts of small order, and the numbers may be negative.
        let expected: EdwardsPoint = r.iter().zip(&points).map(|(&r, point)| integer(r, point)).sum();
        assert_eq!(encodings(&[sum])[0], [expected.compress().to_bytes(); 4], "{terms} terms, {width} bits");
    }
}

/// 2 r + 1 - 2^128 times a point, as an integer.
fn integer(r: u128, point: &EdwardsPoint) -> EdwardsPoint {
    let size = |value: u128| {
        (0..128).rev().fold(EdwardsPoint::default(), |sum, at| {
            let twice = sum + sum;
            if value >> at & 1 == 1 { twice + point } else { twice }
        })
    };
    if r >> 127 == 1 { size(r << 1 | 1) } else { -size(!(r << 1)) }
}

#[test]
fn sums_of_points_of_any_order_are_those_of_dalek() {
    check_all_sums::<Fe4>();
    check_all_sums::<Fi4>();
}

fn check_all_sums<E: Element>() {
    if !E::is_here() {
        return;
    }
    let mut numbers = Seeded(13);
    for terms in [1, 2, 9, 64, 150] {
        // SAFETY: the instructions of the field were found.
        unsafe { check_sums::<E>(terms, &mut numbers) }
    }
}

#[target_feature(enable = "avx2,fma")]
fn check_decoding<E: Element>(bytes: &[[u8; 32]; 8]) -> usize {
    let constants = Numbers::<E>::new();
    let [a, b, c, d, e, f, g, h] = bytes.each_ref();
    let mut found = 0;
    let eight = decoded_eight([[a, b, c, d], [e, f, g, h]], &constants);
    let sixteen = decoded_sixteen([[e, f, g, h], [h, g, f, e], [a, b, c, d], [e, f, g, h]], &constants);
    let turned = [3, 2, 1, 0].map(|lane| lanes(sixteen[1])[lane]);
    assert_eq!(turned, lanes(eight[1]));
    for (one, other) in eight.iter().zip(&sixteen[2..]).chain([(&eight[1], &sixteen[0])]) {
        assert_eq!(lanes(*one), lanes(*other));
        assert_eq!(encodings(&[one.point(&constants)]), encodings(&[other.point(&constants)]));
    }
    for (four, bytes) in eight.iter().zip(bytes.chunks(4)) {
        let encoded = encodings(&[four.point(&constants)])[0];
        for ((point, encoded), bytes) in lanes(*four).iter().zip(encoded).zip(bytes) {
            assert_eq!(*point, CompressedEdwardsY(*bytes).decompress().is_some(), "{bytes:?}");
            assert!(!point || encoded == *bytes);
            found += usize::from(*point);
        }
    }
    found
}

#[test]
fn encodings_are_points_where_dalek_finds_one() {
    check_encodings::<Fe4>();
    check_encodings::<Fi4>();
}

fn check_encodings<E: Element>() {
    if !E::is_here() {
        return;
    }
    let mut numbers = Seeded(255);
    let mut found = 0;
    for round in 0..500_u64 {
        let mut bytes: [[u8; 32]; 8] = std::array::from_fn(|_| numbers.bytes());
        // Canonical, as every R is by then: small numbers, and numbers with any bits but the highest.
        bytes.iter_mut().for_each(|bytes| bytes[31] &= 0xBF);
        bytes[3] = [0; 32];
        bytes[3][..8].copy_from_slice(&(round + 2).to_le_bytes());
        // SAFETY: the instructions of the field were found.
        found += unsafe { check_decoding::<E>(&bytes) };
    }
    assert!((1_800..2_200).contains(&found), "{found} of 4000");
}

/// A key, and rows that it signed with R off by points of small order.
struct Set {
    key: Key,
    rows: Vec<([u8; 32], [u8; 32], [u8; 8])>,
}

impl Set {
    fn new<E: Element>(count: usize, numbers: &mut Seeded) -> Self {
        let secret = Scalar::from_bytes_mod_order_wide(&numbers.bytes());
        let public = EdwardsPoint::mul_base(&secret).compress().to_bytes();
        let row = |at: usize| {
            let (r, message) = (Scalar::from_bytes_mod_order_wide(&numbers.bytes()), numbers.bytes::<8>());
            let point = (EdwardsPoint::mul_base(&r) + EIGHT_TORSION[at % 8]).compress().to_bytes();
            let hash = Sha512::new_with_prefix(point).chain_update(public).chain_update(message).finalize();
            (point, (r + Scalar::from_bytes_mod_order_wide(&hash.into()) * secret).to_bytes(), message)
        };
        // Enrolled in lanes whatever the environment says: the equation is theirs.
        let entry = Lanes::<E>::detect().unwrap().enroll(&[public]).remove(0).unwrap();
        Self { key: Key::of(public, entry, &Arc::default()), rows: (0..count).map(row).collect() }
    }

    /// What the equation alone says of all rows.
    fn together<E: Element>(&self) -> Option<Vec<bool>> {
        // SAFETY: the caller has found the instructions of the field.
        unsafe { together::<E>(&self.signed()) }
    }

    fn signed(&self) -> Vec<Row<'_>> {
        let row = |(r, s, message)| Row { key: &self.key, r, s, message: [message, b"", b"", b""] };
        self.rows.iter().map(|(r, s, message)| row((r, s, &message[..]))).collect()
    }
}

#[test]
fn the_equation_holds_for_good_rows_however_few_and_for_no_others() {
    check_equation::<Fe4>();
    check_equation::<Fi4>();
}

fn check_equation<E: Element>() {
    let Some(kernel) = Lanes::<E>::detect() else { return };
    let mut numbers = Seeded(3);
    for count in [1, 2, 3, 8, 9, 100] {
        let mut set = Set::new::<E>(count, &mut numbers);
        // Were the equation not taken times 8, rows 1 to 7 of 8 would spoil it.
        assert_eq!(set.together::<E>(), Some(vec![true; count]));
        let at = numbers.below(count);
        let good = set.rows[at];
        set.rows[at].0[7] ^= 1;
        set.rows[at].1[7] ^= 1;
        let answers = set.together::<E>();
        assert!(answers.is_none_or(|answers| !answers[at]), "{count} rows");
        let expected: Vec<bool> = (0..count).map(|row| row != at).collect();
        assert_eq!(kernel.verify(&set.signed(), Mode::Cofactored), expected);
        set.rows[at] = good;
        set.rows[at].2[0] ^= 1;
        assert_eq!(set.together::<E>(), None);
    }
}

#[test]
fn the_equation_is_not_fooled_by_what_cancels_out() {
    check_cancelling::<Fe4>();
    check_cancelling::<Fi4>();
}

fn check_cancelling<E: Element>() {
    if !E::is_here() {
        return;
    }
    let mut numbers = Seeded(4);
    let mut set = Set::new::<E>(40, &mut numbers);
    let change = Scalar::from_bytes_mod_order_wide(&numbers.bytes());
    for (at, change) in [(3, change), (32, -change)] {
        set.rows[at].1 = (Scalar::from_canonical_bytes(set.rows[at].1).unwrap() + change).to_bytes();
    }
    (0..20).for_each(|_| assert_eq!(set.together::<E>(), None));
}
