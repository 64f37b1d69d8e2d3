//! Numbers mod L as digits that are all odd: every digit names an entry of a table or its negative, and none is zero.
//!
//! Any n bits b are the digits 2 b - 1 of an odd number, 2 h - (2^n - 1) for the number h of the bits. So for any k the
//! bits of h = (k + 2^n - 1) / 2 mod L, n >= 254, are digits 1 and -1 of a number that is k mod L; a point of order L
//! asks for no more. The half is exact once L, which is odd, has been added to an odd sum.

use super::entry::{Digit, digit};

/// L = 2^252 + 27742317777372353535851937790883648493, little-endian words.
pub(super) const L: [u64; 5] = [0x5812_631A_5CF5_D3ED, 0x14DE_F9DE_A2F7_9CD6, 0, 0x1000_0000_0000_0000, 0];

/// Teeth of a comb: bits that one digit takes, `SPAN` apart.
pub(super) const TEETH: usize = 6;
/// Digits of a comb; `TEETH * SPAN` bits.
pub(super) const SPAN: usize = 43;

/// Words of a number of 32 bytes, and a fifth.
fn words(bytes: &[u8; 32]) -> [u64; 5] {
    let (words, _) = bytes.as_chunks::<8>();
    std::array::from_fn(|at| words.get(at).map_or(0, |word| u64::from_le_bytes(*word)))
}

/// Whether the number is below L.
pub(super) fn is_reduced(bytes: &[u8; 32]) -> bool {
    words(bytes).iter().rev().lt(L.iter().rev())
}

pub(super) fn add(a: &[u64; 5], b: &[u64; 5]) -> [u64; 5] {
    let mut carry = false;
    std::array::from_fn(|at| {
        let (sum, over) = a[at].overflowing_add(b[at]);
        let (sum, again) = sum.overflowing_add(u64::from(carry));
        carry = over | again;
        sum
    })
}

/// h of k, for n bits, 256 <= n < 320, and k < L.
pub(super) fn halved(k: &[u64; 5], bits: usize) -> [u64; 5] {
    let ones = [u64::MAX, u64::MAX, u64::MAX, u64::MAX, (1 << (bits - 256)) - 1];
    let mut sum = add(k, &ones);
    if sum[0] & 1 == 1 {
        sum = add(&sum, &L);
    }
    std::array::from_fn(|at| sum[at] >> 1 | sum.get(at + 1).map_or(0, |next| next << 63))
}

/// `width` bits, at most 57, from bit `at` on.
pub(super) fn bits(words: &[u64; 5], at: usize, width: usize) -> u64 {
    let (word, shift) = (at / 64, at % 64);
    let high = if shift == 0 { 0 } else { words.get(word + 1).map_or(0, |next| next << (64 - shift)) };
    (words[word] >> shift | high) & ((1 << width) - 1)
}

/// Puts the digits of k, below L, with `width` bits each, lowest first, into one lane of `out`.
pub(super) fn windows(k: &[u8; 32], width: u32, lane: usize, out: &mut [[Digit; 4]]) {
    let width_bits = width as usize;
    let half = halved(&words(k), width_bits * out.len());
    for (at, digits) in out.iter_mut().enumerate() {
        digits[lane] = digit(bits(&half, at * width_bits, width_bits) as u16, width);
    }
}

/// The h, for n bits, 128 <= n < 192, of the odd number 2 r + 1 - 2^128.
pub(super) fn spread_out(r: u128, bits: usize) -> [u64; 5] {
    let more = if bits == 128 { [0; 5] } else { [0, 1 << 63, (1 << (bits - 129)) - 1, 0, 0] };
    add(&[r as u64, (r >> 64) as u64, 0, 0, 0], &more)
}

/// Four digits of h side by side: those of `width` bits from number 4 `group` on.
#[inline]
pub(super) fn four(half: &[u64; 5], width: u32, group: usize) -> [Digit; 4] {
    let width_bits = width as usize;
    std::array::from_fn(|at| digit(bits(half, (4 * group + at) * width_bits, width_bits) as u16, width))
}

/// Puts the digits of k, below L, for a comb, lowest first, into one lane of `out`.
pub(super) fn comb(k: &[u8; 32], lane: usize, out: &mut [[Digit; 4]; SPAN]) {
    let half = halved(&words(k), TEETH * SPAN);
    let teeth: [u64; TEETH] = std::array::from_fn(|tooth| bits(&half, tooth * SPAN, SPAN));
    for (at, group) in out.chunks_mut(8).enumerate() {
        let columns = teeth.iter().enumerate().fold(0, |sum, (tooth, bits)| sum | spread(bits >> (8 * at)) << tooth);
        for (digits, column) in group.iter_mut().zip(columns.to_le_bytes()) {
            digits[lane] = digit(u16::from(column), TEETH as u32);
        }
    }
}

/// The low eight bits, each at the bottom of a byte.
const fn spread(bits: u64) -> u64 {
    // Copies of the low seven bits, seven apart, put bit i at 8 i; the eighth bit would meet one of them, and goes alone.
    let seven = (bits & 0x7F).wrapping_mul(0x0002_0408_1020_4081);
    (seven | (bits & 0x80) << 49) & 0x0101_0101_0101_0101
}
