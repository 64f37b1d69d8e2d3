//! What formulas and tables need of a field, whatever its limbs are: doubles (`fe.rs`) or integers (`fi.rs`).

use std::arch::x86_64::{
    __m256d, __m256i, _mm256_add_epi64, _mm256_and_si256, _mm256_blendv_pd, _mm256_castpd_si256, _mm256_castsi256_pd,
    _mm256_cmpeq_epi64, _mm256_mul_epu32, _mm256_or_si256, _mm256_set1_epi64x, _mm256_setzero_si256, _mm256_slli_epi64,
    _mm256_srli_epi64,
};
use std::fmt::Debug;

use super::buckets::{self, Bucket, Term};
use super::decode::Numbers;
use super::entry::Digit;
use super::plan::Plan;
use super::point::{Point, root_candidate};

/// What the formulas need of a field; the numbers and their bounds both have it.
///
/// A product needs *factors*, and how large their limbs may be differs from field to field. What products, carries and
/// `settled` give are factors in all of them.
pub(super) trait Field: Copy {
    /// Sum, not carried.
    fn add(&self, other: &Self) -> Self;
    /// Difference, not carried.
    fn sub(&self, other: &Self) -> Self;
    /// Tight product of factors.
    fn mul(&self, other: &Self) -> Self;
    /// The same product, to a place of its own: a compiler would keep a value that is returned in two places.
    #[inline(always)]
    fn mul_to(&self, other: &Self, out: &mut Self) {
        *out = self.mul(other);
    }
    /// The same product, perhaps not carried: only a sum or difference may read it.
    #[inline(always)]
    fn mul_open(&self, other: &Self, out: &mut Self) {
        self.mul_to(other, out);
    }
    /// Tight square of a factor.
    fn sqr(&self) -> Self;
    /// The same square, perhaps not carried: only a sum or difference may read it.
    #[inline(always)]
    fn sqr_open(&self) -> Self {
        self.sqr()
    }
    /// Squares the element `times` times, where it stands. Its bounds are those of `sqr`.
    #[inline(always)]
    fn sqr_times(&mut self, times: usize) {
        for _ in 0..times {
            *self = self.sqr();
        }
    }
    /// The same elements, tight.
    fn carry(&self) -> Self;
    /// A sum or difference as a factor: itself in a field whose factors may be as large.
    #[inline(always)]
    fn settled(&self) -> Self {
        *self
    }
}

/// Two elements that have nothing to do with each other: a processor works at one while it waits for the other.
impl<F: Field> Field for [F; 2] {
    #[inline(always)]
    fn add(&self, other: &Self) -> Self {
        [self[0].add(&other[0]), self[1].add(&other[1])]
    }

    #[inline(always)]
    fn sub(&self, other: &Self) -> Self {
        [self[0].sub(&other[0]), self[1].sub(&other[1])]
    }

    #[inline(always)]
    fn mul(&self, other: &Self) -> Self {
        [self[0].mul(&other[0]), self[1].mul(&other[1])]
    }

    #[inline(always)]
    fn sqr(&self) -> Self {
        [self[0].sqr(), self[1].sqr()]
    }

    #[inline(always)]
    fn mul_to(&self, other: &Self, out: &mut Self) {
        self[0].mul_to(&other[0], &mut out[0]);
        self[1].mul_to(&other[1], &mut out[1]);
    }

    #[inline(always)]
    fn sqr_times(&mut self, times: usize) {
        for _ in 0..times {
            self.iter_mut().for_each(|element| element.sqr_times(1));
        }
    }

    #[inline(always)]
    fn carry(&self) -> Self {
        [self[0].carry(), self[1].carry()]
    }

    #[inline(always)]
    fn settled(&self) -> Self {
        [self[0].settled(), self[1].settled()]
    }
}

/// Four words of 64 bits for each of four elements: their numbers below 2^256, word by word.
pub(super) type Words = [__m256i; 4];

