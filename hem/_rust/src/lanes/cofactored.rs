//! The cofactored rule over many rows: one equation for all of them, and the sums row by row where it does not hold.
//!
//! With random z the sum of all z (sB - kA - R), times 8, is the neutral point for good rows, and for others with a
//! chance of 2^-128, whoever made them: z is drawn when the rows are fixed. A sum that is not neutral says nothing about
//! any single row, so then each row is looked at alone. Either way the answer to a row depends on that row only.

use std::arch::x86_64::_mm256_movemask_pd;
use std::sync::OnceLock;

use super::buckets::{Shape, Term};
use super::decode::{Decoded, Numbers, decoded, decoded_eight, decoded_sixteen, negative};
use super::digits;
use super::field::Element;
use super::kernel::{self, filled};
use super::order::{Multiplier, Number, Sum};
use super::point::Point;
use super::tables::BASE;
use super::{Entry, Mode, Row, sha512};
use crate::ed25519::Key;

/// Rows of one equation at most, and from how many on it takes less time than row by row.
const MOST: usize = 65_536;
const LEAST: usize = 2_048;
/// Rows that are hashed, or looked at alone, together: what they need stays in the second-level cache.
const CHUNK: usize = 256;

/// Returns for each row whether [8]([s]B - [k]A - R) is the neutral point.
#[target_feature(enable = "avx2,fma")]
pub(super) fn verify<E: Element>(rows: &[Row<'_>]) -> Vec<bool> {
    let units = rows.len().div_ceil(MOST).max(1);
    let mut verdicts = Vec::with_capacity(rows.len());
    for unit in rows.chunks(rows.len().div_ceil(units).max(1)) {
        match if unit.len() < LEAST { None } else { together::<E>(unit) } {
            Some(good) => verdicts.extend(good),
            None => unit.chunks(CHUNK).for_each(|rows| verdicts.extend(kernel::verify::<E>(rows, Mode::Cofactored))),
        }
    }
    verdicts
}

/// Whether 8 times sum - R is neutral, for the sum [s]B - [k]A and the encoded R of each lane.
#[target_feature(enable = "avx2,fma")]
pub(super) fn close<E: Element>(doubtful: &[(Point<E>, [&[u8; 32]; 4])]) -> Vec<[bool; 4]> {
    let numbers = Numbers::<E>::new();
    let mut answers = Vec::with_capacity(doubtful.len() + 1);
    for pair in doubtful.chunks(2) {
        let pair = [pair[0], pair[pair.len() - 1]];
        let negatives = pair.map(|(_, rs)| rs.map(negative));
        let decoded = decoded_eight(negatives.each_ref().map(|four| four.each_ref()), &numbers);
        for ((mut sum, _), minus_r) in pair.into_iter().zip(decoded) {
            sum.add_cached(&minus_r.point(&numbers).cached(&numbers.twice_d));
            let (near, decoded) = (neutral_times_eight(sum), lanes(minus_r));
            answers.push(std::array::from_fn(|lane| near[lane] && decoded[lane]));
        }
    }
    answers
}

/// The lanes that have a point.
#[target_feature(enable = "avx2,fma")]
pub(super) fn lanes<E: Element>(decoded: Decoded<E>) -> [bool; 4] {
    let mask = _mm256_movemask_pd(decoded.on_curve);
    std::array::from_fn(|lane| mask >> lane & 1 == 1)
}

/// Whether 8 times the point of each lane is (0, 1).
#[target_feature(enable = "avx2,fma")]
fn neutral_times_eight<E: Element>(mut point: Point<E>) -> [bool; 4] {
    (0..3).for_each(|_| point.double());
    let (x, y) = (_mm256_movemask_pd(point.x.is_zero()), _mm256_movemask_pd(point.y.sub(&point.z).carry().is_zero()));
    std::array::from_fn(|lane| (x & y) >> lane & 1 == 1)
}

/// The coefficients of the points of one equation.
struct Coefficients<'a> {
    /// Random, one for each row.
    z: Vec<u128>,
    /// The sum of z s.
    base: Number,
    /// Each key that signed, and the sum of its z k.
    keys: Vec<(&'a Key, Number)>,
}

/// The answers to all rows, if those whose R is a point satisfy the equation together; None if one of them is not good
/// or the system has no random numbers.
#[target_feature(enable = "avx2,fma")]
pub(super) fn together<E: Element>(rows: &[Row<'_>]) -> Option<Vec<bool>> {
    let numbers = Numbers::<E>::new();
    let (terms, points) = minus_rs(rows, &numbers);
    // Whoever sends an R that is no point has only that row refused.
    let live: Vec<Row<'_>> = rows.iter().zip(&points).filter_map(|(row, &point)| point.then_some(*row)).collect();
    let coefficients = coefficients(&live)?;
    let shape = Shape::best(128, terms.len(), E::PLANS);
    let halves: Vec<[u64; 5]> = coefficients.z.iter().map(|&z| digits::spread_out(z, shape.bits())).collect();
    let mut sum = shape.sum(&terms, &halves, &numbers);
    drop(terms);
    sum.add_cached(&of_keys(&coefficients, &numbers).cached(&numbers.twice_d));
    neutral_times_eight(sum)[0].then_some(points)
}

/// The terms of all -R that are points, and which are.
#[target_feature(enable = "avx2,fma")]
fn minus_rs<E: Element>(rows: &[Row<'_>], numbers: &Numbers<E>) -> (Vec<Term>, Vec<bool>) {
    let (mut terms, mut points) = (Vec::with_capacity(rows.len()), Vec::with_capacity(rows.len()));
    for group in rows.chunks(16) {
        let negatives: [[[u8; 32]; 4]; 4] = std::array::from_fn(|four| {
            std::array::from_fn(|lane| negative(group[(4 * four + lane).min(group.len() - 1)].r))
        });
        let encodings = negatives.each_ref().map(|four| four.each_ref());
        for (four, rows) in decoded_sixteen(encodings, numbers).iter().zip(group.chunks(4)) {
            let lanes = lanes(*four);
            points.extend(&lanes[..rows.len()]);
            let scattered = Term::scattered(&four.affine(numbers));
            terms.extend(
                scattered.iter().zip(lanes).take(rows.len()).filter_map(|(term, point)| point.then_some(*term)),
            );
        }
    }
    (terms, points)
}

/// One random number of 128 bits for each row; None if the system has none.
fn random(count: usize) -> Option<Vec<u128>> {
    let mut bytes = vec![0; 16 * count];
    aws_lc_rs::rand::fill(&mut bytes).ok()?;
    Some(bytes.as_chunks::<16>().0.iter().map(|bytes| u128::from_le_bytes(*bytes)).collect())
}

#[target_feature(enable = "avx2,fma")]
fn coefficients<'a>(rows: &[Row<'a>]) -> Option<Coefficients<'a>> {
    let z = random(rows.len())?;
    let (keys, places) = distinct(rows);
    let (mut base, mut sums) = (Sum::default(), vec![Sum::default(); keys.len()]);
    let mut after = rows.iter().zip(&places).zip(&z);
    for rows in rows.chunks(CHUNK) {
        let messages: Vec<sha512::Pieces<'_>> = rows.iter().map(kernel::pieces).collect();
        for (hash, ((row, place), z)) in sha512::digests(&messages).iter().zip(&mut after) {
            let z = Multiplier::new(*z);
            base.add::<4>(z, &words(row.s));
            sums[*place].add::<8>(z, &words(hash));
        }
    }
    let keys = keys.into_iter().zip(sums.iter().map(Sum::reduced)).collect();
    Some(Coefficients { z, base: base.reduced(), keys })
}

