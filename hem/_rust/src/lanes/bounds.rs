//! The proof that no formula leaves the range in which its field is exact: the formulas of `point.rs` run on bounds.
//!
//! A `Double` or a `Whole` stands for every element whose limbs are at most so large: doubles, or integers that are not
//! negative. Each operation asserts what the arithmetic of `fe.rs` and `product.rs`, or of `fi.rs` and `madd.rs`, needs,
//! and returns the bound of its result. Since bounds only depend on bounds, one run of a formula covers all its runs on
//! numbers.

use super::fi::MULTIPLE;
use super::field::Field;
use super::point::{Affine, Extended, Point, Spare, inverted, root_candidate};
use super::product::{OF_PRODUCT, OF_SQUARE};

/// Bounds of one field.
trait Bound: Field + PartialEq {
    /// What products and carries give.
    const TIGHT: Self;
    /// Parts of entries, negated or not.
    const PACKED: Self;
    /// The largest bounds that a carry, and that two factors, may have.
    const OPEN: Self;
    const FACTORS: [(Self, Self); 2];

    fn max(&self, other: &Self) -> Self;

    fn is_within(&self, other: &Self) -> bool {
        self.max(other) == *other
    }
}

/// Each limb is an integer of at most this size, of either sign, as a double.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Double([u128; 5]);

const TIGHT: u128 = (1 << 50) + (1 << 12);

impl Bound for Double {
    const TIGHT: Self = Self([TIGHT; 5]);
    const PACKED: Self = Self([1 << 50; 5]);
    const OPEN: Self = Self([(1 << 53) - 1; 5]);
    const FACTORS: [(Self, Self); 2] = [(Self::TIGHT, Self::TIGHT), (Self([2 * TIGHT; 5]), Self::PACKED)];

    fn max(&self, other: &Self) -> Self {
        Self(std::array::from_fn(|at| self.0[at].max(other.0[at])))
    }
}

/// What the cut of one product of limbs leaves: at most so much above 2^51, and at most 2^50 below.
fn high(product: u128) -> u128 {
    assert!(product <= 1 << 102, "a product of limbs may be {product}, which the constant of the cut cannot hold");
    (product + (1 << 50)) >> 51
}

/// The limbs that come out of the columns of a product whose high halves are at most `highs`.
fn limbs(lows: [u64; 10], highs: [u128; 10]) -> Double {
    let column: [u128; 10] = std::array::from_fn(|at| u128::from(lows[at]) * (1 << 50) + highs[at]);
    let carry: [u128; 5] = std::array::from_fn(|at| {
        let sum = column[at] + 19 * column[at + 5];
        assert!(sum < 1 << 59, "a column may be {sum}, which 2^59 does not make positive");
        // What goes up is within 256 of the 256 that are taken off again, and below 2^32, which its product with 19 needs.
        (sum >> 51) + 1
    });
    Double(std::array::from_fn(|at| (1 << 50) + if at == 0 { 19 * carry[4] } else { carry[at - 1] })).exact()
}

impl Double {
    /// Sums of integers are exact as long as they are below 2^53.
    fn exact(self) -> Self {
        assert!(self.0.iter().all(|&limb| limb < 1 << 53), "{self:?} is not exact");
        self
    }

    fn plus(&self, other: &Self) -> Self {
        Self(std::array::from_fn(|at| self.0[at] + other.0[at])).exact()
    }
}

impl Field for Double {
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

/// Each limb is an integer from 0 to this, in 64 bits.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Whole([u128; 5]);

const FACTOR: u128 = (1 << 52) - 1;

impl Whole {
    fn fits(self) -> Self {
        assert!(self.0.iter().all(|&limb| limb < 1 << 64), "{self:?} does not fit into 64 bits");
        self
    }
}

impl Bound for Whole {
    const TIGHT: Self = Self([(1 << 51) + (1 << 18); 5]);
    // 2 p at most, where one that is 0 is negated.
    const PACKED: Self = Self([FACTOR; 5]);
    const OPEN: Self = Self([(1 << 64) - 1; 5]);
    const FACTORS: [(Self, Self); 2] = [(Self::TIGHT, Self::PACKED), (Self::PACKED, Self::PACKED)];

