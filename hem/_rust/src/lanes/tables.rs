//! Tables of multiples of a point, built in lanes.

use std::sync::OnceLock;

use super::Entry;
use super::decode::{Numbers, decoded};
use super::digits::{SPAN, TEETH};
use super::entry::transposed;
use super::field::{Element, limbs};
use super::point::{Affine, Cached, Point, inverted};

/// Entries of a comb: two blocks, each of half of the `2^TEETH` sums of its teeth. 6 KiB.
pub(super) const COMB: usize = BLOCKS << BLOCK_BITS;
/// Blocks of a comb: each doubling of a sum then serves two digits.
pub(super) const BLOCKS: usize = 2;
/// Entries of a block, as a power of two: the sums whose last sign is plus; the others are their negatives.
pub(super) const BLOCK_BITS: usize = TEETH - 1;
/// Digits in the first block; the second has the rest.
pub(super) const STEP: usize = SPAN.div_ceil(BLOCKS);

/// Bits of a digit of the base point, and how many digits a scalar has: 1.3 MiB of entries, once.
pub(super) const BASE_WIDTH: u32 = 10;
pub(super) const BASE_DIGITS: usize = 26;
/// The same of a key that signs so often in one process that the larger table pays: 222 KiB.
pub(super) const WIDE_WIDTH: u32 = 7;
pub(super) const WIDE_DIGITS: usize = 37;
pub(super) const WIDE_ENTRIES: usize = WIDE_DIGITS << (WIDE_WIDTH - 1);

/// The same of a key that has no table, for one call: 768 bytes.
pub(super) const FEW_WIDTH: u32 = 4;
pub(super) const FEW_DIGITS: usize = 65;

/// A comb of one key.
pub(super) type Comb = [Entry; COMB];
/// The larger table of one key.
pub(super) type Wide = [Entry; WIDE_ENTRIES];
/// The first odd multiples of one key.
pub(super) type Few = [Entry; 1 << (FEW_WIDTH - 1)];

/// The encoding of the base point: y = 4/5, x even.
pub(super) const BASE: [u8; 32] = {
    let mut bytes = [0x66; 32];
    bytes[0] = 0x58;
    bytes
};

/// The entries of points, all divided by their Z with one inversion.
#[target_feature(enable = "avx2,fma")]
fn entries<E: Element>(points: &[Point<E>], numbers: &Numbers<E>) -> Vec<[Entry; 4]> {
    let mut before = Vec::with_capacity(points.len());
    let mut product = numbers.one;
    for point in points {
        before.push(product);
        product = product.mul(&point.z);
    }
    let mut inverse = inverted(&product).mul(&numbers.half);
    let (two_d, mut result) =
        (numbers.twice_d.add(&numbers.twice_d).carry(), vec![[Entry::default(); 4]; points.len()]);
    for ((point, before), out) in points.iter().zip(before).zip(&mut result).rev() {
        let half = inverse.mul(&before);
        inverse = inverse.mul(&point.z);
        let (x, y) = (point.x.mul(&half), point.y.mul(&half));
        let entry = Affine { plus: y.add(&x).carry(), minus: y.sub(&x).carry(), product: x.mul(&y).mul(&two_d) };
        *out = Entry::scattered(&entry);
    }
    result
}

/// `point` doubled `times` times.
#[target_feature(enable = "avx2,fma")]
pub(super) fn doubled<E: Element>(mut point: Point<E>, times: usize) -> Point<E> {
    for _ in 0..times {
        point.double();
    }
    point
}

/// `point` and another.
#[target_feature(enable = "avx2,fma")]
pub(super) fn added<E: Element>(mut point: Point<E>, other: &Cached<E>) -> Point<E> {
    point.add_cached(other);
    point
}

/// The points of four entries.
#[target_feature(enable = "avx2,fma")]
pub(super) fn started<E: Element>(entries: [&Entry; 4], numbers: &Numbers<E>) -> Point<E> {
    Point::from_affine(&Entry::gathered(entries, [0; 4]), numbers.one)
}

/// The first odd multiples of points, four by four, with one inversion.
#[target_feature(enable = "avx2,fma")]
pub(super) fn few<E: Element>(of: &[[Entry; 4]]) -> Vec<[Few; 4]> {
    let numbers = Numbers::<E>::new();
    let mut points = Vec::with_capacity(of.len() * size_of::<Few>() / size_of::<Entry>());
    for group in of {
        let mut point = started(group.each_ref(), &numbers);
        let twice = doubled(point, 1).cached(&numbers.twice_d);
        points.push(point);
        for _ in 1..1 << (FEW_WIDTH - 1) {
            point = added(point, &twice);
            points.push(point);
        }
    }
    let entries = entries(&points, &numbers);
    let (groups, _) = entries.as_chunks::<{ 1 << (FEW_WIDTH - 1) }>();
    groups.iter().map(|group| std::array::from_fn(|lane| group.map(|four| four[lane]))).collect()
}

