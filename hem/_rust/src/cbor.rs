//! Strict deterministic CBOR (RFC 8949, section 4.2.1): one walk over a whole item that finds its first fault.
//!
//! What a cursor reads to the end without a fault has none here either, so only a message with a fault is walked: its
//! reason then never depends on which claim a reader happens to look at. Budgets bound what a hostile message can cost
//! before its signature is known.

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
pub(crate) const FALSE: u8 = 20;
pub(crate) const TRUE: u8 = 21;
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
#[inline]
pub fn head(data: &[u8]) -> Result<(Head, usize), Reason> {
    let (&first, rest) = data.split_first().ok_or(Truncated)?;
    let (major, info) = (first >> 5, first & 0x1F);
    if info < 24 {
        return Ok((Head { major, info, value: info.into() }, 1));
    }
    let (value, least, size) = argument(info, rest)?;
    if major != SIMPLE && value < least {
        return Err(NotShortest);
    }
    Ok((Head { major, info, value }, size))
}

/// Returns a long argument, the least one that needs its length, and the bytes of the whole head.
#[inline]
fn argument(info: u8, rest: &[u8]) -> Result<(u64, u64, usize), Reason> {
    match info {
        24 => Ok((u8::from_be_bytes(bytes(rest)?).into(), 24, 2)),
        25 => Ok((u16::from_be_bytes(bytes(rest)?).into(), 1 << 8, 3)),
        26 => Ok((u32::from_be_bytes(bytes(rest)?).into(), 1 << 16, 5)),
        27 => Ok((u64::from_be_bytes(bytes(rest)?), 1 << 32, 9)),
        31 => Err(IndefiniteLength),
        _ => Err(BadSimple),
    }
}

