//! The fields in lanes against plain arithmetic, each by the same tests.

use std::arch::x86_64::{_mm256_castsi256_pd, _mm256_setr_epi64x};

use super::entry::numbers;
use super::fe::Fe4;
use super::fi::{Fi4, MULTIPLE};
use super::field::{Element, Words};
use super::tests::Seeded;

/// What tests must know of a field: its bounds.
pub(super) trait Tested: Element {
    /// Whether limbs may be negative.
    const SIGNED: bool;
    const TIGHT: i64;
    /// Bounds of two factors.
    const FACTORS: [(i64, i64); 4];
    /// Of a factor of a square.
    const ROOT: i64;
    /// Of what may be carried, and of what may be subtracted.
    const OPEN: i64;
    const SUBTRACTED: i64;
    /// Of what can be turned into words.
    const NUMBER: i64 = Self::TIGHT;

    fn bits(limb: i64) -> u64;
}

impl Tested for Fe4 {
    const SIGNED: bool = true;
    const TIGHT: i64 = (1 << 50) + (1 << 12);
    // Two that are tight; a loose one with a packed one, and 2^102 at most: 2^52 times 2^50; both at 2^51 exactly.
    const FACTORS: [(i64, i64); 4] =
        [(Self::TIGHT, Self::TIGHT), (2 * Self::TIGHT, 1 << 50), (1 << 50, 1 << 52), (1 << 51, 1 << 51)];
    const ROOT: i64 = Self::TIGHT;
    const OPEN: i64 = 1 << 52;
    const SUBTRACTED: i64 = 1 << 52;

    fn bits(limb: i64) -> u64 {
        (limb as f64).to_bits()
    }
}

impl Tested for Fi4 {
    const SIGNED: bool = false;
    const TIGHT: i64 = (1 << 51) + (1 << 18);
    const FACTORS: [(i64, i64); 4] = [
        (Self::TIGHT, Self::TIGHT),
        ((1 << 52) - 1, (1 << 52) - 1),
        ((1 << 51) + (1 << 50), (1 << 52) - 1),
        ((1 << 52) - 1, (1 << 51) - 1),
    ];
    const ROOT: i64 = (1 << 52) - 1;
    const OPEN: i64 = i64::MAX;
    const SUBTRACTED: i64 = MULTIPLE[0].cast_signed();
    const NUMBER: i64 = (1 << 52) - 1;

    fn bits(limb: i64) -> u64 {
        limb.cast_unsigned()
    }
}

/// A number below 2^256, for arithmetic modulo p by the book.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Number([u64; 4]);

const P: [u64; 4] = [0xFFFF_FFFF_FFFF_FFED, u64::MAX, u64::MAX, 0x7FFF_FFFF_FFFF_FFFF];

impl Number {
    fn mul(self, other: Self) -> Self {
        let mut wide = [0_u64; 8];
        for i in 0..4 {
            let mut carry = 0_u128;
            for j in 0..4 {
                let sum = u128::from(self.0[i]) * u128::from(other.0[j]) + u128::from(wide[i + j]) + carry;
                wide[i + j] = sum as u64;
                carry = sum >> 64;
            }
            wide[i + 4] = carry as u64;
        }
        let mut low = [wide[0], wide[1], wide[2], wide[3]];
        let mut high = Self::scaled(&mut low, [wide[4], wide[5], wide[6], wide[7]]);
        while high != 0 {
            high = Self::scaled(&mut low, [high, 0, 0, 0]);
        }
        Self(low)
    }

    /// Adds 38 times `high` to `low` and returns what is over 2^256.
    fn scaled(low: &mut [u64; 4], high: [u64; 4]) -> u64 {
        let mut carry = 0_u128;
        for (low, high) in low.iter_mut().zip(high) {
            let sum = u128::from(*low) + 38 * u128::from(high) + carry;
            *low = sum as u64;
            carry = sum >> 64;
        }
        carry as u64
    }

    /// Adds a number below p, of either sign.
    fn add(self, value: i64) -> Self {
        // p - |value| for a negative one, so that all is positive.
        let (mut words, size) = ([0; 4], value.unsigned_abs());
        if value < 0 {
            words = P;
            words[0] -= size; // the sizes in use are below 2^63
        } else {
            words[0] = size;
        }
        let mut sum = self.reduced().0;
        let mut carry = 0_u128;
        for (sum, word) in sum.iter_mut().zip(words) {
            let wide = u128::from(*sum) + u128::from(word) + carry;
            *sum = wide as u64;
            carry = wide >> 64;
        }
        assert_eq!(carry, 0);
        Self(sum).reduced()
    }

