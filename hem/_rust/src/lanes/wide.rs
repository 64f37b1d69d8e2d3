//! Eight elements side by side: where there are twice four rows to add up, one vector of 512 bits does both.

use std::arch::x86_64::{
    __m256i, __m512i, _mm_movemask_epi8, _mm_packs_epi16, _mm_set_epi64x, _mm512_add_epi64, _mm512_and_si512,
    _mm512_castsi256_si512, _mm512_castsi512_si256, _mm512_extracti64x4_epi64, _mm512_inserti64x4,
    _mm512_mask_sub_epi64, _mm512_or_si512, _mm512_set1_epi64, _mm512_shuffle_i64x2, _mm512_slli_epi64,
    _mm512_srli_epi64, _mm512_unpackhi_epi64, _mm512_unpacklo_epi64,
};

use super::entry::{Digit, swap};
use super::fi::{Fi4, P, UNPACKED};
use super::field::{Field, MASK, limbs};
use super::madd::eight;
use super::plan::{Plan, Step};
use super::point::{Affine, Point, Spare};

/// Eight field elements, of the same limbs and bounds as an `Fi4`.
#[derive(Clone, Copy, Debug)]
#[repr(C, align(64))]
pub(super) struct Fi8(eight::Limbs);

impl Field for Fi8 {
    #[inline(always)]
    fn add(&self, other: &Self) -> Self {
        // SAFETY: an Fi8 exists only in functions with AVX-512 F and IFMA.
        unsafe { Self(eight::sum(&self.0, &other.0)) }
    }

    #[inline(always)]
    fn sub(&self, other: &Self) -> Self {
        // SAFETY: as above.
        unsafe { Self(eight::difference(&self.0, &other.0)) }
    }

    #[inline(always)]
    fn mul(&self, other: &Self) -> Self {
        // SAFETY: as above.
        unsafe { Self(eight::carried(&eight::product(&self.0, &other.0))) }
    }

    #[inline(always)]
    fn mul_to(&self, other: &Self, out: &mut Self) {
        *out = self.mul(other);
    }

    #[inline(always)]
    fn mul_open(&self, other: &Self, out: &mut Self) {
        // SAFETY: as above.
        unsafe { out.0 = eight::product(&self.0, &other.0) }
    }

    #[inline(always)]
    fn sqr(&self) -> Self {
        self.sqr_open().carry()
    }

    #[inline(always)]
    fn sqr_open(&self) -> Self {
        // SAFETY: as above.
        unsafe { Self(eight::square(&self.0)) }
    }

    #[inline(always)]
    fn carry(&self) -> Self {
        // SAFETY: as above.
        unsafe { Self(eight::carried(&self.0)) }
    }

    #[inline(always)]
    fn settled(&self) -> Self {
        self.carry()
    }
}

/// Two vectors as one.
#[target_feature(enable = "avx512f")]
#[inline]
fn joined(low: __m256i, high: __m256i) -> __m512i {
    _mm512_inserti64x4::<1>(_mm512_castsi256_si512(low), high)
}

impl Fi8 {
    /// The elements of two.
    #[target_feature(enable = "avx512f")]
    #[inline]
    pub(super) fn of(low: &Fi4, high: &Fi4) -> Self {
        Self(limbs!(AT => joined(low.0[AT], high.0[AT])))
    }

    /// The four in the lower half, and the four in the upper half.
    #[target_feature(enable = "avx512f")]
    #[inline]
    pub(super) fn halves(&self) -> [Fi4; 2] {
        [
            Fi4(limbs!(AT => _mm512_castsi512_si256(self.0[AT]))),
            Fi4(limbs!(AT => _mm512_extracti64x4_epi64::<1>(self.0[AT]))),
        ]
    }

