//! Four elements of the field of 2^255 - 19 side by side, like those of `fe.rs`, but with limbs that are integers of 64
//! bits, never negative.
//!
//! Three sizes are met: *tight*, at most 2^51 + 2^18, what products and carries give; *factors*, below 2^52, all that a
//! multiplication reads; and *open*, sums of columns and what additions make of them, which a carry reads. `bounds.rs`
//! runs the formulas on these bounds too.

use std::arch::x86_64::{
    __m256d, __m256i, _mm256_add_epi64, _mm256_blendv_pd, _mm256_castpd_si256, _mm256_castsi256_pd, _mm256_set1_epi64x,
    _mm256_sub_epi64,
};

use super::buckets::{self, Bucket, Term};
use super::decode::Numbers;
use super::entry::Digit;
use super::field::{Element, Field, MASK, Words, below_p, cut, limbs};
use super::madd::four;
use super::plan::Plan;
use super::point::Point;
use super::wide;

/// The limbs of 2^11 p, which a difference adds: no limb that is subtracted may be larger.
pub(super) const MULTIPLE: [u64; 5] = {
    let (low, other) = (P[0] << 11, P[1] << 11);
    [low, other, other, other, other]
};
/// The limbs of p.
pub(super) const P: [u64; 5] = {
    let other = MASK.cast_unsigned();
    [other - 18, other, other, other, other]
};
/// The limbs of p less 2^50 in each, which is what a packed limb has too much. Each is below 2^50.
pub(super) const UNPACKED: [u64; 5] = limbs!(AT => P[AT] - (1 << 50));

/// Four field elements.
#[derive(Clone, Copy, Debug)]
#[repr(C, align(32))]
pub(super) struct Fi4(pub(super) four::Limbs);

impl Field for Fi4 {
    #[inline(always)]
    fn add(&self, other: &Self) -> Self {
        // SAFETY: an Fi4 exists only where the kernel has found AVX2 and AVX-512 F, VL and IFMA.
        unsafe { Self(four::sum(&self.0, &other.0)) }
    }

    #[inline(always)]
    fn sub(&self, other: &Self) -> Self {
        // SAFETY: as above.
        unsafe { Self(four::difference(&self.0, &other.0)) }
    }

    #[inline(always)]
    fn mul(&self, other: &Self) -> Self {
        let mut out = *self;
        self.mul_to(other, &mut out);
        out
    }

    #[inline(always)]
    fn mul_to(&self, other: &Self, out: &mut Self) {
        // SAFETY: as above.
        unsafe { product(self, other, out) }
    }

    #[inline(always)]
    fn sqr(&self) -> Self {
        let mut out = *self;
        out.sqr_times(1);
        out
    }

    #[inline(always)]
    fn sqr_times(&mut self, times: usize) {
        // SAFETY: as above.
        unsafe { squares(self, times) }
    }

    #[inline(always)]
    fn carry(&self) -> Self {
        // SAFETY: as above.
        unsafe { Self(four::carried(&self.0)) }
    }

    #[inline(always)]
    fn settled(&self) -> Self {
        self.carry()
    }
}

// Each once in the program, and for callers that are compiled for AVX2.

#[target_feature(enable = "avx2,avx512f,avx512vl,avx512ifma")]
#[inline(never)]
fn product(a: &Fi4, b: &Fi4, out: &mut Fi4) {
    // SAFETY: this function has the features.
    out.0 = unsafe { four::carried(&four::product(&a.0, &b.0)) };
}

#[target_feature(enable = "avx2,avx512f,avx512vl,avx512ifma")]
#[inline(never)]
fn squares(a: &mut Fi4, times: usize) {
    for _ in 0..times {
        // SAFETY: as above.
        a.0 = unsafe { four::carried(&four::square(&a.0)) };
    }
}

// SAFETY: the features of the functions above, and AVX2, are all that is used.
unsafe impl Element for Fi4 {
    const NAME: &str = "lanes-ifma";
    const ONE: u64 = 1;

    fn is_here() -> bool {
        is_x86_feature_detected!("avx2")
            && is_x86_feature_detected!("fma")
            && is_x86_feature_detected!("avx512f")
            && is_x86_feature_detected!("avx512vl")
            && is_x86_feature_detected!("avx512ifma")
    }

    const PLANS: usize = 2;

    fn sum(plans: &[Plan<'_>], next: &[Plan<'_>], one: Self, sums: &mut Vec<Point<Self>>) {
        // SAFETY: as above.
        sums.extend(unsafe { wide::sum([&plans[0], &plans[1]], [&next[0], &next[1]], &one) });
    }

    fn fill(buckets: &mut [Bucket], terms: &[Term], columns: &[Vec<[Digit; 4]>], numbers: &Numbers<Self>) {
        // SAFETY: as above.
        match columns {
            [low, high] => unsafe { wide::fill(buckets, terms, [low, high], &numbers.one) },
            _ => columns.iter().for_each(|columns| unsafe { buckets::fill(buckets, terms, columns, numbers) }),
        }
    }

    fn root_candidates(y: [Self; 4], numbers: &Numbers<Self>) -> [(Self, Self, Self); 4] {
        // SAFETY: as above.
        unsafe { wide::root_candidates(&y, numbers) }
    }

    #[inline(always)]
    fn from_limbs(limbs: [__m256i; 5]) -> Self {
        Self(limbs)
    }

    #[inline(always)]
    fn limbs(&self) -> [__m256i; 5] {
        self.0
    }

    #[inline(always)]
    fn from_words(words: &Words) -> Self {
        // SAFETY: as above.
        unsafe { Self(cut(words)) }
    }

    /// Below 2^51 + 2^50 a limb.
    #[inline(always)]
    fn from_packed(words: &Words) -> Self {
        // SAFETY: as above.
        unsafe {
            let limbs = cut(words);
            Self(limbs!(AT => _mm256_add_epi64(limbs[AT], _mm256_set1_epi64x(UNPACKED[AT].cast_signed()))))
        }
    }

    #[inline(always)]
    fn reduced(&self, more: i64) -> [__m256i; 5] {
        // SAFETY: as above. Factors are below 2 (2^255 + 2^204) together, with 2^50 in each limb below 2^256 + 2^255.
        unsafe { below_p(limbs!(AT => _mm256_add_epi64(self.0[AT], _mm256_set1_epi64x(more)))) }
    }

    /// 2 p less the element: what is tight or packed is below 2 p limb by limb.
    #[inline(always)]
    fn negated_where(&self, signs: __m256d) -> Self {
        // SAFETY: as above.
        unsafe {
            Self(limbs!(AT => {
                let less = _mm256_sub_epi64(_mm256_set1_epi64x((2 * P[AT]).cast_signed()), self.0[AT]);
                let (ours, theirs) = (_mm256_castsi256_pd(self.0[AT]), _mm256_castsi256_pd(less));
                _mm256_castpd_si256(_mm256_blendv_pd(ours, theirs, signs))
            }))
        }
    }
}