#[inline]
fn bytes<const N: usize>(rest: &[u8]) -> Result<[u8; N], Reason> {
    rest.first_chunk().copied().ok_or(Truncated)
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

pub(crate) fn utf8(content: &[u8]) -> Result<(), Reason> {
    std::str::from_utf8(content).map(|_| ()).map_err(|_| BadUtf8)
}

pub(crate) fn simple(head: Head) -> Result<(), Reason> {
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

#[cfg(test)]
mod tests {
    use super::{MAX_DEPTH, MAX_ITEMS, MAX_MESSAGE, Reason, check, fits_shorter, half, length_of_item};

    #[test]
    fn deterministic_items_pass() {
        for good in [
            &b"\x00"[..],
            b"\x18\x18",
            b"\x19\x01\x00",
            b"\x1A\x00\x01\x00\x00",
            b"\x1B\x00\x00\x00\x01\x00\x00\x00\x00",
            b"\x1B\xFF\xFF\xFF\xFF\xFF\xFF\xFF\xFF",
            b"\x3B\xFF\xFF\xFF\xFF\xFF\xFF\xFF\xFF",
            b"\x40",
            b"\x62\xC3\xA9",
            b"\x83\xF4\xF5\xF6",
            b"\xA2\x0A\x00\x20\x00",
            b"\xD2\x80",
            b"\xF9\x7E\x00",
            b"\xFA\x47\xC3\x50\x00",
            b"\xFB\x3F\xF1\x99\x99\x99\x99\x99\x9A",
        ] {
            assert_eq!(check(good), Ok(()), "{good:02x?}");
        }
    }

    #[test]
    fn each_fault_has_its_reason() {
        for (bad, reason) in [
            (&b""[..], Reason::Empty),
            (b"\x00\x00", Reason::TrailingBytes),
            (b"\x18", Reason::Truncated),
            (b"\x41", Reason::Truncated),
            (b"\x82\x00", Reason::Truncated),
            (b"\xA1\x00", Reason::Truncated),
            (b"\xD2", Reason::Truncated),
            (b"\x9B\xFF\xFF\xFF\xFF\xFF\xFF\xFF\xFF", Reason::Truncated),
            (b"\x5B\xFF\xFF\xFF\xFF\xFF\xFF\xFF\xFF", Reason::Truncated),
            (b"\x18\x17", Reason::NotShortest),
            (b"\x19\x00\xFF", Reason::NotShortest),
            (b"\x1A\x00\x00\xFF\xFF", Reason::NotShortest),
            (b"\x1B\x00\x00\x00\x00\xFF\xFF\xFF\xFF", Reason::NotShortest),
            (b"\x58\x01a", Reason::NotShortest),
            (b"\xFA\x3F\x80\x00\x00", Reason::NotShortest),
            (b"\xFA\x7F\x80\x00\x00", Reason::NotShortest),
            (b"\xFA\x7F\xC0\x00\x00", Reason::NotShortest),
            (b"\xFB\x3F\xF0\x00\x00\x00\x00\x00\x00", Reason::NotShortest),
            (b"\x9F\xFF", Reason::IndefiniteLength),
            (b"\xFF", Reason::IndefiniteLength),
            (b"\x1C", Reason::BadSimple),
            (b"\xF7", Reason::BadSimple),
            (b"\xE0", Reason::BadSimple),
            (b"\xF8\xFF", Reason::BadSimple),
            (b"\x62\xC3\x28", Reason::BadUtf8),
            (b"\x63\xED\xA0\x80", Reason::BadUtf8),
            (b"\xA2\x01\x00\x00\x00", Reason::UnsortedKeys),
            (b"\xA2\x00\x00\x00\x00", Reason::DuplicateKey),
            (b"\xC0\x00", Reason::WrongType),
            (b"\x81\xD2\x80", Reason::WrongType),
        ] {
            assert_eq!(check(bad), Err(reason), "{bad:02x?}");
        }
    }

    #[test]
    fn budgets_end_where_they_say() {
        let nested = |depth: u32| [vec![0x81; depth as usize - 1], vec![0x00]].concat();
        assert_eq!(check(&nested(MAX_DEPTH)), Ok(()));
        assert_eq!(check(&nested(MAX_DEPTH + 1)), Err(Reason::TooDeep));
        let many = |items: u32| {
            let count = (items - 1).to_be_bytes();
            [vec![0x99, count[2], count[3]], vec![0; items as usize - 1]].concat()
        };
        assert_eq!(check(&many(MAX_ITEMS)), Ok(()));
        assert_eq!(check(&many(MAX_ITEMS + 1)), Err(Reason::TooManyItems));
        let large = |size: usize| {
            let length = u16::try_from(size - 3).unwrap_or(0).to_be_bytes();
            [vec![0x59, length[0], length[1]], vec![0; size - 3]].concat()
        };
        assert_eq!(check(&large(MAX_MESSAGE)), Ok(()));
        assert_eq!(check(&large(MAX_MESSAGE + 1)), Err(Reason::TooLarge));
        assert_eq!(length_of_item(&large(MAX_MESSAGE + 1)), Ok(MAX_MESSAGE + 1));
    }

    #[test]
    fn every_half_is_its_own_shortest_form() {
        for bits in 0..=u16::MAX {
            let value = half(bits);
            assert_eq!(fits_shorter(value), super::HALF, "{bits:#06x}");
            assert_eq!(value.is_nan(), bits & 0x7C00 == 0x7C00 && bits & 0x3FF != 0);
        }
        assert_eq!((half(0x3C00), half(0xC000), half(0x0001), half(0x7BFF)), (1.0, -2.0, 2_f64.powi(-24), 65_504.0));
    }

    #[test]
    fn neighbors_of_halves_are_longer() {
        for value in [1.0_f32 + f32::EPSILON, 65_505.0, 65_536.0, 2_f32.powi(-25), 3.0 * 2_f32.powi(-25)] {
            assert_eq!(fits_shorter(value.into()), super::SINGLE, "{value}");
        }
        for value in [0.1, 1.0 + f64::EPSILON, 1e39, f64::MIN_POSITIVE] {
            assert_eq!(fits_shorter(value), super::DOUBLE, "{value}");
        }
    }
}
