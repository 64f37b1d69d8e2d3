//! Eight elements side by side: where there are twice four rows to add up, one vector of 512 bits does both.

use std::arch::x86_64::{
    __m256i, __m512i, _mm_movemask_epi8, _mm_packs_epi16, _mm_set_epi64x, _mm512_add_epi64, _mm512_and_si512,
    _mm512_castsi256_si512, _mm512_castsi512_si256, _mm512_extracti64x4_epi64, _mm512_inserti64x4,
    _mm512_mask_mov_epi64, _mm512_mask_sub_epi64, _mm512_or_si512, _mm512_permutex2var_epi64, _mm512_set1_epi64,
    _mm512_setr_epi64, _mm512_shuffle_i64x2, _mm512_slli_epi64, _mm512_srli_epi64, _mm512_unpackhi_epi64,
    _mm512_unpacklo_epi64,
};

use super::buckets::{AHEAD, Bucket, Term};
use super::decode::Numbers;
use super::entry::{Digit, index, swap};
use super::fi::{Fi4, P, UNPACKED};
use super::field::{Field, MASK, limbs};
use super::madd::eight;
use super::plan::{Plan, Step};
use super::point::{Affine, Extended, Point, Spare, root_candidate};

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

/// The first to the fourth words of eight rows, out of rows 0 and 2, 1 and 3, 4 and 6, 5 and 7.
#[target_feature(enable = "avx512f")]
#[inline]
fn transposed(rows: [__m512i; 4]) -> [__m512i; 4] {
    let (low, high) = (_mm512_unpacklo_epi64(rows[0], rows[1]), _mm512_unpacklo_epi64(rows[2], rows[3]));
    let (a, c) = (_mm512_shuffle_i64x2::<0x88>(low, high), _mm512_shuffle_i64x2::<0xDD>(low, high));
    let (low, high) = (_mm512_unpackhi_epi64(rows[0], rows[1]), _mm512_unpackhi_epi64(rows[2], rows[3]));
    let (b, d) = (_mm512_shuffle_i64x2::<0x88>(low, high), _mm512_shuffle_i64x2::<0xDD>(low, high));
    [a, b, c, d]
}

