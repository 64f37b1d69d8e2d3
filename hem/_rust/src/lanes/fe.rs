//! Four elements of the field of 2^255 - 19 side by side: radix 2^51, five limbs, each a vector of four doubles.
//!
//! A limb is an integer of either sign, so that sums and differences need no carry. How large it may grow is part of
//! each operation's contract below; `bounds.rs` runs the formulas of `point.rs` on bounds instead of numbers and so
//! proves that none of them is broken. The three sizes met there: *tight*, at most 2^50 + 2^12, what products and
//! carries give; *loose*, a sum or difference of two tight ones; and up to 2^53, which only a carry may read.

use std::arch::x86_64::{
    __m256d, __m256i, _mm256_add_epi64, _mm256_add_pd, _mm256_and_si256, _mm256_blendv_pd, _mm256_castpd_si256,
    _mm256_castsi256_pd, _mm256_cmpeq_epi64, _mm256_cvtsd_f64, _mm256_fmadd_pd, _mm256_mul_epu32, _mm256_or_si256,
    _mm256_set1_epi64x, _mm256_set1_pd, _mm256_setr_pd, _mm256_setzero_si256, _mm256_slli_epi64, _mm256_srli_epi64,
    _mm256_sub_epi64, _mm256_sub_pd, _mm256_xor_pd,
};

use super::product::{self, pow2};

/// What the formulas need of a field; the numbers and their bounds both have it.
pub(super) trait Field: Copy {
    /// Sum, not carried.
    fn add(&self, other: &Self) -> Self;
    /// Difference, not carried.
    fn sub(&self, other: &Self) -> Self;
    /// Tight product. No product of a limb of one and a limb of the other may be over 2^102.
    fn mul(&self, other: &Self) -> Self;
    /// The same product, to a place of its own: a compiler would keep a value that is returned in two places.
    fn mul_to(&self, other: &Self, out: &mut Self) {
        *out = self.mul(other);
    }
    /// Tight square. No square of a limb, nor twice the product of two limbs, may be over 2^102.
    fn sqr(&self) -> Self;
    /// Squares the element `times` times, where it stands. Its bounds are those of `sqr`.
    fn sqr_times(&mut self, times: usize) {
        (0..times).for_each(|_| *self = self.sqr());
    }
    /// The same elements, tight. No limb may be over 2^55.
    fn carry(&self) -> Self;
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
}

/// Four field elements.
#[derive(Clone, Copy, Debug)]
#[repr(C, align(32))]
pub(super) struct Fe4(pub(super) [__m256d; 5]);

/// Four words of 64 bits for each of four elements: their numbers below 2^256, word by word.
pub(super) type Words = [__m256i; 4];

const MASK: i64 = (1 << 51) - 1;

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

impl Field for Fe4 {
    #[inline(always)]
    fn add(&self, other: &Self) -> Self {
        // SAFETY: an Fe4 exists only where the kernel has found AVX2 and FMA.
        unsafe { Self(limbs!(AT => _mm256_add_pd(self.0[AT], other.0[AT]))) }
    }

    #[inline(always)]
    fn sub(&self, other: &Self) -> Self {
        // SAFETY: as above.
        unsafe { Self(limbs!(AT => _mm256_sub_pd(self.0[AT], other.0[AT]))) }
    }

    #[inline(always)]
    fn mul(&self, other: &Self) -> Self {
        let mut out = std::mem::MaybeUninit::uninit();
        // SAFETY: as above; the product is written.
        unsafe {
            product::mul(self, other, out.as_mut_ptr());
            out.assume_init()
        }
    }

    #[inline(always)]
    fn sqr(&self) -> Self {
        let mut out = std::mem::MaybeUninit::uninit();
        // SAFETY: as above; the square is written.
        unsafe {
            product::sqr(std::ptr::from_ref(self), out.as_mut_ptr());
            out.assume_init()
        }
    }

    #[inline(always)]
    fn mul_to(&self, other: &Self, out: &mut Self) {
        // SAFETY: as above.
        unsafe { product::mul(self, other, out) }
    }

    #[inline(always)]
    fn sqr_times(&mut self, times: usize) {
        let here: *mut Self = self;
        for _ in 0..times {
            // SAFETY: as above. The routine has read all of its arguments before it writes the result.
            unsafe { product::sqr(here, here) }
        }
    }

    #[inline(always)]
    fn carry(&self) -> Self {
        // SAFETY: as above. A limb plus 3 * 2^102 is rounded to a multiple of 2^51; what is left is exact, at most 2^50.
        unsafe {
            let round = _mm256_set1_pd(3.0 * pow2(102));
            let up = limbs!(AT => _mm256_sub_pd(_mm256_add_pd(self.0[AT], round), round));
            let scales = [_mm256_set1_pd(19.0 / pow2(51)), _mm256_set1_pd(1.0 / pow2(51))];
            Self(limbs!(AT => {
                let scale = scales[if AT == 0 { 0 } else { 1 }];
                _mm256_fmadd_pd(up[(AT + 4) % 5], scale, _mm256_sub_pd(self.0[AT], up[AT]))
            }))
        }
    }
}

