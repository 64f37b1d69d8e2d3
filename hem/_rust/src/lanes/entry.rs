//! Entries of tables: 96 bytes a point, and four of them at a time into lanes.

use std::arch::x86_64::{
    __m256d, __m256i, _MM_HINT_T0, _mm_cvtsi64_si128, _mm_prefetch, _mm256_and_si256, _mm256_castsi256_pd,
    _mm256_cvtepi16_epi64, _mm256_loadu_si256, _mm256_permute2x128_si256, _mm256_set1_epi64x, _mm256_storeu_si256,
    _mm256_unpackhi_epi64, _mm256_unpacklo_epi64,
};

use super::Entry;
use super::field::{Element, Words};
use super::point::Affine;

/// Of four rows the four columns, and back.
#[target_feature(enable = "avx2")]
#[inline]
pub(super) fn transposed(rows: [__m256i; 4]) -> [__m256i; 4] {
    let (a, b) = (_mm256_unpacklo_epi64(rows[0], rows[1]), _mm256_unpacklo_epi64(rows[2], rows[3]));
    let (c, d) = (_mm256_unpackhi_epi64(rows[0], rows[1]), _mm256_unpackhi_epi64(rows[2], rows[3]));
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

/// The words of four numbers of 32 bytes, little-endian.
#[target_feature(enable = "avx2")]
#[inline]
pub(super) fn words_of(bytes: [&[u8; 32]; 4]) -> Words {
    let [a, b, c, d] = bytes;
    // SAFETY: exactly the 32 bytes of each number are read, at any alignment.
    let load = |bytes: &[u8; 32]| unsafe { _mm256_loadu_si256(bytes.as_ptr().cast()) };
    transposed([load(a), load(b), load(c), load(d)])
}

/// A digit: which entry of its column, and in the top bit whether the entry is to be negated.
pub(super) type Digit = u16;
const NEGATIVE: Digit = 0x8000;

impl Entry {
    /// Four entries, each negated as its digit says.
    #[target_feature(enable = "avx2,fma")]
    #[inline]
    pub(super) fn gathered<E: Element>(entries: [&Self; 4], digits: [Digit; 4]) -> Affine<E> {
        let signs = signs(digits);
        let [a, b, c, d] = entries;
        // The negative of a point has the same y and the other x: its plus is the minus of the point.
        let [i, j, k, l] = digits;
        let [i, j, k, l] = [swap(i), swap(j), swap(k), swap(l)];
        Affine {
            plus: E::from_packed(&transposed([a.part(i), b.part(j), c.part(k), d.part(l)])),
            minus: E::from_packed(&transposed([a.part(i ^ 4), b.part(j ^ 4), c.part(k ^ 4), d.part(l ^ 4)])),
            product: E::from_packed(&transposed([a.part(8), b.part(8), c.part(8), d.part(8)])).negated_where(signs),
        }
    }

    /// Four words of the twelve, from `at` on, which must be at most 8.
    #[target_feature(enable = "avx2,fma")]
    #[inline]
    pub(super) fn part(&self, at: usize) -> __m256i {
        debug_assert!(at <= 8);
        // SAFETY: every caller gives 0, 4 or 8: the words read are among the twelve.
        unsafe { _mm256_loadu_si256(self.0.as_ptr().add(at).cast()) }
    }

    /// The entry of each lane. All three parts must be tight.
    #[target_feature(enable = "avx2,fma")]
    pub(super) fn scattered<E: Element>(point: &Affine<E>) -> [Self; 4] {
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

/// Where the plus of a point with this digit begins.
#[inline(always)]
pub(super) fn swap(digit: Digit) -> usize {
    usize::from(digit >> 15) * 4
}

/// The top bits of four digits as the sign bits of lanes.
#[target_feature(enable = "avx2")]
#[inline]
pub(super) fn signs(digits: [Digit; 4]) -> __m256d {
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
