//! A reader of items in order: types and ranges, no copies, and as strict as the walk.
//!
//! It reads no head but the shortest, no text but UTF-8, no float but the shortest, and no tag. What it leaves to the
//! reader of a map is the order of keys, and to the reader of an item what follows it and how large it may be. The
//! reason it gives for a fault of the encoding is not the walk's: whoever gets one asks `check`.

use std::ops::RangeInclusive;

use crate::cbor::{
    ARRAY, BYTES, DOUBLE, FALSE, HALF, Head, MAP, SIMPLE, TEXT, TRUE, float, head, length_of_item, simple, utf8,
};
use crate::reason::Reason;
use crate::reason::Reason::{Truncated, WrongType, WrongValue};

/// A position in an item. A read that fails leaves it where it was or just past a head.
#[derive(Clone, Copy, Debug)]
pub struct Cursor<'a> {
    rest: &'a [u8],
}

impl<'a> Cursor<'a> {
    /// Starts at the first byte of `data`.
    #[must_use]
    pub const fn new(data: &'a [u8]) -> Self {
        Self { rest: data }
    }

    /// The bytes from here on.
    #[must_use]
    pub const fn rest(&self) -> &'a [u8] {
        self.rest
    }

    #[inline]
    fn take(&mut self, length: usize) -> Result<&'a [u8], Reason> {
        let (taken, rest) = self.rest.split_at_checked(length).ok_or(Truncated)?;
        self.rest = rest;
        Ok(taken)
    }

    #[inline]
    fn expect(&mut self, major: u8) -> Result<Head, Reason> {
        let (head, size) = head(self.rest)?;
        if head.major != major {
            return Err(WrongType);
        }
        self.take(size).map(|_| head)
    }

    #[inline]
    fn string(&mut self, major: u8, sizes: &RangeInclusive<u64>) -> Result<&'a [u8], Reason> {
        let head = self.expect(major)?;
        if !sizes.contains(&head.value) {
            return Err(WrongValue);
        }
        self.take(usize::try_from(head.value).map_err(|_| Truncated)?)
    }

    /// Reads the content of a byte string of one of `sizes`.
    ///
    /// # Errors
    /// `WrongType`, `WrongValue`.
    #[inline]
    pub fn bytes(&mut self, sizes: RangeInclusive<u64>) -> Result<&'a [u8], Reason> {
        self.string(BYTES, &sizes)
    }

    /// Reads the UTF-8 content of a text of one of `sizes`, in bytes.
    ///
    /// # Errors
    /// `WrongType`, `WrongValue`, `BadUtf8`.
    #[inline]
    pub fn text(&mut self, sizes: RangeInclusive<u64>) -> Result<&'a [u8], Reason> {
        let content = self.string(TEXT, &sizes)?;
        utf8(content)?;
        Ok(content)
    }

    /// Reads a byte string of exactly `N` bytes.
    ///
    /// # Errors
    /// `WrongType`, `WrongValue`.
    #[inline]
    pub fn fixed<const N: usize>(&mut self) -> Result<[u8; N], Reason> {
        let size = N as u64;
        self.bytes(size..=size)?.try_into().map_err(|_| WrongValue)
    }

    /// Reads an unsigned integer.
    ///
    /// # Errors
    /// `WrongType`.
    #[inline]
    pub fn uint(&mut self) -> Result<u64, Reason> {
        self.expect(0).map(|head| head.value)
    }

    /// Reads an integer of either sign; None stands for one below or above 64 bits.
    ///
    /// # Errors
    /// `WrongType`.
    #[inline]
    pub fn integer(&mut self) -> Result<Option<i64>, Reason> {
        let (head, size) = head(self.rest)?;
        if head.major > 1 {
            return Err(WrongType);
        }
        self.take(size)?;
        let size = i64::try_from(head.value).ok();
        Ok(if head.major == 0 { size } else { size.map(|size| -1 - size) })
    }

    /// Reads a float within `range`; NaN is in no range.
    ///
    /// # Errors
    /// `WrongType`, `WrongValue`, `NotShortest`.
    pub fn float(&mut self, range: RangeInclusive<f64>) -> Result<f64, Reason> {
        let head = self.expect(SIMPLE)?;
        if !(HALF..=DOUBLE).contains(&head.info) {
            return Err(WrongType);
        }
        simple(head)?;
        Some(float(head)).filter(|value| range.contains(value)).ok_or(WrongValue)
    }

    /// Reads true or false.
    ///
    /// # Errors
    /// `WrongType`.
    pub fn boolean(&mut self) -> Result<bool, Reason> {
        match self.expect(SIMPLE)?.info {
            FALSE => Ok(false),
            TRUE => Ok(true),
            _ => Err(WrongType),
        }
    }

    /// Enters an array of one of `counts` items and returns how many there are.
    ///
    /// # Errors
    /// `WrongType`, `WrongValue`.
    #[inline]
    pub fn array(&mut self, counts: RangeInclusive<u64>) -> Result<u64, Reason> {
        let head = self.expect(ARRAY)?;
        if counts.contains(&head.value) { Ok(head.value) } else { Err(WrongValue) }
    }

    /// Enters a map and returns how many pairs there are.
    ///
    /// # Errors
    /// `WrongType`.
    pub fn map(&mut self) -> Result<u64, Reason> {
        self.expect(MAP).map(|head| head.value)
    }

    /// Moves past one item of any type.
    ///
    /// # Errors
    /// Those of the walk.
    pub fn skip(&mut self) -> Result<(), Reason> {
        self.take(length_of_item(self.rest)?).map(|_| ())
    }

    /// Returns what `read` made of the bytes here, and those bytes with their heads.
    ///
    /// # Errors
    /// Those of `read`.
    pub fn raw<T>(&mut self, read: impl FnOnce(&mut Self) -> Result<T, Reason>) -> Result<(T, &'a [u8]), Reason> {
        let before = self.rest;
        let value = read(self)?;
        let length = before.len() - self.rest.len();
        Ok((value, before.get(..length).unwrap_or_default()))
    }
}