    fn max(&self, other: &Self) -> Self {
        Self(std::array::from_fn(|at| self.0[at].max(other.0[at])))
    }
}

impl Field for Whole {
    fn add(&self, other: &Self) -> Self {
        Self(std::array::from_fn(|at| self.0[at] + other.0[at])).fits()
    }

    fn sub(&self, other: &Self) -> Self {
        let multiple = Self(MULTIPLE.map(u128::from));
        assert!(other.is_within(&multiple), "{other:?} may be more than what a difference adds");
        self.add(&multiple)
    }

    fn mul(&self, other: &Self) -> Self {
        let mut open = *self;
        self.mul_open(other, &mut open);
        open.carry()
    }

    fn mul_open(&self, other: &Self, out: &mut Self) {
        let (mut one, mut two) = ([0; 10], [0; 10]);
        for (i, a) in self.0.iter().enumerate() {
            for (j, b) in other.0.iter().enumerate() {
                assert!(*a.max(b) <= FACTOR, "a factor may be {}, of which 52 bits are read", a.max(b));
                one[i + j] += (a * b).min(FACTOR);
                two[i + j + 1] += (a * b) >> 52;
            }
        }
        let column = |at: usize| one[at] + 2 * two[at];
        *out = Self(std::array::from_fn(|at| column(at) + 19 * column(at + 5))).fits();
    }

    fn sqr(&self) -> Self {
        self.sqr_open().carry()
    }

    /// The columns are the same as those of the product, some products being taken once and counted twice.
    fn sqr_open(&self) -> Self {
        let mut open = *self;
        self.mul_open(self, &mut open);
        open
    }

    fn carry(&self) -> Self {
        let up = self.fits().0.map(|limb| limb >> 51);
        Self(std::array::from_fn(|at| self.0[at].min((1 << 51) - 1) + if at == 0 { 19 * up[4] } else { up[at - 1] }))
    }

    fn settled(&self) -> Self {
        self.carry()
    }
}

fn wider<B: Bound>(a: &Point<B>, b: &Point<B>) -> Point<B> {
    Point { x: a.x.max(&b.x), y: a.y.max(&b.y), z: a.z.max(&b.z), e: a.e.max(&b.e), h: a.h.max(&b.h) }
}

fn is_within<B: Bound>(a: &Point<B>, b: &Point<B>) -> bool {
    let pairs = [(a.x, b.x), (a.y, b.y), (a.z, b.z), (a.e, b.e), (a.h, b.h)];
    pairs.iter().all(|(a, b)| a.is_within(b))
}

/// The points that come out of an addition, and those that come out of a doubling: in the first E is tight and H is
/// loose, in the second it is the other way round, and their product T must never meet both as loose.
#[derive(Clone, Copy)]
struct Points<B> {
    added: Point<B>,
    doubled: Point<B>,
}

/// Every sum that waits in a bucket.
fn stored<B: Bound>() -> Extended<B> {
    Extended { x: B::TIGHT, y: B::TIGHT, z: B::TIGHT, t: B::TIGHT }
}

impl<B: Bound> Points<B> {
    /// All points that operations can make of entries, decoded points, buckets, and each other.
    fn all() -> Self {
        let entry = Affine { plus: B::PACKED, minus: B::PACKED, product: B::PACKED };
        let start = wider(&Point::from_affine(&entry, B::TIGHT), &Point::new(B::TIGHT, B::TIGHT, B::TIGHT));
        (0..4).fold(Self { added: start, doubled: start }, |points, _| points.step())
    }

