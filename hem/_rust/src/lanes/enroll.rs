//! Enrollment in lanes: which of four encodings are keys by the rule, and the entries of their negatives.
//!
//! The group has 8 L points, and is cyclic. Let c = (3 L + 1) / 8, so that 8 c = 1 mod L. For A = P + T, P in the group
//! of order L and T of small order, 8 [c]A = P + 8 [c]T = P: it is A exactly if T is the neutral point. So one
//! multiplication checks A, and what it gives, Q = [c]A, lets anyone check it again with three doublings: whatever Q is,
//! 8 Q has no part of small order.

use std::arch::x86_64::{
    __m256d, __m256i, _mm256_and_si256, _mm256_castsi256_pd, _mm256_cmpeq_epi64, _mm256_movemask_pd, _mm256_or_si256,
    _mm256_set1_epi64x, _mm256_setzero_si256, _mm256_xor_si256,
};
use std::sync::LazyLock;

use super::decode::{Numbers, decoded, negative, sign_bits, with_y};
use super::digits::bits;
use super::entry::{self, transposed, words_of};
use super::field::{Element, Words};
use super::kernel::{affine, encoded, filled};
use super::point::{Affine, Cached, Point};
use super::tables::{added, doubled};
use super::{Eighth, Entry};
use crate::reason::Reason;
use crate::reason::Reason::{KeyMalformed, KeyWeak};

/// c = (3 L + 1) / 8 = 3 * 2^249 + ..., little-endian words.
const EIGHTH: [u64; 5] = [0x6106_E529_E2DC_2F79, 0x07D3_9DB3_7D1C_DAD0, 0, 0x0600_0000_0000_0000, 0];
/// Bits of an odd digit of either sign.
const WIDTH: usize = 5;
/// Keys that share an inversion, so few that their points stay in the second-level cache.
const BLOCK: usize = 256;
/// The encoding of the neutral point.
const NEUTRAL: [u8; 32] = {
    let mut bytes = [0; 32];
    bytes[0] = 1;
    bytes
};

/// The digits of c that are not 0, from the top: the place of each, and its value. Four keys share each of them, so no
/// lane waits for another. The last is at place 0, for c is odd.
static DIGITS: LazyLock<Vec<(usize, i8)>> = LazyLock::new(|| {
    let (mut digits, mut carry, mut at) = (Vec::new(), 0, 0);
    while at < 256 {
        let window = bits(&EIGHTH, at, WIDTH) + carry;
        if window & 1 == 0 {
            at += 1;
            continue;
        }
        carry = u64::from(window > 1 << (WIDTH - 1));
        digits.push((at, window as i8 - ((carry as i8) << WIDTH)));
        at += WIDTH;
    }
    digits.reverse();
    digits
});

/// [c] of four points.
#[target_feature(enable = "avx2,fma")]
fn eighth<E: Element>(point: Point<E>, numbers: &Numbers<E>) -> Point<E> {
    let twice = doubled(point, 1).cached(&numbers.twice_d);
    let mut odd = point;
    let multiples: [Cached<E>; 1 << (WIDTH - 2)] = std::array::from_fn(|at| {
        if at > 0 {
            odd = added(odd, &twice);
        }
        odd.cached(&numbers.twice_d)
    });
    let (mut sum, mut place) = (Point::identity(numbers.one), DIGITS[0].0);
    for &(at, digit) in &*DIGITS {
        let multiple = &multiples[usize::from(digit.unsigned_abs() / 2)];
        sum = added(doubled(sum, place - at), &if digit < 0 { multiple.negated() } else { *multiple });
        place = at;
    }
    sum
}

/// One bit for each lane whose sign bit is set.
#[target_feature(enable = "avx2")]
fn lanes(signs: __m256d) -> i32 {
    _mm256_movemask_pd(signs)
}

/// One bit for each lane in which all words are equal.
#[target_feature(enable = "avx2")]
fn equal(one: &Words, other: &Words) -> i32 {
    let [a, b, c, d] = std::array::from_fn(|at| _mm256_xor_si256(one[at], other[at]));
    let any: __m256i = _mm256_or_si256(_mm256_or_si256(a, b), _mm256_or_si256(c, d));
    lanes(_mm256_castsi256_pd(_mm256_cmpeq_epi64(any, _mm256_setzero_si256())))
}

/// The elements of words that are below 2^255, and a bit for each lane in which they are below p.
#[target_feature(enable = "avx2,fma")]
fn canonical<E: Element>(words: &Words) -> (E, i32) {
    let element = E::from_words(words);
    (element, equal(&element.to_words(), words))
}

/// The entries of four points.
#[target_feature(enable = "avx2,fma")]
fn entry_of<E: Element>(x: &E, y: &E, numbers: &Numbers<E>) -> [Entry; 4] {
    Entry::scattered(&Affine::new(x, y, &numbers.half, &numbers.d))
}

/// What enrollment says of each encoding, four at a time.
#[target_feature(enable = "avx2,fma")]
pub(super) fn enrolled<E: Element>(keys: &[[u8; 32]]) -> Vec<Result<Entry, Reason>> {
    let numbers = Numbers::<E>::new();
    keys.chunks(4).flat_map(|group| four_enrolled(group, &numbers).into_iter().take(group.len())).collect()
}