    /// The elements of packed words, four vectors of them: of elements 0 and 2, 1 and 3, 4 and 6, 5 and 7.
    #[target_feature(enable = "avx512f")]
    #[inline]
    fn from_packed(rows: [__m512i; 4]) -> Self {
        let (low, high) = (_mm512_unpacklo_epi64(rows[0], rows[1]), _mm512_unpacklo_epi64(rows[2], rows[3]));
        let (a, c) = (_mm512_shuffle_i64x2::<0x88>(low, high), _mm512_shuffle_i64x2::<0xDD>(low, high));
        let (low, high) = (_mm512_unpackhi_epi64(rows[0], rows[1]), _mm512_unpackhi_epi64(rows[2], rows[3]));
        let (b, d) = (_mm512_shuffle_i64x2::<0x88>(low, high), _mm512_shuffle_i64x2::<0xDD>(low, high));
        let mask = _mm512_set1_epi64(MASK);
        let limbs = [
            a,
            _mm512_or_si512(_mm512_srli_epi64(a, 51), _mm512_slli_epi64(b, 13)),
            _mm512_or_si512(_mm512_srli_epi64(b, 38), _mm512_slli_epi64(c, 26)),
            _mm512_or_si512(_mm512_srli_epi64(c, 25), _mm512_slli_epi64(d, 39)),
            _mm512_srli_epi64(d, 12),
        ];
        Self(limbs!(AT => {
            _mm512_add_epi64(_mm512_and_si512(limbs[AT], mask), _mm512_set1_epi64(UNPACKED[AT].cast_signed()))
        }))
    }

    /// Each set bit of `signs` negates the element of a lane, which must be packed.
    #[target_feature(enable = "avx512f")]
    #[inline]
    fn negated_where(&self, signs: u8) -> Self {
        Self(limbs!(AT => {
            _mm512_mask_sub_epi64(self.0[AT], signs, _mm512_set1_epi64((2 * P[AT]).cast_signed()), self.0[AT])
        }))
    }
}

/// The entries of two steps, each negated as its digit says.
#[target_feature(enable = "avx2,avx512f")]
#[inline]
pub(super) fn gathered(low: &Step<'_>, high: &Step<'_>) -> Affine<Fi8> {
    let [a, b, c, d] = low.entries;
    let [e, f, g, h] = high.entries;
    let [i, j, k, l] = low.digits.map(swap);
    let [m, n, o, p] = high.digits.map(swap);
    let part = |flip: usize| {
        Fi8::from_packed([
            joined(a.part(i ^ flip), c.part(k ^ flip)),
            joined(b.part(j ^ flip), d.part(l ^ flip)),
            joined(e.part(m ^ flip), g.part(o ^ flip)),
            joined(f.part(n ^ flip), h.part(p ^ flip)),
        ])
    };
    let product = Fi8::from_packed([
        joined(a.part(8), c.part(8)),
        joined(b.part(8), d.part(8)),
        joined(e.part(8), g.part(8)),
        joined(f.part(8), h.part(8)),
    ]);
    let digits = |digits: [Digit; 4]| {
        let [a, b, c, d] = digits.map(u64::from);
        (a | b << 16 | c << 32 | d << 48).cast_signed()
    };
    let digits = _mm_set_epi64x(digits(high.digits), digits(low.digits));
    let signs = _mm_movemask_epi8(_mm_packs_epi16(digits, digits)) as u8;
    Affine { plus: part(0), minus: part(4), product: product.negated_where(signs) }
}

/// The sums of two plans of the same steps; asks for the entries of the next two along the way.
#[target_feature(enable = "avx2,fma,avx512f,avx512vl,avx512ifma")]
pub(super) fn sum(plans: [&Plan<'_>; 2], next: [&Plan<'_>; 2], one: &Fi4) -> [Point<Fi4>; 2] {
    let one = Fi8::of(one, one);
    let (mut sum, mut spare) = (Point::identity(one), Spare([one; 4]));
    for (at, (low, high)) in plans[0].steps().iter().zip(plans[1].steps()).enumerate() {
        for step in next.iter().filter_map(|plan| plan.steps().get(at)) {
            step.entries.iter().for_each(|entry| entry.prefetch());
        }
        let entry = gathered(low, high);
        if at == 0 {
            sum = Point::from_affine(&entry, one);
            continue;
        }
        for _ in 0..low.doublings {
            double(&mut sum);
        }
        add(&mut sum, &entry, &mut spare);
    }
    let (x, y, z) = (sum.x.halves(), sum.y.halves(), sum.z.halves());
    let (e, h) = (sum.e.halves(), sum.h.halves());
    [0, 1].map(|half| Point { x: x[half], y: y[half], z: z[half], e: e[half], h: h[half] })
}

#[target_feature(enable = "avx2,fma,avx512f,avx512vl,avx512ifma")]
#[inline(never)]
fn add(sum: &mut Point<Fi8>, entry: &Affine<Fi8>, spare: &mut Spare<Fi8>) {
    sum.add_affine(entry, spare);
}

#[target_feature(enable = "avx2,fma,avx512f,avx512vl,avx512ifma")]
#[inline(never)]
fn double(sum: &mut Point<Fi8>) {
    sum.double();
}
