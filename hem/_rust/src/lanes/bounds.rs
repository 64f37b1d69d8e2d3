//! The proof that no formula leaves the range in which doubles are exact: the formulas of `point.rs` run on bounds.
//!
//! A `Bound` stands for every element whose limbs are at most so large. Each operation asserts what the arithmetic of
//! `fe.rs` and `product.rs` needs, and returns the bound of its result. Since bounds only depend on bounds, one run of a
//! formula covers all its runs on numbers.

use super::fe::Field;
use super::point::{Affine, Extended, Point, Spare, inverted, root_candidate};
use super::product::{OF_PRODUCT, OF_SQUARE};

const TIGHT: u128 = (1 << 50) + (1 << 12);

/// Each limb is an integer of at most this size.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Bound([u128; 5]);

/// What the cut of one product of limbs leaves: at most so much above 2^51, and at most 2^50 below.
fn high(product: u128) -> u128 {
    assert!(product <= 1 << 102, "a product of limbs may be {product}, which the constant of the cut cannot hold");
    (product + (1 << 50)) >> 51
}

/// The limbs that come out of the columns of a product whose high halves are at most `highs`.
fn limbs(lows: [u64; 10], highs: [u128; 10]) -> Bound {
    let column: [u128; 10] = std::array::from_fn(|at| u128::from(lows[at]) * (1 << 50) + highs[at]);
    let carry: [u128; 5] = std::array::from_fn(|at| {
        let sum = column[at] + 19 * column[at + 5];
        assert!(sum < 1 << 59, "a column may be {sum}, which 2^59 does not make positive");
        // What goes up is within 256 of the 256 that are taken off again, and below 2^32, which its product with 19 needs.
        (sum >> 51) + 1
    });
    Bound(std::array::from_fn(|at| (1 << 50) + if at == 0 { 19 * carry[4] } else { carry[at - 1] })).exact()
}

impl Bound {
    /// Sums of integers are exact as long as they are below 2^53.
    fn exact(self) -> Self {
        assert!(self.0.iter().all(|&limb| limb < 1 << 53), "{self:?} is not exact");
        self
    }

    fn plus(&self, other: &Self) -> Self {
        Self(std::array::from_fn(|at| self.0[at] + other.0[at])).exact()
    }

    fn max(&self, other: &Self) -> Self {
        Self(std::array::from_fn(|at| self.0[at].max(other.0[at])))
    }

    fn is_within(&self, other: &Self) -> bool {
        self.max(other) == *other
    }
}

impl Field for Bound {
    fn add(&self, other: &Self) -> Self {
        self.plus(other)
    }

    fn sub(&self, other: &Self) -> Self {
        self.plus(other)
    }

    fn mul(&self, other: &Self) -> Self {
        let mut highs = [0; 10];
        for (i, a) in self.0.iter().enumerate() {
            for (j, b) in other.0.iter().enumerate() {
                highs[i + j + 1] += high(a * b);
            }
        }
        limbs(OF_PRODUCT, highs)
    }

    fn sqr(&self) -> Self {
        self.plus(self);
        let mut highs = [0; 10];
        for (i, a) in self.0.iter().enumerate() {
            for (j, b) in self.0.iter().enumerate().skip(i) {
                highs[i + j + 1] += high(if i == j { a * b } else { 2 * a * b });
            }
        }
        limbs(OF_SQUARE, highs)
    }

    fn carry(&self) -> Self {
        assert!(self.0.iter().all(|&limb| limb <= 1 << 55));
        let up = |limb: u128| (limb + (1 << 50)) >> 51;
        Self(std::array::from_fn(|at| (1 << 50) + if at == 0 { 19 * up(self.0[4]) } else { up(self.0[at - 1]) }))
    }
}

const PACKED: Bound = Bound([1 << 50; 5]);
const ANY_TIGHT: Bound = Bound([TIGHT; 5]);
/// Every sum that waits in a bucket.
const STORED: Extended<Bound> = Extended { x: ANY_TIGHT, y: ANY_TIGHT, z: ANY_TIGHT, t: ANY_TIGHT };

fn wider(a: &Point<Bound>, b: &Point<Bound>) -> Point<Bound> {
    Point { x: a.x.max(&b.x), y: a.y.max(&b.y), z: a.z.max(&b.z), e: a.e.max(&b.e), h: a.h.max(&b.h) }
}

fn is_within(a: &Point<Bound>, b: &Point<Bound>) -> bool {
    let pairs = [(a.x, b.x), (a.y, b.y), (a.z, b.z), (a.e, b.e), (a.h, b.h)];
    pairs.iter().all(|(a, b)| a.is_within(b))
}

