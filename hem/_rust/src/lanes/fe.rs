//! Four elements of the field of 2^255 - 19 side by side: radix 2^51, five limbs, each a vector of four doubles.
//!
//! A limb is an integer of either sign, so that sums and differences need no carry. How large it may grow is part of
//! each operation's contract below; `bounds.rs` runs the formulas of `point.rs` on bounds instead of numbers and so
//! proves that none of them is broken. The three sizes met there: *tight*, at most 2^50 + 2^12, what products and
//! carries give; *loose*, a sum or difference of two tight ones; and up to 2^53, which only a carry may read. Of two
//! factors no product of a limb of one and a limb of the other may be over 2^102; of the factor of a square, neither a
//! square of a limb nor twice the product of two.

use std::arch::x86_64::{
    __m256d, __m256i, _mm256_add_pd, _mm256_castpd_si256, _mm256_castsi256_pd, _mm256_fmadd_pd, _mm256_or_si256,
    _mm256_set1_epi64x, _mm256_set1_pd, _mm256_sub_epi64, _mm256_sub_pd, _mm256_xor_pd,
};

use super::field::{Element, Field, MASK, Words, below_p, cut, limbs};
use super::product::{self, pow2};

/// Four field elements.
#[derive(Clone, Copy, Debug)]
#[repr(C, align(32))]
pub(super) struct Fe4(pub(super) [__m256d; 5]);

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

/// Integers in [0, 2^52) less `less`, as doubles.
#[target_feature(enable = "avx2,fma")]
#[inline]
fn doubles(limbs: [__m256i; 5], less: f64) -> Fe4 {
    let exponent = _mm256_set1_epi64x(pow2(52).to_bits().cast_signed());
    let less = _mm256_set1_pd(pow2(52) + less);
    Fe4(limbs!(AT => _mm256_sub_pd(_mm256_castsi256_pd(_mm256_or_si256(limbs[AT], exponent)), less)))
}

/// Whether this thread rounds to nearest and lets no floating-point exception trap. The proof of the product needs the
/// first, and programs that this library is loaded into may have changed either.
fn rounds_to_nearest() -> bool {
    const ROUNDING: u32 = 0x6000;
    const MASKED: u32 = 0x1F80;
    let mut state = 0_u32;
    // SAFETY: stores the 32 bits of MXCSR, which every x86-64 processor has, into `state`.
    unsafe { std::arch::asm!("stmxcsr [{}]", in(reg) &raw mut state, options(nostack, preserves_flags)) };
    state & (ROUNDING | MASKED) == MASKED
}

// SAFETY: AVX2 and FMA are all that is used here and in `product.rs`.
unsafe impl Element for Fe4 {
    const NAME: &str = "lanes";
    const ONE: u64 = 1.0_f64.to_bits();

    fn is_here() -> bool {
        is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma")
    }

    fn is_exact() -> bool {
        rounds_to_nearest()
    }

    #[inline(always)]
    fn from_limbs(limbs: [__m256i; 5]) -> Self {
        // SAFETY: as above.
        unsafe { Self(limbs!(AT => _mm256_castsi256_pd(limbs[AT]))) }
    }

    #[inline(always)]
    fn limbs(&self) -> [__m256i; 5] {
        // SAFETY: as above.
        unsafe { limbs!(AT => _mm256_castpd_si256(self.0[AT])) }
    }

    #[inline(always)]
    fn from_words(words: &Words) -> Self {
        // SAFETY: as above.
        unsafe { doubles(cut(words), 0.0).carry() }
    }

    /// At most 2^50 a limb.
    #[inline(always)]
    fn from_packed(words: &Words) -> Self {
        // SAFETY: as above.
        unsafe { doubles(cut(words), pow2(50)) }
    }

    #[inline(always)]
    fn reduced(&self, more: i64) -> [__m256i; 5] {
        // SAFETY: as above. A tight limb plus 3 * 2^51 has the limb in its low bits; adding p makes every limb positive,
        // and the number at most 2^256.
        unsafe {
            let shift = pow2(52) + pow2(51);
            let (offset, pattern) = (_mm256_set1_pd(shift), shift.to_bits().cast_signed());
            below_p(limbs!(AT => {
                let p = if AT == 0 { MASK - 18 } else { MASK };
                let bits = _mm256_castpd_si256(_mm256_add_pd(self.0[AT], offset));
                _mm256_sub_epi64(bits, _mm256_set1_epi64x(pattern - p - more))
            }))
        }
    }

    #[inline(always)]
    fn negated_where(&self, signs: __m256d) -> Self {
        // SAFETY: as above.
        unsafe { Self(limbs!(AT => _mm256_xor_pd(self.0[AT], signs))) }
    }
}
