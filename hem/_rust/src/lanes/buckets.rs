//! Sums of many points, each times a number of its own: Pippenger's method with four windows side by side.
//!
//! A number is cut into digits of some bits; every digit of a place has a bucket, to which the point is added. The four
//! lanes are four places of one number, so that each lane has buckets of its own and no two lanes ever want the same.
//! Digits are odd, so bucket b stands for 2 b + 1 and the negative digits subtract from it.

use std::arch::x86_64::{
    __m256i, _MM_HINT_T0, _mm_prefetch, _mm256_load_si256, _mm256_set1_epi64x, _mm256_setzero_si256, _mm256_store_si256,
};

use super::decode::Numbers;
use super::digits;
use super::entry::{Digit, index, signs, transposed};
use super::field::{Element, limbs};
use super::point::{Affine, Extended, Point, Spare};

/// Steps between the request for a bucket and its use.
pub(super) const AHEAD: usize = 2;
/// What it costs to empty a bucket, in additions of a term.
const EMPTYING: usize = 3;

/// A point to be multiplied and added up: limbs of its `Affine`, tight, one after the other.
#[derive(Clone, Copy, Debug, Default)]
#[repr(C, align(128))]
pub(super) struct Term([u64; 16]);

/// A sum in memory: limb i of x, y, z, t from 4 i on.
#[derive(Clone, Copy, Debug)]
#[repr(C, align(32))]
pub(super) struct Bucket([u64; 20]);

impl Term {
    /// The term of each lane.
    #[target_feature(enable = "avx2,fma")]
    pub(super) fn scattered<E: Element>(affine: &Affine<E>) -> [Self; 4] {
        let (p, m, t) = (affine.plus.limbs(), affine.minus.limbs(), affine.product.limbs());
        let zero = _mm256_setzero_si256();
        let limbs = [p[0], p[1], p[2], p[3], p[4], m[0], m[1], m[2], m[3], m[4], t[0], t[1], t[2], t[3], t[4], zero];
        let mut terms = [Self::default(); 4];
        for (at, four) in limbs.as_chunks::<4>().0.iter().enumerate() {
            for (term, limbs) in terms.iter_mut().zip(transposed(*four)) {
                // SAFETY: four limbs of the sixteen, at a multiple of 32 bytes.
                unsafe { _mm256_store_si256(term.0[4 * at..4 * at + 4].as_mut_ptr().cast(), limbs) };
            }
        }
        terms
    }

    /// One of the fifteen limbs, first those of plus, then those of minus, then those of the product.
    #[inline(always)]
    pub(super) const fn limb(&self, at: usize) -> i64 {
        self.0[at].cast_signed()
    }

    /// The point in every lane, negated as the digit of the lane says.
    #[target_feature(enable = "avx2,fma")]
    #[inline]
    fn affine<E: Element>(&self, digits: [Digit; 4]) -> Affine<E> {
        let signs = signs(digits);
        let five = |at: usize| E::from_limbs(limbs!(AT => _mm256_set1_epi64x(self.limb(at + AT))));
        let (plus, minus) = (five(0), five(5));
        Affine {
            plus: plus.or_where(&minus, signs),
            minus: minus.or_where(&plus, signs),
            product: five(10).negated_where(signs),
        }
    }
}

impl Bucket {
    /// Nothing added yet.
    const fn empty<E: Element>() -> Self {
        let mut limbs = [0; 20];
        (limbs[1], limbs[2]) = (E::ONE, E::ONE);
        Self(limbs)
    }

    #[target_feature(enable = "avx2,fma")]
    #[inline]
    fn gathered<E: Element>(buckets: [&Self; 4]) -> Extended<E> {
        let [a, b, c, d] = buckets;
        let limbs: [[__m256i; 4]; 5] =
            std::array::from_fn(|limb| transposed([a.load(limb), b.load(limb), c.load(limb), d.load(limb)]));
        let [x, y, z, t] = std::array::from_fn(|part| E::from_limbs(limbs.map(|limb| limb[part])));
        Extended { x, y, z, t }
    }

    #[target_feature(enable = "avx2,fma")]
    #[inline]
    fn scattered<E: Element>(sum: &Extended<E>) -> [[__m256i; 5]; 4] {
        let (x, y, z, t) = (sum.x.limbs(), sum.y.limbs(), sum.z.limbs(), sum.t.limbs());
        let limbs = limbs!(AT => transposed([x[AT], y[AT], z[AT], t[AT]]));
        std::array::from_fn(|lane| limbs.map(|limb| limb[lane]))
    }

    #[target_feature(enable = "avx2,fma")]
    #[inline]
    fn set(&mut self, limbs: [__m256i; 5]) {
        limbs.into_iter().enumerate().for_each(|(limb, four)| self.store(limb, four));
    }

    /// Limb `limb` of x, y, z and t.
    #[target_feature(enable = "avx2")]
    #[inline]
    pub(super) fn load(&self, limb: usize) -> __m256i {
        // SAFETY: four limbs of the twenty, at a multiple of 32 bytes.
        unsafe { _mm256_load_si256(self.0[4 * limb..4 * limb + 4].as_ptr().cast()) }
    }

    #[target_feature(enable = "avx2")]
    #[inline]
    pub(super) fn store(&mut self, limb: usize, four: __m256i) {
        // SAFETY: four limbs of the twenty, at a multiple of 32 bytes.
        unsafe { _mm256_store_si256(self.0[4 * limb..4 * limb + 4].as_mut_ptr().cast(), four) };
    }

