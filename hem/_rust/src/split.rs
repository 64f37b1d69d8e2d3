//! Rows of a file: a CBOR sequence (RFC 8742) whose byte strings each wrap one message. A file may come in pieces.

use crate::cbor::{BYTES, MAX_MESSAGE, head, length_of_item};
use crate::reason::Reason;

/// First byte of a bare message: tag 18.
const SIGN1: u8 = 0xD2;
/// Most bytes that are looked at to find the end of a bare message.
pub const MOST: usize = 1 << 20;
/// Most bytes of a row: of a longer one these are enough to refuse it.
const CUT: usize = MAX_MESSAGE + 1;

/// Rows of a piece of a file.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Split {
    /// Where each row starts and ends.
    pub rows: Vec<(usize, usize)>,
    /// Why the last row is the undivided rest of the file, if it is.
    pub reason: Reason,
    /// Where the next row starts. Behind the end of the piece: so many bytes that follow belong to a row that is cut.
    pub next: usize,
}

/// Returns at most `limit` rows of `data` from `from` on; `last` if no more bytes of the file follow `data`.
///
/// A damaged item ends the splitting: where the next one would start is a guess, and a guess could let one sender hide
/// another's rows. All that is left becomes one last row, which is counted and refused. Of a row, or a rest, of more
/// bytes than a message may have the first ones stand for it. So the rows of a file are the same in any pieces; where a
/// piece ends too early to tell, its rows end, and the next piece has to begin at `next` and have `MOST` bytes.
#[must_use]
pub fn split(data: &[u8], from: usize, limit: usize, last: bool) -> Split {
    let (mut rows, mut at) = (Vec::new(), from);
    while at < data.len() && rows.len() < limit {
        let rest = data.get(at..).unwrap_or_default();
        match item(rest) {
            Ok(Item { before, row, length }) => {
                rows.push((at + before, at + before + row));
                at = at.saturating_add(length);
            }
            Err(_) if !last && rest.len() < MOST => break,
            Err(reason) => {
                rows.push((at, at + rest.len().min(CUT)));
                return Split { rows, reason, next: data.len() };
            }
        }
    }
    Split { rows, reason: Reason::Met, next: at }
}

struct Item {
    /// Bytes before the row.
    before: usize,
    /// Bytes of the row that are kept.
    row: usize,
    /// Bytes of it all.
    length: usize,
}

fn item(rest: &[u8]) -> Result<Item, Reason> {
    match rest.first() {
        Some(&SIGN1) => bare(rest),
        Some(first) if first >> 5 == BYTES => wrapped(rest),
        _ => Err(Reason::NotSign1),
    }
}

fn bare(rest: &[u8]) -> Result<Item, Reason> {
    match length_of_item(rest.get(..MOST).unwrap_or(rest)) {
        Ok(length) => Ok(Item { before: 0, row: length.min(CUT), length }),
        Err(Reason::Truncated) if rest.len() >= MOST => Err(Reason::TooLarge),
        Err(reason) => Err(reason),
    }
}

fn wrapped(rest: &[u8]) -> Result<Item, Reason> {
    let (head, before) = head(rest)?;
    let length = usize::try_from(head.value).unwrap_or(usize::MAX);
    let row = length.min(CUT);
    let whole = row <= rest.len().saturating_sub(before);
    if whole { Ok(Item { before, row, length: length.saturating_add(before) }) } else { Err(Reason::Truncated) }
}

#[cfg(test)]
mod tests {
    use super::{CUT, MOST, Reason, Split, split};

    fn whole(data: &[u8]) -> Split {
        split(data, 0, usize::MAX, true)
    }

    fn rows_of(data: &[u8]) -> (Vec<(usize, usize)>, Reason) {
        let Split { rows, reason, .. } = whole(data);
        (rows, reason)
    }

    #[test]
    fn wrapped_and_bare_rows() {
        assert_eq!(rows_of(b""), (vec![], Reason::Met));
        assert_eq!(rows_of(b"\x42ab\x40\xD2\x80\x41c"), (vec![(1, 3), (4, 4), (4, 6), (7, 8)], Reason::Met));
    }

    #[test]
    fn damage_makes_one_last_row() {
        for (tail, reason) in [
            (&b"\x43ab"[..], Reason::Truncated),
            (b"\x58\x01a\x41b", Reason::NotShortest),
            (b"\x5F\x41a\xFF", Reason::IndefiniteLength),
            (b"\x5C", Reason::BadSimple),
            (b"\x00\x41a", Reason::NotSign1),
            (b"\xD2\x81", Reason::Truncated),
            (b"\x5B\xFF\xFF\xFF\xFF\xFF\xFF\xFF\xFF", Reason::Truncated),
        ] {
            let data = [&b"\x41a"[..], tail].concat();
            assert_eq!(rows_of(&data), (vec![(1, 2), (2, data.len())], reason));
            // A piece that ends like this may go on with more bytes.
            assert_eq!(split(&data, 0, 9, false), Split { rows: vec![(1, 2)], reason: Reason::Met, next: 2 });
        }
    }

    #[test]
    fn a_limit_ends_the_rows_and_the_next_call_goes_on() {
        let data = b"\x41a\x41b\x41c\xFF";
        let (first, second) = (split(data, 0, 2, true), split(data, 4, 2, true));
        assert_eq!(first, Split { rows: vec![(1, 2), (3, 4)], reason: Reason::Met, next: 4 });
        assert_eq!(second, Split { rows: vec![(5, 6), (6, 7)], reason: Reason::NotSign1, next: 7 });
        assert_eq!(split(data, 7, 2, true), Split { rows: vec![], reason: Reason::Met, next: 7 });
    }

    #[test]
    fn rows_that_are_too_long_are_cut_and_passed_over() {
        let head = |length: usize| [&[0x5A][..], &u32::try_from(length).unwrap_or(0).to_be_bytes()].concat();
        let data = [head(2 * MOST), vec![7; 2 * MOST], vec![0x41, 0x61]].concat();
        let end = 5 + 2 * MOST;
        assert_eq!(rows_of(&data), (vec![(5, 5 + CUT), (end + 1, end + 2)], Reason::Met));
        let piece = |size: usize| split(data.get(..size).unwrap_or_default(), 0, 9, false);
        let cut = piece(5 + CUT);
        assert_eq!(cut, Split { rows: vec![(5, 5 + CUT)], reason: Reason::Met, next: end });
        assert_eq!(piece(4 + CUT), Split { rows: vec![], reason: Reason::Met, next: 0 });
        let bare = |length: usize| [&[0xD2][..], &head(length), &vec![7; length]].concat();
        assert_eq!(rows_of(&bare(MOST - 6)), (vec![(0, CUT)], Reason::Met));
        assert_eq!(rows_of(&[bare(MOST - 5), vec![0x40]].concat()), (vec![(0, CUT)], Reason::TooLarge));
        assert_eq!(rows_of(&vec![0xFF; MOST]), (vec![(0, CUT)], Reason::NotSign1));
    }
}