/// The points that come out of an addition, and those that come out of a doubling: in the first E is tight and H is
/// loose, in the second it is the other way round, and their product T must never meet both as loose.
#[derive(Clone, Copy)]
struct Points {
    added: Point<Bound>,
    doubled: Point<Bound>,
}

impl Points {
    /// All points that operations can make of entries, decoded points, buckets, and each other.
    fn all() -> Self {
        let entry = Affine { plus: PACKED, minus: PACKED, product: PACKED };
        let start = wider(&Point::from_affine(&entry, ANY_TIGHT), &Point::new(ANY_TIGHT, ANY_TIGHT, ANY_TIGHT));
        (0..4).fold(Self { added: start, doubled: start }, |points, _| points.step())
    }

    /// All points that one more operation can make of these, and these.
    fn step(&self) -> Self {
        let entry = Affine { plus: PACKED, minus: PACKED, product: PACKED };
        let mut all = *self;
        for point in [self.added, self.doubled] {
            let mut doubled = point;
            doubled.double();
            all.doubled = wider(&all.doubled, &doubled);
            let mut mixed = point;
            mixed.add_affine(&entry, &mut Spare([ANY_TIGHT; 4]));
            all.added = wider(&all.added, &mixed);
            for cached in [self.added.cached(&ANY_TIGHT), self.doubled.cached(&ANY_TIGHT), STORED.cached(&ANY_TIGHT)] {
                for other in [cached, cached.negated()] {
                    let mut full = point;
                    full.add_cached(&other);
                    all.added = wider(&all.added, &full);
                }
            }
        }
        all
    }
}

#[test]
fn no_sequence_of_additions_and_doublings_leaves_the_exact_range() {
    let points = Points::all();
    // Another step leads nowhere new: what holds for these bounds holds for sequences of any length.
    let next = points.step();
    assert!(is_within(&next.added, &points.added) && is_within(&next.doubled, &points.doubled));
    for coordinate in [points.added.x, points.added.y, points.added.z, points.doubled.x, points.doubled.z] {
        assert!(coordinate.is_within(&ANY_TIGHT));
    }
}

fn is_stored(sum: &Extended<Bound>) -> bool {
    [sum.x, sum.y, sum.z, sum.t].iter().all(|coordinate| coordinate.is_within(&ANY_TIGHT))
}

#[test]
fn sums_in_buckets_stay_tight_under_tight_terms() {
    let decoded = Affine::new(&ANY_TIGHT, &ANY_TIGHT, &ANY_TIGHT, &ANY_TIGHT);
    assert!([decoded.plus, decoded.minus, decoded.product].iter().all(|part| part.is_within(&ANY_TIGHT)));
    for part in [ANY_TIGHT, PACKED] {
        let mut sum = STORED;
        sum.add_affine(&Affine { plus: part, minus: part, product: part }, &mut Spare([ANY_TIGHT; 4]));
        assert!(is_stored(&sum));
    }
    // What becomes a bucket again, after additions and after doublings of sums of buckets.
    let points = Points::all();
    assert!(is_stored(&points.added.extended()) && is_stored(&points.doubled.extended()));
}

#[test]
fn products_carries_roots_and_inverses_are_tight() {
    let loose = Bound([2 * TIGHT; 5]);
    assert!(ANY_TIGHT.mul(&ANY_TIGHT).is_within(&ANY_TIGHT));
    assert!(loose.mul(&PACKED).is_within(&ANY_TIGHT));
    assert!(ANY_TIGHT.sqr().is_within(&ANY_TIGHT));
    assert!(Bound([(1 << 53) - 1; 5]).carry().is_within(&ANY_TIGHT));
    assert!(inverted(&ANY_TIGHT).is_within(&ANY_TIGHT));
    let (_, _, candidate) = root_candidate(&ANY_TIGHT, &ANY_TIGHT, &ANY_TIGHT);
    assert!(candidate.is_within(&ANY_TIGHT));
}

#[test]
#[should_panic(expected = "which the constant of the cut cannot hold")]
fn the_checker_refuses_two_loose_factors() {
    let loose = Bound([2 * TIGHT; 5]);
    let _ = loose.mul(&loose);
}

#[test]
#[should_panic(expected = "which the constant of the cut cannot hold")]
fn the_checker_refuses_a_loose_square() {
    let _ = Bound([2 * TIGHT; 5]).sqr();
}