    #[inline(always)]
    pub(super) fn prefetch(&self) {
        let at: *const i8 = self.0.as_ptr().cast();
        // SAFETY: a prefetch reads nothing that the program can see, and the addresses lie in the bucket.
        unsafe {
            _mm_prefetch(at, _MM_HINT_T0);
            _mm_prefetch(at.add(64), _MM_HINT_T0);
            _mm_prefetch(at.add(128), _MM_HINT_T0);
        }
    }
}

/// How numbers are cut: bits of a digit, and how many groups of four digits there are.
#[derive(Clone, Copy, Debug)]
pub(super) struct Shape {
    width: u32,
    groups: usize,
}

impl Shape {
    /// The cheapest for so many terms with numbers of so many bits, where so many groups are done side by side.
    pub(super) fn best(bits: usize, terms: usize, groups: usize) -> Self {
        let cost =
            |shape: &Self| shape.groups.div_ceil(groups) * terms + shape.groups * (EMPTYING << (shape.width - 1));
        (4..=13).map(|width| Self::new(bits, width)).min_by_key(cost).unwrap_or(Self::new(bits, 4))
    }

    /// Numbers of so many bits in digits of `width` bits.
    pub(super) const fn new(bits: usize, width: u32) -> Self {
        Self { width, groups: bits.div_ceil(4 * width as usize) }
    }

    /// Bits of a digit.
    #[cfg(test)]
    pub(super) const fn width(self) -> u32 {
        self.width
    }

    /// Bits of all digits.
    pub(super) const fn bits(self) -> usize {
        4 * self.width as usize * self.groups
    }

    /// The sum of all terms, each times the number that `halves` has as `digits::halved` makes it; in all lanes.
    #[target_feature(enable = "avx2,fma")]
    pub(super) fn sum<E: Element>(self, terms: &[Term], halves: &[[u64; 5]], numbers: &Numbers<E>) -> Point<E> {
        let each = 4 << (self.width - 1);
        let mut buckets = vec![Bucket::empty::<E>(); E::PLANS.min(self.groups) * each];
        let mut columns = vec![Vec::with_capacity(terms.len()); E::PLANS.min(self.groups)];
        let mut sum = Point::identity(numbers.one);
        let mut left = self.groups;
        while left > 0 {
            // The groups of the highest places first, and of those done side by side the lowest first.
            let count = columns.len().min(left);
            left -= count;
            for (at, columns) in columns.iter_mut().take(count).enumerate() {
                columns.clear();
                columns.extend(halves.iter().map(|half| digits::four(half, self.width, left + at)));
            }
            E::fill(&mut buckets[..count * each], terms, &columns[..count], numbers);
            for buckets in buckets[..count * each].chunks_exact_mut(each).rev() {
                doubled(&mut sum, 4 * self.width);
                sum.add_cached(&emptied(buckets, numbers).cached(&numbers.twice_d));
            }
        }
        self.joined(&sum, numbers)
    }

    /// The sum of the lanes: each is worth 2^width times the one before.
    #[target_feature(enable = "avx2,fma")]
    fn joined<E: Element>(self, lanes: &Point<E>, numbers: &Numbers<E>) -> Point<E> {
        let mut stored = [Bucket::empty::<E>(); 4];
        stored.iter_mut().zip(Bucket::scattered(&lanes.extended())).for_each(|(bucket, limbs)| bucket.set(limbs));
        let mut sum = Point::identity(numbers.one);
        for lane in stored.iter().rev() {
            doubled(&mut sum, self.width);
            sum.add_cached(&Bucket::gathered([lane; 4]).cached(&numbers.twice_d));
        }
        sum
    }
}

/// Adds every term to four buckets.
#[target_feature(enable = "avx2,fma")]
pub(super) fn fill<E: Element>(buckets: &mut [Bucket], terms: &[Term], columns: &[[Digit; 4]], numbers: &Numbers<E>) {
    let each = buckets.len() / 4;
    let places = |digits: &[Digit; 4]| -> [usize; 4] { std::array::from_fn(|lane| lane * each + index(digits[lane])) };
    let mut spare = Spare([numbers.one; 4]);
    for (at, (term, digits)) in terms.iter().zip(columns).enumerate() {
        if let Some(next) = columns.get(at + AHEAD) {
            places(next).into_iter().for_each(|place| buckets[place].prefetch());
        }
        let places = places(digits);
        let mut sum = Bucket::gathered(places.map(|place| &buckets[place]));
        sum.add_affine(&term.affine(*digits), &mut spare);
        places.into_iter().zip(Bucket::scattered(&sum)).for_each(|(place, limbs)| buckets[place].set(limbs));
    }
}

/// The sum of all buckets of each lane, each times 2 b + 1; leaves them empty.
#[target_feature(enable = "avx2,fma")]
fn emptied<E: Element>(buckets: &mut [Bucket], numbers: &Numbers<E>) -> Point<E> {
    let each = buckets.len() / 4;
    let (mut some, mut sum) = (Point::identity(numbers.one), Point::identity(numbers.one));
    for at in (0..each).rev() {
        let four = Bucket::gathered(std::array::from_fn(|lane| &buckets[lane * each + at]));
        // What comes after bucket b has been added to `sum` b times in the end.
        sum.add_cached(&some.cached(&numbers.twice_d));
        some.add_cached(&four.cached(&numbers.twice_d));
    }
    buckets.fill(Bucket::empty::<E>());
    sum.double();
    sum.add_cached(&some.cached(&numbers.twice_d));
    sum
}

#[target_feature(enable = "avx2,fma")]
fn doubled<E: Element>(sum: &mut Point<E>, times: u32) {
    for _ in 0..times {
        sum.double();
    }
}