/// Four field elements, five limbs each.
///
/// # Safety
/// `is_here` says the truth: every other function may use the instructions that it asks for, AVX2 and FMA among them.
pub(super) unsafe trait Element: Field + Debug + Send + Sync + 'static {
    /// The name of the kernel that computes with these.
    const NAME: &str;
    /// The bits of a limb that is 1. Those of a limb that is 0 are all 0.
    const ONE: u64;

    /// Whether this processor can.
    fn is_here() -> bool;

    /// Whether results on this thread are what the proofs say, however the program has set it up.
    fn is_exact() -> bool {
        true
    }

    /// The elements with these limbs, given as bits.
    fn from_limbs(limbs: [__m256i; 5]) -> Self;

    /// The bits of all limbs.
    fn limbs(&self) -> [__m256i; 5];

    /// The elements with these words, the top bit ignored. Tight.
    fn from_words(words: &Words) -> Self;

    /// The elements that `to_packed` made these words of. Factors, and still factors when negated.
    fn from_packed(words: &Words) -> Self;

    /// Integers of 51 bits, the limbs of the only number below p that stands for each element after `more`, at most
    /// 2^50, has been added to each of its limbs. Self must be tight, or such an element after `negated_where`.
    fn reduced(&self, more: i64) -> [__m256i; 5];

    /// The sign bits of `signs`, which has no other bits, negate the elements of their lanes. Self must be tight or packed; gives a factor.
    fn negated_where(&self, signs: __m256d) -> Self;

    /// How many plans, or groups of four places, are worked off side by side.
    const PLANS: usize = 1;

    /// Appends the sums of `PLANS` plans of the same steps, and asks for the entries of the next along the way.
    fn sum(plans: &[Plan<'_>], next: &[Plan<'_>], one: Self, sums: &mut Vec<Point<Self>>) {
        // SAFETY: an element is asked for only where the kernel has found the instructions of its field.
        plans.iter().zip(next).for_each(|(plan, next)| sums.push(unsafe { plan.sum(next, one) }));
    }

    /// Adds every term to four buckets for each list of digits, at most `PLANS`.
    fn fill(buckets: &mut [Bucket], terms: &[Term], columns: &[Vec<[Digit; 4]>], numbers: &Numbers<Self>) {
        let each = buckets.len() / columns.len().max(1);
        for (buckets, columns) in buckets.chunks_exact_mut(each).zip(columns) {
            // SAFETY: as above.
            unsafe { buckets::fill(buckets, terms, columns, numbers) }
        }
    }

    /// What `root_candidate` gives for each y.
    fn root_candidates(y: [Self; 4], numbers: &Numbers<Self>) -> [(Self, Self, Self); 4] {
        let [a, b, c, d] = y;
        let (one, factor) = ([numbers.one; 2], [numbers.d; 2]);
        let [(u, v, r), (w, x, s)] = [[a, b], [c, d]].map(|y| root_candidate(&y, &one, &factor));
        [(u[0], v[0], r[0]), (u[1], v[1], r[1]), (w[0], x[0], s[0]), (w[1], x[1], s[1])]
    }

    /// One element in all four lanes.
    #[inline(always)]
    fn splat(words: [u64; 4]) -> Self {
        // SAFETY: as above.
        unsafe { Self::from_words(&words.map(|word| _mm256_set1_epi64x(word.cast_signed()))) }
    }

    /// Words of 255 bits, the same for every field: those of the number after 2^50 has been added to each limb.
    #[inline(always)]
    fn to_packed(self) -> Words {
        // SAFETY: as above.
        unsafe { join(&self.reduced(1 << 50)) }
    }

    /// The words of the only number below p that stands for each element.
    #[inline(always)]
    fn to_words(self) -> Words {
        // SAFETY: as above.
        unsafe { join(&self.reduced(0)) }
    }

    /// `other` in the lanes whose sign bit is set, self in the rest.
    #[inline(always)]
    fn or_where(&self, other: &Self, signs: __m256d) -> Self {
        let (ours, theirs) = (self.limbs(), other.limbs());
        // SAFETY: as above.
        let chosen = |ours, theirs| unsafe {
            _mm256_castpd_si256(_mm256_blendv_pd(_mm256_castsi256_pd(ours), _mm256_castsi256_pd(theirs), signs))
        };
        Self::from_limbs(limbs!(AT => chosen(ours[AT], theirs[AT])))
    }

    /// Sign bits set in the lanes whose element is zero. Self must be tight.
    #[inline(always)]
    fn is_zero(&self) -> __m256d {
        let [a, b, c, d] = self.to_words();
        // SAFETY: as above.
        unsafe {
            let any = _mm256_or_si256(_mm256_or_si256(a, b), _mm256_or_si256(c, d));
            _mm256_castsi256_pd(_mm256_cmpeq_epi64(any, _mm256_setzero_si256()))
        }
    }
}