/// Combs of four points.
#[target_feature(enable = "avx2,fma")]
pub(super) fn combs<E: Element>(of: [&Entry; 4]) -> [Box<Comb>; 4] {
    let numbers = Numbers::<E>::new();
    let mut point = started(of, &numbers);
    // Tooth i of block v is at 2^(SPAN i + STEP v).
    let mut teeth = [Vec::new(), Vec::new()];
    for tooth in 0..TEETH {
        teeth[0].push(point);
        point = doubled(point, STEP);
        teeth[1].push(point);
        point = doubled(point, if tooth + 1 < TEETH { SPAN - STEP } else { 0 });
    }
    let points: Vec<Point<E>> = teeth.iter().flat_map(|teeth| sums(teeth, &numbers)).collect();
    let entries = entries(&points, &numbers);
    std::array::from_fn(|lane| boxed(entries.iter().map(|four| four[lane]).collect()))
}

/// A table on the heap, where it was made: the larger ones are too large for a stack.
fn boxed<const N: usize>(entries: Box<[Entry]>) -> Box<[Entry; N]> {
    entries.try_into().unwrap_or_else(|_| unreachable!("of the length of its table"))
}

/// The last tooth plus or minus each other: bit i of a sum's place says that tooth i is added.
#[target_feature(enable = "avx2,fma")]
fn sums<E: Element>(teeth: &[Point<E>], numbers: &Numbers<E>) -> Vec<Point<E>> {
    let Some((last, others)) = teeth.split_last() else { return Vec::new() };
    let all_minus = others.iter().fold(*last, |sum, tooth| added(sum, &tooth.cached(&numbers.twice_d).negated()));
    let mut sums = vec![all_minus];
    for tooth in others {
        let twice: Cached<E> = doubled(*tooth, 1).cached(&numbers.twice_d);
        let plus: Vec<Point<E>> = sums.iter().map(|sum| added(*sum, &twice)).collect();
        sums.extend(plus);
    }
    sums
}

/// The odd multiples of 2^(width i) times the point, which is in every lane, for each digit i.
#[target_feature(enable = "avx2,fma")]
fn windows<E: Element>(mut point: Point<E>, width: u32, digits: usize, numbers: &Numbers<E>) -> Box<[Entry]> {
    let mut starts = Vec::with_capacity(digits);
    for _ in 0..digits {
        starts.push(point);
        point = doubled(point, width as usize);
    }
    let each = 1 << (width - 1);
    let mut table = vec![Entry::default(); digits * each];
    // Four digits side by side; lanes of the last group that have no digit repeat one.
    for (group, out) in starts.chunks(4).zip(table.chunks_mut(4 * each)) {
        let start = gathered(std::array::from_fn(|lane| &group[lane.min(group.len() - 1)]));
        let twice = doubled(start, 1).cached(&numbers.twice_d);
        let mut points = vec![start];
        for at in 1..each {
            points.push(added(points[at - 1], &twice));
        }
        for (at, four) in entries(&points, numbers).into_iter().enumerate() {
            out.chunks_exact_mut(each).zip(four).for_each(|(digit, entry)| digit[at] = entry);
        }
    }
    table.into()
}

/// The larger table of a point.
#[target_feature(enable = "avx2,fma")]
pub(super) fn wide<E: Element>(of: &Entry) -> Box<Wide> {
    let numbers = Numbers::<E>::new();
    boxed(windows(started([of; 4], &numbers), WIDE_WIDTH, WIDE_DIGITS, &numbers))
}

/// The windows of the base point, which every field packs alike.
#[target_feature(enable = "avx2,fma")]
pub(super) fn base_table<E: Element>() -> &'static [Entry] {
    static BASE_TABLE: OnceLock<Box<[Entry]>> = OnceLock::new();
    BASE_TABLE.get_or_init(|| {
        let numbers = Numbers::<E>::new();
        windows(decoded([&BASE; 4], &numbers).point(&numbers), BASE_WIDTH, BASE_DIGITS, &numbers)
    })
}

/// Lane i of the result is the first lane of point i.
#[target_feature(enable = "avx2,fma")]
fn gathered<E: Element>(points: [&Point<E>; 4]) -> Point<E> {
    let part = |of: fn(&Point<E>) -> &E| {
        let [a, b, c, d] = points.map(|point| of(point).limbs());
        E::from_limbs(limbs!(AT => transposed([a[AT], b[AT], c[AT], d[AT]])[0]))
    };
    Point { x: part(|p| &p.x), y: part(|p| &p.y), z: part(|p| &p.z), e: part(|p| &p.e), h: part(|p| &p.h) }
}
