//! Strict deterministic CBOR (RFC 8949, section 4.2.1): one walk that finds every fault, then a cursor that reads.
//!
//! The walk comes first and over the whole item, so that the reason of a damaged message never depends on which claim
//! a reader happens to look at. Budgets bound what a hostile message can cost before its signature is known.

use crate::reason::Reason;
use crate::reason::Reason::{
    BadSimple, BadUtf8, DuplicateKey, Empty, IndefiniteLength, NotShortest, TooDeep, TooLarge, TooManyItems,
    TrailingBytes, Truncated, UnsortedKeys, WrongType,
};

/// Most bytes of a message.
pub const MAX_MESSAGE: usize = 61_440;
/// Most levels; the root item is level 1.
pub const MAX_DEPTH: u32 = 8;
/// Most data items; a tag and its content are two.
pub const MAX_ITEMS: u32 = 4_096;

pub(crate) const BYTES: u8 = 2;
pub(crate) const TEXT: u8 = 3;
pub(crate) const ARRAY: u8 = 4;
pub(crate) const MAP: u8 = 5;
pub(crate) const TAG: u8 = 6;
pub(crate) const SIMPLE: u8 = 7;
pub(crate) const HALF: u8 = 25;
const SINGLE: u8 = 26;
pub(crate) const DOUBLE: u8 = 27;

/// The start of a data item: major type, additional information and argument (RFC 8949, section 3).
#[derive(Clone, Copy, Debug)]
pub struct Head {
    /// Major type, 0 to 7.
    pub major: u8,
    /// Additional information, 0 to 27.
    pub info: u8,
    /// Argument: a value, a length, a count, or the bits of a float.
    pub value: u64,
}

/// Returns the head at the start of `data` and how many bytes it takes.
///
/// # Errors
/// `Truncated`, `IndefiniteLength`, `BadSimple` (reserved information), `NotShortest`.
pub fn head(data: &[u8]) -> Result<(Head, usize), Reason> {
    let (&first, rest) = data.split_first().ok_or(Truncated)?;
    let (major, info) = (first >> 5, first & 0x1F);
    let size = match info {
        0..24 => return Ok((Head { major, info, value: info.into() }, 1)),
        24..28 => 1_usize << (info - 24),
        31 => return Err(IndefiniteLength),
        _ => return Err(BadSimple),
    };
    let raw = rest.get(..size).ok_or(Truncated)?;
    let value = raw.iter().fold(0, |value, &byte| value << 8 | u64::from(byte));
    let least = if size == 1 { 24 } else { 1 << (4 * size) };
    if major != SIMPLE && value < least {
        return Err(NotShortest);
    }
    Ok((Head { major, info, value }, 1 + size))
}

/// Accepts exactly one deterministic item within all budgets and without a tag, other than an outermost 18.
///
/// # Errors
/// The first fault in the order of bytes; then `TrailingBytes`; then `WrongType` for a tag.
pub fn check(data: &[u8]) -> Result<(), Reason> {
    if data.is_empty() {
        return Err(Empty);
    }
    if data.len() > MAX_MESSAGE {
        return Err(TooLarge);
    }
    let mut walk = Walk { data, at: 0, items: 0, tagged: false };
    walk.item(1)?;
    if walk.at != data.len() {
        return Err(TrailingBytes);
    }
    if walk.tagged { Err(WrongType) } else { Ok(()) }
}

/// Returns the bytes that the deterministic item at the start of `data` takes; what follows is not looked at.
///
/// # Errors
/// The first fault in the order of bytes.
pub fn length_of_item(data: &[u8]) -> Result<usize, Reason> {
    let mut walk = Walk { data, at: 0, items: 0, tagged: false };
    walk.item(1)?;
    Ok(walk.at)
}

struct Walk<'a> {
    data: &'a [u8],
    at: usize,
    items: u32,
    tagged: bool,
}

