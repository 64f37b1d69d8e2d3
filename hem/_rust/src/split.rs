//! Rows of a file: a CBOR sequence (RFC 8742) whose byte strings each wrap one message.

use crate::cbor::{BYTES, head, length_of_item};
use crate::reason::Reason;

/// First byte of a bare message: tag 18.
const SIGN1: u8 = 0xD2;

/// Returns where each row starts and ends, and why the last one is not whole, if it is not.
///
/// A damaged item ends the splitting: where the next one would start is a guess, and a guess could let one sender hide
/// another's rows. All that is left becomes one last row, which is counted and refused.
#[must_use]
pub fn split(data: &[u8]) -> (Vec<(usize, usize)>, Reason) {
    let mut rows = Vec::new();
    let mut at = 0;
    while at < data.len() {
        match item(data.get(at..).unwrap_or_default()) {
            Ok((before, length)) => {
                rows.push((at + before, at + before + length));
                at += before + length;
            }
            Err(reason) => {
                rows.push((at, data.len()));
                return (rows, reason);
            }
        }
    }
    (rows, Reason::Met)
}

/// Returns how many bytes of the item at the start of `rest` come before its row, and the length of the row.
fn item(rest: &[u8]) -> Result<(usize, usize), Reason> {
    match rest.first() {
        Some(&SIGN1) => Ok((0, length_of_item(rest)?)),
        Some(first) if first >> 5 == BYTES => {
            let (head, size) = head(rest)?;
            let length = usize::try_from(head.value).map_err(|_| Reason::Truncated)?;
            let whole = length <= rest.len().saturating_sub(size);
            if whole { Ok((size, length)) } else { Err(Reason::Truncated) }
        }
        _ => Err(Reason::NotSign1),
    }
}

#[cfg(test)]
mod tests {
    use super::{Reason, split};

    #[test]
    fn wrapped_and_bare_rows() {
        assert_eq!(split(b""), (vec![], Reason::Met));
        assert_eq!(split(b"\x42ab\x40\xD2\x80\x41c"), (vec![(1, 3), (4, 4), (4, 6), (7, 8)], Reason::Met));
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
            assert_eq!(split(&data), (vec![(1, 2), (2, data.len())], reason));
        }
    }
}