/// Limbs of 51 bits out of words; the top bit of the last word is dropped.
#[target_feature(enable = "avx2,fma")]
#[inline]
fn cut(words: &Words) -> [__m256i; 5] {
    let mask = _mm256_set1_epi64x(MASK);
    let [a, b, c, d] = *words;
    let b_low = _mm256_or_si256(_mm256_srli_epi64(a, 51), _mm256_slli_epi64(b, 13));
    let c_low = _mm256_or_si256(_mm256_srli_epi64(b, 38), _mm256_slli_epi64(c, 26));
    let d_low = _mm256_or_si256(_mm256_srli_epi64(c, 25), _mm256_slli_epi64(d, 39));
    let limbs = [a, b_low, c_low, d_low, _mm256_srli_epi64(d, 12)];
    limbs!(AT => _mm256_and_si256(limbs[AT], mask))
}

/// Integers in [0, 2^52) less `less`, as doubles.
#[target_feature(enable = "avx2,fma")]
#[inline]
fn doubles(limbs: [__m256i; 5], less: f64) -> Fe4 {
    let exponent = _mm256_set1_epi64x(pow2(52).to_bits().cast_signed());
    let less = _mm256_set1_pd(pow2(52) + less);
    Fe4(limbs!(AT => _mm256_sub_pd(_mm256_castsi256_pd(_mm256_or_si256(limbs[AT], exponent)), less)))
}

impl Fe4 {
    /// The elements with these words, the top bit ignored. Tight.
    #[target_feature(enable = "avx2,fma")]
    #[inline]
    pub(super) fn from_words(words: &Words) -> Self {
        doubles(cut(words), 0.0).carry()
    }

    /// One element in all four lanes.
    #[target_feature(enable = "avx2,fma")]
    #[inline]
    pub(super) fn splat([a, b, c, d]: [u64; 4]) -> Self {
        let wide = |word: u64| _mm256_set1_epi64x(word.cast_signed());
        Self::from_words(&[wide(a), wide(b), wide(c), wide(d)])
    }

    /// The elements that `to_packed` made these words of: each limb is stored with 2^50 added. At most 2^50 a limb.
    #[target_feature(enable = "avx2,fma")]
    #[inline]
    pub(super) fn from_packed(words: &Words) -> Self {
        doubles(cut(words), pow2(50))
    }

    /// Words of 255 bits for `from_packed`. Self must be tight.
    #[target_feature(enable = "avx2,fma")]
    #[inline]
    pub(super) fn to_packed(self) -> Words {
        join(&self.reduced(1 << 50))
    }

    /// The words of the only number below p that stands for each element. Self must be tight.
    #[target_feature(enable = "avx2,fma")]
    #[inline]
    pub(super) fn to_words(self) -> Words {
        join(&self.reduced(0))
    }

    /// Limbs of the only number below p, after `more`, at most 2^50, is added to each limb. Self must be tight.
    #[target_feature(enable = "avx2,fma")]
    #[inline]
    fn reduced(self, more: i64) -> [__m256i; 5] {
        // A tight limb plus 3 * 2^51 has the limb in its low bits; adding p makes every limb positive.
        let shift = pow2(52) + pow2(51);
        let (offset, pattern) = (_mm256_set1_pd(shift), shift.to_bits().cast_signed());
        let mut limbs = limbs!(AT => {
            let p = if AT == 0 { MASK - 18 } else { MASK };
            let bits = _mm256_castpd_si256(_mm256_add_pd(self.0[AT], offset));
            _mm256_sub_epi64(bits, _mm256_set1_epi64x(pattern - p - more))
        });
        // Below 3 * 2^255 before, below 2^255 + 19 * 2 after the first pass, below 2^255 after the second.
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

    /// The limbs of the first lane.
    #[target_feature(enable = "avx2,fma")]
    #[inline]
    pub(super) fn first_lane(&self) -> [f64; 5] {
        limbs!(AT => _mm256_cvtsd_f64(self.0[AT]))
    }

    /// The elements with these limbs.
    #[target_feature(enable = "avx2,fma")]
    #[inline]
    pub(super) fn from_lanes([a, b, c, d]: [[f64; 5]; 4]) -> Self {
        Self(limbs!(AT => _mm256_setr_pd(a[AT], b[AT], c[AT], d[AT])))
    }

    /// Each lane's sign bit of `signs` flips the sign of that lane's element.
    #[target_feature(enable = "avx2,fma")]
    #[inline]
    pub(super) fn negated_where(&self, signs: __m256d) -> Self {
        Self(limbs!(AT => _mm256_xor_pd(self.0[AT], signs)))
    }

    /// `other` in the lanes whose sign bit is set, self in the rest.
    #[target_feature(enable = "avx2,fma")]
    #[inline]
    pub(super) fn or_where(&self, other: &Self, signs: __m256d) -> Self {
        Self(limbs!(AT => _mm256_blendv_pd(self.0[AT], other.0[AT], signs)))
    }

    /// Sign bits set in the lanes whose element is zero. Self must be tight.
    #[target_feature(enable = "avx2,fma")]
    #[inline]
    pub(super) fn is_zero(&self) -> __m256d {
        let [a, b, c, d] = self.to_words();
        let any = _mm256_or_si256(_mm256_or_si256(a, b), _mm256_or_si256(c, d));
        _mm256_castsi256_pd(_mm256_cmpeq_epi64(any, _mm256_setzero_si256()))
    }
}

/// Moves what is over 51 bits one limb up, and returns what leaves the last. Limbs must not be negative.
#[target_feature(enable = "avx2,fma")]
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
#[target_feature(enable = "avx2,fma")]
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
