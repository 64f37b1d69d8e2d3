//! Entries of tables: 96 bytes a point, and four of them at a time into lanes.

use std::arch::x86_64::{
    __m256d, __m256i, _MM_HINT_T0, _mm_cvtsi64_si128, _mm_prefetch, _mm256_castsi256_pd, _mm256_cvtepi16_epi64,
    _mm256_loadu_si256, _mm256_permute2x128_si256, _mm256_set1_epi64x, _mm256_and_si256, _mm256_storeu_si256,
    _mm256_unpackhi_epi64, _mm256_unpacklo_epi64,
};

use super::fe::{Fe4, Words};
use super::point::Affine;

/// A point as the twelve words of (y + x) / 2, (y - x) / 2 and d x y, each as `Fe4::to_packed` has it.
#[derive(Clone, Copy, Debug, Default)]
#[repr(C, align(32))]
pub(super) struct Entry([u64; 12]);

/// Of four rows the four columns, and back.
#[target_feature(enable = "avx2")]
#[inline]
pub(super) fn transposed(rows: [__m256i; 4]) -> [__m256i; 4] {
    let [a, b] = [0, 2].map(|at| _mm256_unpacklo_epi64(rows[at], rows[at + 1]));
    let [c, d] = [0, 2].map(|at| _mm256_unpackhi_epi64(rows[at], rows[at + 1]));
    [
        _mm256_permute2x128_si256(a, b, 0x20),
        _mm256_permute2x128_si256(c, d, 0x20),
        _mm256_permute2x128_si256(a, b, 0x31),
        _mm256_permute2x128_si256(c, d, 0x31),
    ]
}

/// The four words of a vector.
#[target_feature(enable = "avx2")]
#[inline]
pub(super) fn numbers(vector: __m256i) -> [u64; 4] {
    let mut words = [0; 4];
    // SAFETY: exactly the 32 bytes of `words` are written, at any alignment.
    unsafe { _mm256_storeu_si256(words.as_mut_ptr().cast(), vector) };
    words
}

#[target_feature(enable = "avx2")]
#[inline]
pub(super) fn vector(words: &[u64; 4]) -> __m256i {
    // SAFETY: exactly the 32 bytes of `words` are read, at any alignment.
    unsafe { _mm256_loadu_si256(words.as_ptr().cast()) }
}

/// The words of four numbers of 32 bytes, little-endian.
#[target_feature(enable = "avx2")]
#[inline]
pub(super) fn words_of(bytes: [&[u8; 32]; 4]) -> Words {
    // SAFETY: exactly the 32 bytes of each number are read, at any alignment.
    transposed(bytes.map(|bytes| unsafe { _mm256_loadu_si256(bytes.as_ptr().cast()) }))
}

/// A digit: which entry of its column, and in the top bit whether the entry is to be negated.
pub(super) type Digit = u16;
const NEGATIVE: Digit = 0x8000;

impl Entry {
    /// Four entries, each negated as its digit says.
    #[target_feature(enable = "avx2,fma")]
    #[inline]
    pub(super) fn gathered(entries: [&Self; 4], digits: [Digit; 4]) -> Affine<Fe4> {
        let signs = signs(digits);
        // The negative of a point has the same y and the other x: its plus is the minus of the point.
        let swap = digits.map(|digit| usize::from(digit >> 15) * 4);
        let part = |at: [usize; 4]| {
            // SAFETY: `at` is 0, 4 or 8, so the four words read are among the twelve of the entry.
            transposed(std::array::from_fn(|lane| unsafe {
                _mm256_loadu_si256(entries[lane].0.as_ptr().add(at[lane]).cast())
            }))
        };
        Affine {
            plus: Fe4::from_packed(&part(swap)),
            minus: Fe4::from_packed(&part(swap.map(|at| at ^ 4))),
            product: Fe4::from_packed(&part([8; 4])).negated_where(signs),
        }
    }

    /// The entry of each lane. All three parts must be tight.
    #[target_feature(enable = "avx2,fma")]
    pub(super) fn scattered(point: &Affine<Fe4>) -> [Self; 4] {
        let mut entries = [Self::default(); 4];
        for (at, part) in [point.plus, point.minus, point.product].into_iter().enumerate() {
            for (entry, words) in entries.iter_mut().zip(transposed(part.to_packed())) {
                entry.0[4 * at..4 * at + 4].copy_from_slice(&numbers(words));
            }
        }
        entries
    }

    /// Asks for the entry to be near when it is used.
    #[inline(always)]
    pub(super) fn prefetch(&self) {
        let at: *const i8 = self.0.as_ptr().cast();
        // SAFETY: a prefetch reads nothing that the program can see, and both addresses lie in the entry.
        unsafe {
            _mm_prefetch(at, _MM_HINT_T0);
            _mm_prefetch(at.add(64), _MM_HINT_T0);
        }
    }
}

/// The top bits of four digits as the sign bits of lanes.
#[target_feature(enable = "avx2")]
#[inline]
fn signs(digits: [Digit; 4]) -> __m256d {
    let [a, b, c, d] = digits.map(u64::from);
    let digits = (a | b << 16 | c << 32 | d << 48).cast_signed();
    let wide = _mm256_cvtepi16_epi64(_mm_cvtsi64_si128(digits));
    _mm256_castsi256_pd(_mm256_and_si256(wide, _mm256_set1_epi64x(i64::MIN)))
}

/// The digit of `width` bits with value 2 bits - (2^width - 1): odd, of either sign; its entry is (|value| - 1) / 2.
#[inline(always)]
pub(super) const fn digit(bits: u16, width: u32) -> Digit {
    let half = 1 << (width - 1);
    if bits >= half { bits - half } else { (half - 1 - bits) | NEGATIVE }
}

/// Which entry a digit names.
#[inline(always)]
pub(super) fn index(digit: Digit) -> usize {
    usize::from(digit & !NEGATIVE)
}