/// Ones in the bits of a limb.
pub(super) const MASK: i64 = (1 << 51) - 1;

/// An array with a value for each of the five limbs. Unlike a closure, it leaves no call for a compiler to keep.
macro_rules! limbs {
    ($at:ident => $value:expr) => {
        [
            {
                const $at: usize = 0;
                $value
            },
            {
                const $at: usize = 1;
                $value
            },
            {
                const $at: usize = 2;
                $value
            },
            {
                const $at: usize = 3;
                $value
            },
            {
                const $at: usize = 4;
                $value
            },
        ]
    };
}
pub(super) use limbs;

/// Limbs of 51 bits out of words; the top bit of the last word is dropped.
#[target_feature(enable = "avx2")]
#[inline]
pub(super) fn cut(words: &Words) -> [__m256i; 5] {
    let mask = _mm256_set1_epi64x(MASK);
    let [a, b, c, d] = *words;
    let b_low = _mm256_or_si256(_mm256_srli_epi64(a, 51), _mm256_slli_epi64(b, 13));
    let c_low = _mm256_or_si256(_mm256_srli_epi64(b, 38), _mm256_slli_epi64(c, 26));
    let d_low = _mm256_or_si256(_mm256_srli_epi64(c, 25), _mm256_slli_epi64(d, 39));
    let limbs = [a, b_low, c_low, d_low, _mm256_srli_epi64(d, 12)];
    limbs!(AT => _mm256_and_si256(limbs[AT], mask))
}

/// Limbs of 51 bits of the number below p: of integers that are not negative and stand for less than 2^256 + 2^255.
#[target_feature(enable = "avx2")]
#[inline]
pub(super) fn below_p(mut limbs: [__m256i; 5]) -> [__m256i; 5] {
    // Below 2^255 + 19 * 2 after the first pass, below 2^255 after the second.
    let nineteen = _mm256_set1_epi64x(19);
    for _ in 0..2 {
        let over = carries(&mut limbs);
        limbs[0] = _mm256_add_epi64(limbs[0], _mm256_mul_epu32(over, nineteen));
    }
    // The number is p or more exactly if adding 19 carries out of the top; then what is left is number - p.
    let mut tried = limbs;
    tried[0] = _mm256_add_epi64(tried[0], nineteen);
    let over = carries(&mut tried);
    limbs[0] = _mm256_add_epi64(limbs[0], _mm256_mul_epu32(over, nineteen));
    carries(&mut limbs);
    limbs
}

/// Moves what is over 51 bits one limb up, and returns what leaves the last. Limbs must not be negative.
#[target_feature(enable = "avx2")]
#[inline]
fn carries(limbs: &mut [__m256i; 5]) -> __m256i {
    let mask = _mm256_set1_epi64x(MASK);
    let mut up = _mm256_setzero_si256();
    for limb in limbs {
        let sum = _mm256_add_epi64(*limb, up);
        up = _mm256_srli_epi64(sum, 51);
        *limb = _mm256_and_si256(sum, mask);
    }
    up
}

/// Words out of limbs of 51 bits.
#[target_feature(enable = "avx2")]
#[inline]
fn join(limbs: &[__m256i; 5]) -> Words {
    let [a, b, c, d, e] = *limbs;
    [
        _mm256_or_si256(a, _mm256_slli_epi64(b, 51)),
        _mm256_or_si256(_mm256_srli_epi64(b, 13), _mm256_slli_epi64(c, 38)),
        _mm256_or_si256(_mm256_srli_epi64(c, 26), _mm256_slli_epi64(d, 25)),
        _mm256_or_si256(_mm256_srli_epi64(d, 39), _mm256_slli_epi64(e, 12)),
    ]
}