impl<'a> Walk<'a> {
    /// Moves past one item. Recursion ends at `MAX_DEPTH`, so no message can exhaust the stack.
    fn item(&mut self, depth: u32) -> Result<(), Reason> {
        if depth > MAX_DEPTH {
            return Err(TooDeep);
        }
        self.items += 1;
        if self.items > MAX_ITEMS {
            return Err(TooManyItems);
        }
        let (head, size) = head(self.data.get(self.at..).unwrap_or_default())?;
        self.at += size;
        self.body(head, depth)
    }

    fn body(&mut self, head: Head, depth: u32) -> Result<(), Reason> {
        match head.major {
            BYTES => self.string(head.value).map(|_| ()),
            TEXT => self.string(head.value).and_then(utf8),
            ARRAY => (0..head.value).try_for_each(|_| self.item(depth + 1)),
            MAP => self.map(head.value, depth),
            TAG => {
                self.tagged |= depth > 1 || head.value != 18;
                self.item(depth + 1)
            }
            SIMPLE => simple(head),
            _ => Ok(()),
        }
    }

    fn string(&mut self, length: u64) -> Result<&'a [u8], Reason> {
        let rest = self.data.get(self.at..).unwrap_or_default();
        let length = usize::try_from(length).map_err(|_| Truncated)?;
        let content = rest.get(..length).ok_or(Truncated)?;
        self.at += length;
        Ok(content)
    }

    fn map(&mut self, count: u64, depth: u32) -> Result<(), Reason> {
        let mut last: &[u8] = &[];
        for _ in 0..count {
            let start = self.at;
            self.item(depth + 1)?;
            let key = self.data.get(start..self.at).unwrap_or_default();
            match key.cmp(last) {
                std::cmp::Ordering::Less => return Err(UnsortedKeys),
                std::cmp::Ordering::Equal => return Err(DuplicateKey),
                std::cmp::Ordering::Greater => last = key,
            }
            self.item(depth + 1)?;
        }
        Ok(())
    }
}

fn utf8(content: &[u8]) -> Result<(), Reason> {
    std::str::from_utf8(content).map(|_| ()).map_err(|_| BadUtf8)
}

fn simple(head: Head) -> Result<(), Reason> {
    match head.info {
        20..=22 | HALF => Ok(()),
        SINGLE | DOUBLE if fits_shorter(float(head)) >= head.info => Ok(()),
        SINGLE | DOUBLE => Err(NotShortest),
        _ => Err(BadSimple),
    }
}

/// Returns the value of a float head; every bit pattern has one.
#[allow(clippy::cast_possible_truncation)] // the argument of a half has 16 bits, of a single 32
pub(crate) fn float(head: Head) -> f64 {
    match head.info {
        HALF => half(head.value as u16),
        SINGLE => f64::from(f32::from_bits(head.value as u32)),
        _ => f64::from_bits(head.value),
    }
}

fn half(bits: u16) -> f64 {
    let (exponent, fraction) = (u64::from(bits >> 10 & 0x1F), u64::from(bits & 0x3FF));
    let size = match exponent {
        0 => f64::from(bits & 0x3FF) / f64::from(1 << 24),
        0x1F => f64::from_bits(0x7FF << 52 | fraction << 42),
        _ => f64::from_bits((exponent + 1023 - 15) << 52 | fraction << 42),
    };
    if bits >> 15 == 0 { size } else { -size }
}

/// Returns the least additional information (half, single, double) that keeps `value`; NaN has a half form.
#[allow(clippy::cast_possible_truncation, clippy::float_cmp)] // exactness is the question
fn fits_shorter(value: f64) -> u8 {
    let single = value as f32;
    if value.is_nan() || (f64::from(single) == value && fits_half(single)) {
        HALF
    } else if f64::from(single) == value {
        SINGLE
    } else {
        DOUBLE
    }
}

fn fits_half(value: f32) -> bool {
    let bits = value.to_bits();
    let exponent = (bits >> 23 & 0xFF).cast_signed() - 127;
    let zeros = (bits & 0x7F_FFFF | 0x80_0000).trailing_zeros();
    match exponent {
        -127 => bits << 1 == 0,
        -24..=-15 => zeros >= (-1 - exponent).unsigned_abs(),
        -14..=15 => zeros >= 13,
        128 => bits & 0x7F_FFFF == 0,
        _ => false,
    }
}