/// The keys of rows, each once, and which of them each row has.
fn distinct<'a>(rows: &[Row<'a>]) -> (Vec<&'a Key>, Vec<usize>) {
    let mut order: Vec<(&Key, usize)> = rows.iter().enumerate().map(|(at, row)| (row.key, at)).collect();
    order.sort_unstable_by_key(|(key, _)| std::ptr::from_ref(*key));
    let (mut keys, mut places): (Vec<&Key>, Vec<usize>) = (Vec::new(), vec![0; rows.len()]);
    for (key, at) in order {
        if keys.last().is_none_or(|last| !std::ptr::eq(*last, key)) {
            keys.push(key);
        }
        places[at] = keys.len() - 1;
    }
    (keys, places)
}

fn words<const N: usize>(bytes: &[u8]) -> [u64; N] {
    let (words, _) = bytes.as_chunks::<8>();
    std::array::from_fn(|at| u64::from_le_bytes(words[at]))
}

/// The base point as an entry, which every field packs alike.
#[target_feature(enable = "avx2,fma")]
fn base_entry<E: Element>(numbers: &Numbers<E>) -> Entry {
    static BASE_ENTRY: OnceLock<Entry> = OnceLock::new();
    *BASE_ENTRY.get_or_init(|| Entry::scattered(&decoded([&BASE; 4], numbers).affine(numbers))[0])
}

/// The sum of [z s]B and of all [z k](-A).
#[target_feature(enable = "avx2,fma")]
fn of_keys<E: Element>(coefficients: &Coefficients<'_>, numbers: &Numbers<E>) -> Point<E> {
    let keys = coefficients.keys.iter().map(|(key, number)| (key.entry(), number));
    let (entries, sums): (Vec<Entry>, Vec<&Number>) = keys.chain([(base_entry(numbers), &coefficients.base)]).unzip();
    let shape = Shape::best(256, entries.len(), E::PLANS);
    let halves: Vec<[u64; 5]> =
        sums.iter().map(|&&[a, b, c, d]| digits::halved(&[a, b, c, d, 0], shape.bits())).collect();
    let mut terms = Vec::with_capacity(entries.len() + 3);
    for group in entries.chunks(4) {
        terms.extend(Term::scattered(&Entry::gathered::<E>(filled(group).each_ref(), [0; 4])));
    }
    terms.truncate(entries.len());
    shape.sum(&terms, &halves, numbers)
}