    fn reduced(mut self) -> Self {
        while self.0.iter().rev().ge(P.iter().rev()) {
            let mut borrow = false;
            for (word, p) in self.0.iter_mut().zip(P) {
                let (less, a) = word.overflowing_sub(p);
                let (less, b) = less.overflowing_sub(u64::from(borrow));
                (*word, borrow) = (less, a | b);
            }
        }
        self
    }

    fn plus(self, other: Self) -> Self {
        let (ours, theirs) = (self.reduced().0, other.reduced().0);
        let mut carry = 0_u128;
        let words = std::array::from_fn(|at| {
            let wide = u128::from(ours[at]) + u128::from(theirs[at]) + carry;
            carry = wide >> 64;
            wide as u64
        });
        Self(words).reduced()
    }

    fn negative(self) -> Self {
        let mut minus_one = P;
        minus_one[0] -= 1;
        self.mul(Self(minus_one)).reduced()
    }

    fn of(limbs: [i64; 5]) -> Self {
        limbs.iter().rev().fold(Self([0; 4]), |sum, &limb| sum.mul(Self([1 << 51, 0, 0, 0])).add(limb))
    }
}

impl Seeded {
    /// A limb of at most `bound` in size; one in two is at a bound, just under it, or near a corner of the arithmetic.
    fn limb<E: Tested>(&mut self, bound: i64) -> i64 {
        let corners = [bound, bound - 1, bound / 2, bound / 2 + 1, bound / 2 - 1, 0, 1, (1 << 50) - 1];
        let any = (self.next() >> 1).cast_signed() % bound;
        let size = if self.next() & 1 == 0 { any } else { corners[self.next() as usize % 8] };
        if E::SIGNED && self.next() & 1 == 0 { -size } else { size }
    }

    pub(super) fn limbs<E: Tested>(&mut self, bound: i64) -> [[i64; 5]; 4] {
        std::array::from_fn(|_| std::array::from_fn(|_| self.limb::<E>(bound)))
    }
}

#[target_feature(enable = "avx2,fma")]
pub(super) fn lanes<E: Tested>(limbs: [[i64; 5]; 4]) -> E {
    let limb = |at: usize| {
        let [a, b, c, d] = limbs.map(|limbs| E::bits(limbs[at]).cast_signed());
        _mm256_setr_epi64x(a, b, c, d)
    };
    E::from_limbs([limb(0), limb(1), limb(2), limb(3), limb(4)])
}

#[target_feature(enable = "avx2,fma")]
fn transposed(words: Words) -> [Number; 4] {
    let words = super::entry::transposed(words);
    std::array::from_fn(|lane| Number(numbers(words[lane])))
}

#[target_feature(enable = "avx2,fma")]
fn check_products<E: Tested>(a: [[i64; 5]; 4], b: [[i64; 5]; 4], root: [[i64; 5]; 4]) {
    let (x, y, z) = (lanes::<E>(a), lanes::<E>(b), lanes::<E>(root));
    let mut open = x;
    x.mul_open(&y, &mut open);
    let products = [x.mul(&y), open.carry()].map(|product| transposed(product.to_words()));
    let squares = [z.sqr(), z.sqr_open().carry()].map(|square| transposed(square.to_words()));
    for lane in 0..4 {
        let (a_number, b_number, c) = (Number::of(a[lane]), Number::of(b[lane]), Number::of(root[lane]));
        let (product, square) = (a_number.mul(b_number).reduced(), c.mul(c).reduced());
        assert_eq!(products.map(|four| four[lane]), [product; 2], "{:?} * {:?}", a[lane], b[lane]);
        assert_eq!(squares.map(|four| four[lane]), [square; 2], "{:?} squared", root[lane]);
    }
}

fn products<E: Tested>(vectors: usize, seed: u64) {
    if !E::is_here() {
        return;
    }
    let mut numbers = Seeded(seed);
    for _ in 0..vectors {
        let (a, b) = E::FACTORS[numbers.next() as usize % 4];
        let (a, b, root) = (numbers.limbs::<E>(a), numbers.limbs::<E>(b), numbers.limbs::<E>(E::ROOT));
        // SAFETY: the instructions of the field were found.
        unsafe { check_products::<E>(a, b, root) }
    }
}