/// The same back: rows 0 and 2, 1 and 3, 4 and 6, 5 and 7.
#[target_feature(enable = "avx512f")]
#[inline]
fn rows(columns: [__m512i; 4]) -> [__m512i; 4] {
    let [x, y, z, t] = columns;
    let (low, high) = (_mm512_setr_epi64(0, 1, 8, 9, 2, 3, 10, 11), _mm512_setr_epi64(4, 5, 12, 13, 6, 7, 14, 15));
    let even = (_mm512_unpacklo_epi64(x, y), _mm512_unpacklo_epi64(z, t));
    let odd = (_mm512_unpackhi_epi64(x, y), _mm512_unpackhi_epi64(z, t));
    [
        _mm512_permutex2var_epi64(even.0, low, even.1),
        _mm512_permutex2var_epi64(odd.0, low, odd.1),
        _mm512_permutex2var_epi64(even.0, high, even.1),
        _mm512_permutex2var_epi64(odd.0, high, odd.1),
    ]
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

    /// The elements of packed words, in rows as `transposed` wants them.
    #[target_feature(enable = "avx512f")]
    #[inline]
    fn from_packed(rows: [__m512i; 4]) -> Self {
        let [a, b, c, d] = transposed(rows);
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

    /// Each set bit of `signs` negates the element of a lane, which must be tight or packed: below 2 p limb by limb.
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
    let signs = signs(low.digits, high.digits);
    Affine { plus: part(0), minus: part(4), product: product.negated_where(signs) }
}

/// The top bits of eight digits.
#[target_feature(enable = "avx2")]
#[inline]
fn signs(low: [Digit; 4], high: [Digit; 4]) -> u8 {
    let digits = |digits: [Digit; 4]| {
        let [a, b, c, d] = digits.map(u64::from);
        (a | b << 16 | c << 32 | d << 48).cast_signed()
    };
    let digits = _mm_set_epi64x(digits(high), digits(low));
    _mm_movemask_epi8(_mm_packs_epi16(digits, digits)) as u8
}

/// The sums of two plans of the same steps; asks for the entries of the next two along the way.
#[target_feature(enable = "avx2,fma,avx512f,avx512vl,avx512ifma")]
pub(super) fn sum(plans: [&Plan<'_>; 2], next: [&Plan<'_>; 2], one: &Fi4) -> [Point<Fi4>; 2] {
    debug_assert_eq!(plans[0].steps().len(), plans[1].steps().len());
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

/// Adds every term to eight buckets: the first half of them has the places of the first digits, the second half those of
/// the second.
#[target_feature(enable = "avx2,fma,avx512f,avx512vl,avx512ifma")]
pub(super) fn fill(buckets: &mut [Bucket], terms: &[Term], columns: [&[[Digit; 4]]; 2], one: &Fi4) {
    let each = buckets.len() / 8;
    let places = |at: usize| -> Option<[usize; 8]> {
        let (low, high) = (columns[0].get(at)?, columns[1].get(at)?);
        Some(std::array::from_fn(|lane| lane * each + index(if lane < 4 { low[lane] } else { high[lane - 4] })))
    };
    let mut spare = Spare([Fi8::of(one, one); 4]);
    for (at, term) in terms.iter().enumerate() {
        if let Some(next) = places(at + AHEAD) {
            next.into_iter().for_each(|place| buckets[place].prefetch());
        }
        let Some(places) = places(at) else { return };
        let mut sum = taken(places.map(|place| &buckets[place]));
        sum.add_affine(&spread(term, signs(columns[0][at], columns[1][at])), &mut spare);
        put(&sum, buckets, places);
    }
}

/// The sums in eight buckets.
#[target_feature(enable = "avx2,avx512f")]
#[inline]
fn taken(buckets: [&Bucket; 8]) -> Extended<Fi8> {
    let [a, b, c, d, e, f, g, h] = buckets;
    let limbs = limbs!(AT => transposed([
        joined(a.load(AT), c.load(AT)),
        joined(b.load(AT), d.load(AT)),
        joined(e.load(AT), g.load(AT)),
        joined(f.load(AT), h.load(AT)),
    ]));
    let [x, y, z, t] = std::array::from_fn(|part| Fi8(limbs!(AT => limbs[AT][part])));
    Extended { x, y, z, t }
}

/// Puts sums into eight buckets.
#[target_feature(enable = "avx2,avx512f")]
#[inline]
fn put(sum: &Extended<Fi8>, buckets: &mut [Bucket], places: [usize; 8]) {
    for limb in 0..5 {
        let rows = rows([sum.x.0[limb], sum.y.0[limb], sum.z.0[limb], sum.t.0[limb]]);
        for (row, [low, high]) in rows.into_iter().zip([[0, 2], [1, 3], [4, 6], [5, 7]]) {
            buckets[places[low]].store(limb, _mm512_castsi512_si256(row));
            buckets[places[high]].store(limb, _mm512_extracti64x4_epi64::<1>(row));
        }
    }
}

/// A term in every lane, negated where the bit of the lane is set.
#[target_feature(enable = "avx512f")]
#[inline]
fn spread(term: &Term, signs: u8) -> Affine<Fi8> {
    let either = |at: usize, other: usize| {
        Fi8(limbs!(AT => {
            let other = _mm512_set1_epi64(term.limb(other + AT));
            _mm512_mask_mov_epi64(_mm512_set1_epi64(term.limb(at + AT)), signs, other)
        }))
    };
    Affine { plus: either(0, 5), minus: either(5, 0), product: either(10, 10).negated_where(signs) }
}

/// Sixteen elements, for formulas that are not compiled for these instructions: every operation is a call.
#[derive(Clone, Copy, Debug)]
struct Sixteen([Fi8; 2]);

/// The operation of `Field` of this name, once in the program.
macro_rules! called {
    ($name:ident: |$x:ident $(, $y:ident)?| $value:expr) => {
        #[inline(always)]
        fn $name(&self $(, $y: &Self)?) -> Self {
            #[target_feature(enable = "avx512f,avx512ifma")]
            #[inline(never)]
            fn both(x: &mut Sixteen $(, $y: &Sixteen)?) {
                for at in 0..2 {
                    let $x = &x.0[at];
                    $(let $y = &$y.0[at];)?
                    x.0[at] = $value;
                }
            }
            let mut out = *self;
            // SAFETY: a Sixteen exists only where the kernel has found AVX-512 F and IFMA.
            unsafe { both(&mut out $(, $y)?) }
            out
        }
    };
}

impl Field for Sixteen {
    called!(add: |x, other| x.add(other));
    called!(sub: |x, other| x.sub(other));
    called!(mul: |x, other| x.mul(other));
    called!(carry: |x| x.carry());

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
    fn settled(&self) -> Self {
        self.carry()
    }
}

/// Squares both in turns: the processor works at one while it waits for the other.
#[target_feature(enable = "avx512f,avx512ifma")]
#[inline(never)]
fn squares(elements: &mut Sixteen, times: usize) {
    let [mut low, mut high] = elements.0;
    for _ in 0..times {
        (low, high) = (low.sqr(), high.sqr());
    }
    elements.0 = [low, high];
}

/// What `point::root_candidate` gives for each y.
#[target_feature(enable = "avx2,avx512f,avx512ifma")]
pub(super) fn root_candidates(y: &[Fi4; 4], numbers: &Numbers<Fi4>) -> [(Fi4, Fi4, Fi4); 4] {
    let sixteen = |a, b, c, d| Sixteen([Fi8::of(a, b), Fi8::of(c, d)]);
    let everywhere = |number| sixteen(number, number, number, number);
    let [a, b, c, d] = y;
    let (u, v, r) = root_candidate(&sixteen(a, b, c, d), &everywhere(&numbers.one), &everywhere(&numbers.d));
    let [u, v, r] = [u, v, r].map(|Sixteen(eight)| eight.map(|eight| eight.halves()));
    std::array::from_fn(|four| (u[four / 2][four % 2], v[four / 2][four % 2], r[four / 2][four % 2]))
}