#[target_feature(enable = "avx2,fma")]
fn four_enrolled<E: Element>(group: &[[u8; 32]], numbers: &Numbers<E>) -> [Result<Entry, Reason>; 4] {
    let words = words_of(filled(&group.iter().collect::<Vec<_>>()));
    let (odd, [a, b, c, d]) = (sign_bits(&words), words);
    let (y, is_reduced) = canonical(&[a, b, c, _mm256_and_si256(d, _mm256_set1_epi64x(i64::MAX))]);
    let decoded = with_y(y, odd, numbers);
    let (point, on_curve) = (decoded.point(numbers), lanes(decoded.on_curve));
    let is_zero = lanes(point.x.is_zero());
    // 0 has no other sign, so this is not the encoding of its point.
    let negative_zero = is_zero & lanes(_mm256_castsi256_pd(_mm256_cmpeq_epi64(odd, _mm256_set1_epi64x(1))));
    let again = doubled(eighth(point, numbers), 3);
    let x_same = again.x.sub(&point.x.mul(&again.z)).carry().is_zero();
    let y_same = again.y.sub(&point.y.mul(&again.z)).carry().is_zero();
    // Of the two points with x = 0 one is neutral, and no other point of small order passes.
    let strong = lanes(x_same) & lanes(y_same) & !is_zero;
    let entries = entry_of(&numbers.zero.sub(&point.x).settled(), &point.y, numbers);
    let sound = is_reduced & on_curve & !negative_zero;
    std::array::from_fn(|lane| match (sound >> lane & 1, strong >> lane & 1) {
        (0, _) => Err(KeyMalformed),
        (_, 0) => Err(KeyWeak),
        _ => Ok(entries[lane]),
    })
}

/// The eighths of the negatives of keys: x and y, 32 bytes each.
#[target_feature(enable = "avx2,fma")]
pub(super) fn eighths<E: Element>(keys: &[[u8; 32]]) -> Vec<Eighth> {
    let numbers = Numbers::<E>::new();
    let mut eighths = Vec::with_capacity(keys.len());
    for block in keys.chunks(BLOCK) {
        let points: Vec<Point<E>> = block.chunks(4).map(|group| four_eighths(group, &numbers)).collect();
        for ((x, y), group) in affine(&points).into_iter().zip(block.chunks(4)) {
            let halves = [x, y].map(|half| transposed(half.to_words()));
            eighths.extend((0..group.len()).map(|lane| bytes_of(halves.map(|half| entry::numbers(half[lane])))));
        }
    }
    eighths
}

fn bytes_of(words: [[u64; 4]; 2]) -> Eighth {
    let mut bytes = [0; 64];
    for (out, word) in bytes.chunks_exact_mut(8).zip(words.as_flattened()) {
        out.copy_from_slice(&word.to_le_bytes());
    }
    bytes
}

#[target_feature(enable = "avx2,fma")]
fn four_eighths<E: Element>(group: &[[u8; 32]], numbers: &Numbers<E>) -> Point<E> {
    let negatives: Vec<[u8; 32]> = group.iter().map(negative).collect();
    let negatives = filled(&negatives);
    eighth(decoded(negatives.each_ref(), numbers).point(numbers), numbers)
}

/// The entries of the negatives of the keys whose eighths these are.
#[target_feature(enable = "avx2,fma")]
pub(super) fn admitted<E: Element>(keys: &[([u8; 32], Eighth)]) -> Vec<Option<Entry>> {
    let numbers = Numbers::<E>::new();
    let mut admitted = Vec::with_capacity(keys.len());
    for block in keys.chunks(BLOCK) {
        let groups: Vec<(Point<E>, i32)> = block.chunks(4).map(|group| four_times_eight(group, &numbers)).collect();
        let points: Vec<Point<E>> = groups.iter().map(|(point, _)| *point).collect();
        for (((x, y), (_, sound)), group) in affine(&points).iter().zip(groups).zip(block.chunks(4)) {
            let encodings = encoded(x, y);
            let entries = entry_of(x, y, &numbers);
            admitted.extend(group.iter().enumerate().map(|(lane, (key, _))| {
                let same = encodings[lane] == negative(key) && encodings[lane] != NEUTRAL;
                (same && sound >> lane & 1 == 1).then_some(entries[lane])
            }));
        }
    }
    admitted
}

/// 8 times the points that are said to be eighths, and a bit for each lane in which it is one of the curve.
#[target_feature(enable = "avx2,fma")]
fn four_times_eight<E: Element>(group: &[([u8; 32], Eighth)], numbers: &Numbers<E>) -> (Point<E>, i32) {
    let halves: Vec<&[[u8; 32]]> = group.iter().map(|(_, eighth)| eighth.as_chunks().0).collect();
    let halves = filled(&halves);
    let (x, x_reduced) = canonical::<E>(&words_of(halves.map(|half| &half[0])));
    let (y, y_reduced) = canonical::<E>(&words_of(halves.map(|half| &half[1])));
    let (xx, yy) = (x.sqr(), y.sqr());
    let right = xx.mul(&yy).mul(&numbers.d).add(&numbers.one).carry();
    let on_curve = yy.sub(&xx).carry().sub(&right).carry().is_zero();
    // Z of a point that is none might be 0, and take all other points of its lane with it into the inversion.
    let point = Point::new(numbers.zero.or_where(&x, on_curve), numbers.one.or_where(&y, on_curve), numbers.one);
    (doubled(point, 3), x_reduced & y_reduced & lanes(on_curve))
}