#[test]
fn products_and_squares_are_those_of_plain_arithmetic() {
    products::<Fe4>(25_000, 51);
    products::<Fi4>(25_000, 52);
}

#[test]
#[ignore = "10^7 products in each field: minutes"]
fn ten_million_products_and_squares() {
    products::<Fe4>(2_500_000, 1_051);
    products::<Fi4>(2_500_000, 1_052);
}

fn products_of_corners<E: Tested>(corners: &[i64]) {
    if !E::is_here() {
        return;
    }
    for &a in corners {
        for &b in corners {
            let other = if E::SIGNED { -a } else { b };
            let root = |value: i64| value.clamp(-E::ROOT, E::ROOT);
            let mixed = [[a; 5], [a, b, a, b, a], [0, 0, 0, 0, a], [other, a, other, a, other]];
            // SAFETY: the instructions of the field were found.
            unsafe { check_products::<E>(mixed, [[b; 5]; 4], mixed.map(|limbs| limbs.map(root))) }
        }
    }
}

#[test]
fn products_of_all_corners() {
    let (edge, half) = (1 << 51, 1 << 50);
    products_of_corners::<Fe4>(&[edge, edge - 1, -edge, 1 - edge, half, half - 1, -half, 0, 1, -1]);
    let (all, tight) = ((1 << 52) - 1, <Fi4 as Tested>::TIGHT);
    products_of_corners::<Fi4>(&[all, all - 1, tight, tight - 1, edge, edge - 1, edge + 1, half, half - 1, 0, 1]);
}

#[target_feature(enable = "avx2,fma")]
fn check_forms<E: Tested>(limbs: [[i64; 5]; 4], open: [[i64; 5]; 4], less: [[i64; 5]; 4]) {
    let expected = limbs.map(|limbs| Number::of(limbs).reduced());
    let element = lanes::<E>(limbs);
    let words = element.to_words();
    assert_eq!(transposed(words), expected, "{limbs:?}");
    assert_eq!(transposed(E::from_words(&words).to_words()), expected, "{limbs:?}");
    let packed = E::from_packed(&element.to_packed());
    assert_eq!(transposed(packed.to_words()), expected, "{limbs:?}");
    let carried = transposed(lanes::<E>(open).carry().to_words());
    assert_eq!(carried, open.map(|limbs| Number::of(limbs).reduced()), "{open:?}");
    let settled = E::splat([0; 4]).sub(&packed).settled().carry();
    let signs = _mm256_castsi256_pd(_mm256_setr_epi64x(0, i64::MIN, i64::MIN, 0));
    let negated = [packed, E::from_words(&words)].map(|element| transposed(element.negated_where(signs).to_words()));
    let difference = transposed(lanes::<E>(limbs).sub(&lanes::<E>(less)).carry().to_words());
    let sum = transposed(lanes::<E>(limbs).add(&packed).settled().carry().to_words());
    for lane in 0..4 {
        let (number, minus) = (Number::of(limbs[lane]), Number::of(limbs[lane]).negative());
        assert_eq!(difference[lane], number.plus(Number::of(less[lane]).negative()), "{limbs:?} - {less:?}");
        assert_eq!(sum[lane], number.plus(number));
        assert_eq!(transposed(settled.to_words())[lane], minus);
        let expected = if lane == 1 || lane == 2 { minus } else { expected[lane] };
        assert_eq!(negated.map(|four| four[lane]), [expected; 2], "{limbs:?}");
    }
}

fn forms<E: Tested>(zero: [i64; 5], p: [i64; 5]) {
    if !E::is_here() {
        return;
    }
    let mut numbers = Seeded(19);
    for round in 0..20_000 {
        let mut limbs = numbers.limbs::<E>(E::NUMBER);
        // Around 0, where p itself and 2^255 must come out below p.
        (limbs[0], limbs[1]) = (zero, p);
        limbs[0][0] += round % 30;
        limbs[1][0] += round % 60 - 30;
        let (open, less) = (numbers.limbs::<E>(E::OPEN), numbers.limbs::<E>(E::SUBTRACTED));
        // SAFETY: the instructions of the field were found.
        unsafe { check_forms::<E>(limbs, open, less) }
    }
}

#[test]
fn every_form_of_an_element_is_the_same_element() {
    let (half, full) = ((1 << 50) - 1, (1 << 51) - 1);
    forms::<Fe4>([-15, 0, 0, 0, 0], [half - 18, half, half, half, 1 << 50]);
    forms::<Fi4>([0; 5], [full - 18, full, full, full, full]);
}