    /// All points that one more operation can make of these, and these.
    fn step(&self) -> Self {
        let entry = Affine { plus: B::PACKED, minus: B::PACKED, product: B::PACKED };
        let mut all = *self;
        for point in [self.added, self.doubled] {
            let mut doubled = point;
            doubled.double();
            all.doubled = wider(&all.doubled, &doubled);
            let mut mixed = point;
            mixed.add_affine(&entry, &mut Spare([B::TIGHT; 4]));
            all.added = wider(&all.added, &mixed);
            for cached in
                [self.added.cached(&B::TIGHT), self.doubled.cached(&B::TIGHT), stored::<B>().cached(&B::TIGHT)]
            {
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

fn check_sequences<B: Bound>() {
    let points = Points::<B>::all();
    // Another step leads nowhere new: what holds for these bounds holds for sequences of any length.
    let next = points.step();
    assert!(is_within(&next.added, &points.added) && is_within(&next.doubled, &points.doubled));
    for coordinate in [points.added.x, points.added.y, points.added.z, points.doubled.x, points.doubled.z] {
        assert!(coordinate.is_within(&B::TIGHT));
    }
}

#[test]
fn no_sequence_of_additions_and_doublings_leaves_the_exact_range() {
    check_sequences::<Double>();
    check_sequences::<Whole>();
}

fn check_buckets<B: Bound>() {
    let is_stored =
        |sum: &Extended<B>| [sum.x, sum.y, sum.z, sum.t].iter().all(|coordinate| coordinate.is_within(&B::TIGHT));
    let decoded = Affine::new(&B::TIGHT, &B::TIGHT, &B::TIGHT, &B::TIGHT);
    assert!([decoded.plus, decoded.minus, decoded.product].iter().all(|part| part.is_within(&B::TIGHT)));
    for part in [B::TIGHT, B::PACKED] {
        let mut sum = stored::<B>();
        sum.add_affine(&Affine { plus: part, minus: part, product: part }, &mut Spare([B::TIGHT; 4]));
        assert!(is_stored(&sum));
    }
    // What becomes a bucket again, after additions and after doublings of sums of buckets.
    let points = Points::<B>::all();
    assert!(is_stored(&points.added.extended()) && is_stored(&points.doubled.extended()));
}

#[test]
fn sums_in_buckets_stay_tight_under_tight_terms() {
    check_buckets::<Double>();
    check_buckets::<Whole>();
}

fn check_parts<B: Bound>() {
    for (a, b) in B::FACTORS {
        assert!(a.mul(&b).is_within(&B::TIGHT));
    }
    assert!(B::TIGHT.sqr().is_within(&B::TIGHT));
    assert!(B::OPEN.carry().is_within(&B::TIGHT));
    assert!(inverted(&B::TIGHT).is_within(&B::TIGHT));
    let (_, _, candidate) = root_candidate(&B::TIGHT, &B::TIGHT, &B::TIGHT);
    assert!(candidate.is_within(&B::TIGHT));
}

#[test]
fn products_carries_roots_and_inverses_are_tight() {
    check_parts::<Double>();
    check_parts::<Whole>();
}

#[test]
#[should_panic(expected = "which the constant of the cut cannot hold")]
fn the_checker_refuses_two_loose_factors() {
    let loose = Double([2 * TIGHT; 5]);
    let _ = loose.mul(&loose);
}

#[test]
#[should_panic(expected = "which the constant of the cut cannot hold")]
fn the_checker_refuses_a_loose_square() {
    let _ = Double([2 * TIGHT; 5]).sqr();
}

#[test]
#[should_panic(expected = "of which 52 bits are read")]
fn the_checker_refuses_a_sum_as_a_factor() {
    let _ = Whole::TIGHT.add(&Whole::TIGHT).mul(&Whole::TIGHT);
}

#[test]
#[should_panic(expected = "may be more than what a difference adds")]
fn the_checker_refuses_to_subtract_a_difference() {
    let difference = Whole::TIGHT.sub(&Whole::TIGHT);
    let _ = Whole::TIGHT.sub(&difference);
}

#[test]
#[should_panic(expected = "does not fit into 64 bits")]
fn the_checker_refuses_five_differences_in_one_sum() {
    let difference = Whole::TIGHT.sub(&Whole::TIGHT);
    let _ = (0..4).fold(difference, |sum, _| sum.add(&difference));
}
