//! Eight elements side by side against four and four.

#![allow(clippy::unwrap_used)] // a test that finds None fails

use super::Entry;
use super::entry::{Digit, numbers};
use super::fi::Fi4;
use super::field::{Element as _, Field};
use super::field_tests::{Tested, lanes};
use super::plan::Step;
use super::tests::Seeded;
use super::wide::{Fi8, gathered};

#[target_feature(enable = "avx2,fma")]
fn same(one: Fi4, other: Fi4) -> bool {
    one.to_words().map(|word| numbers(word)) == other.to_words().map(|word| numbers(word))
}

/// Any function of two elements, of eight and of two times four.
macro_rules! check {
    ($a:ident, $b:ident, |$x:ident, $y:ident| $value:expr) => {{
        let ($x, $y) = (Fi8::of(&$a[0], &$a[1]), Fi8::of(&$b[0], &$b[1]));
        let eight = $value.halves();
        for (at, eight) in eight.into_iter().enumerate() {
            let ($x, $y) = ($a[at], $b[at]);
            assert!(same(eight, $value), "{}", stringify!($value));
        }
    }};
}

fn opened<F: Field>(a: &F, b: &F) -> F {
    let mut open = *a;
    a.mul_open(b, &mut open);
    open
}

#[target_feature(enable = "avx2,fma,avx512f,avx512vl,avx512ifma")]
fn check_arithmetic(numbers: &mut Seeded) {
    let (factor, open) = (<Fi4 as Tested>::ROOT, <Fi4 as Tested>::SUBTRACTED);
    let two = |bound: i64, numbers: &mut Seeded| -> [Fi4; 2] {
        [lanes(numbers.limbs::<Fi4>(bound)), lanes(numbers.limbs::<Fi4>(bound))]
    };
    let (a, b) = (two(factor, numbers), two(factor, numbers));
    check!(a, b, |x, y| x.mul(&y));
    check!(a, b, |x, y| opened(&x, &y).carry());
    check!(a, b, |x, y| x.sqr().sub(&y.sqr_open()).settled());
    let (c, d) = (two(open, numbers), two(open, numbers));
    check!(c, d, |x, y| x.sub(&y).settled());
    check!(c, d, |x, y| x.add(&y).carry());
}

#[test]
fn eight_elements_are_four_and_four() {
    let mut numbers = Seeded(88);
    for _ in 0..if Fi4::is_here() { 20_000 } else { 0 } {
        // SAFETY: the instructions of the field were found.
        unsafe { check_arithmetic(&mut numbers) }
    }
}

#[target_feature(enable = "avx2,fma,avx512f,avx512vl,avx512ifma")]
fn check_gathered(numbers: &mut Seeded) {
    let entries: [Entry; 8] = std::array::from_fn(|_| {
        let words: [[u8; 8]; 12] = std::array::from_fn(|_| numbers.bytes());
        Entry::from_words(words.map(u64::from_le_bytes))
    });
    let [a, b, c, d, e, f, g, h] = entries.each_ref();
    let step = |entries, signs: u64| -> Step<'_> {
        let digits: [Digit; 4] = std::array::from_fn(|lane| ((signs >> lane & 1) << 15) as Digit | 7);
        Step { entries, digits, doublings: 0 }
    };
    let signs = numbers.next();
    let (low, high) = (step([a, b, c, d], signs), step([e, f, g, h], signs >> 4));
    let eight = gathered(&low, &high);
    let parts = [eight.plus.halves(), eight.minus.halves(), eight.product.halves()];
    for (at, step) in [low, high].into_iter().enumerate() {
        let four = Entry::gathered::<Fi4>(step.entries, step.digits);
        for (part, four) in parts.iter().zip([four.plus, four.minus, four.product]) {
            assert!(same(part[at], four), "{:?}", step.digits);
        }
    }
}

#[test]
fn eight_entries_are_four_and_four() {
    let mut numbers = Seeded(96);
    for _ in 0..if Fi4::is_here() { 2_000 } else { 0 } {
        // SAFETY: the instructions of the field were found.
        unsafe { check_gathered(&mut numbers) }
    }
}
