//! The envelope: COSE_Sign1 (RFC 9052, section 4.2) as `hem.cddl` narrows it.

use crate::cbor::{MAX_MESSAGE, check};
use crate::cursor::Cursor;
use crate::reason::Reason;
use crate::reason::Reason::{
    BadHeader, NotSign1, TooLarge, TrailingBytes, UnknownAlgorithm, UnprotectedHeader, WrongValue,
};
use crate::signatures::Algorithm;

/// `typ` of evidence, application/eat+cwt (RFC 9782).
const EVIDENCE: u64 = 263;
/// Sizes of the signatures of all algorithms together.
const SIGNATURE: std::ops::RangeInclusive<usize> = 64..=4_627;

/// The keys of the protected header: alg, kid, typ.
const KEYS: [i64; 3] = [1, 4, 16];

/// What a signature covers, in pieces, so that no copy of the message is made to hash it.
pub type Parts<'a> = [&'a [u8]; 4];

/// A decoded envelope. Nothing in it is believed.
#[derive(Clone, Copy, Debug)]
pub struct Sign1<'a> {
    /// `alg` as the header has it.
    pub algorithm: i32,
    /// Key id.
    pub kid: [u8; 16],
    /// The signed claims, not looked at yet.
    pub payload: &'a [u8],
    /// Raw signature.
    pub signature: &'a [u8],
    /// The `Sig_structure` with empty `external_aad`.
    pub signed: Parts<'a>,
}

/// Decodes one row down to its payload.
///
/// # Errors
/// The first fault: of the whole message as an item, its shape, the protected header, the signature size.
pub fn open(row: &[u8]) -> Result<Sign1<'_>, Reason> {
    if row.len() > MAX_MESSAGE {
        return Err(TooLarge);
    }
    // What has the shape is one item without a fault, so it needs no walk of its own.
    let envelope = shape(row).map_err(|reason| check(row).err().unwrap_or(reason))?;
    let (algorithm, kid) = plain(envelope.protected).map_or_else(|| header(envelope.protected), Ok)?;
    if !SIGNATURE.contains(&envelope.signature.len()) {
        return Err(WrongValue);
    }
    // The heads of both strings are reused as they stand: no head but the shortest was read, which is the one that a
    // deterministic Sig_structure has.
    let signed = [b"\x84\x6ASignature1".as_slice(), envelope.protected_item, b"\x40".as_slice(), envelope.payload_item];
    Ok(Sign1 { algorithm, kid, payload: envelope.payload, signature: envelope.signature, signed })
}

struct Envelope<'a> {
    protected: &'a [u8],
    protected_item: &'a [u8],
    payload: &'a [u8],
    payload_item: &'a [u8],
    signature: &'a [u8],
}

fn shape(row: &[u8]) -> Result<Envelope<'_>, Reason> {
    let inside = row.strip_prefix(b"\xD2\x84").ok_or(NotSign1)?;
    let mut cursor = Cursor::new(inside);
    let envelope = parts(&mut cursor).map_err(|_| NotSign1)?;
    if !cursor.rest().is_empty() {
        return Err(TrailingBytes);
    }
    if envelope.1 != 0 { Err(UnprotectedHeader) } else { Ok(envelope.0) }
}

/// Reads the four parts, and how many pairs the unprotected header has. With one pair or more the rest is read
/// past them, so that a wrong type behind them is still reported as the shape it breaks.
fn parts<'a>(cursor: &mut Cursor<'a>) -> Result<(Envelope<'a>, u64), Reason> {
    let any = 0..=u64::MAX;
    let (protected, protected_item) = cursor.raw(|cursor| cursor.bytes(any.clone()))?;
    let unprotected = cursor.map()?;
    (0..unprotected.saturating_mul(2)).try_for_each(|_| cursor.skip())?;
    let (payload, payload_item) = cursor.raw(|cursor| cursor.bytes(any.clone()))?;
    let signature = cursor.bytes(any)?;
    Ok((Envelope { protected, protected_item, payload, payload_item, signature }, unprotected))
}

/// Reads alg and kid out of the one form that a good header has: only alg has more than one size.
fn plain(protected: &[u8]) -> Option<(i32, [u8; 16])> {
    let rest = protected.strip_prefix(b"\xA3\x01")?.strip_suffix(b"\x10\x19\x01\x07")?;
    let (rest, kid) = rest.split_last_chunk()?;
    let mut cursor = Cursor::new(rest.strip_suffix(b"\x04\x50")?);
    let algorithm = i32::try_from(cursor.integer().ok()??).ok()?;
    let known = cursor.rest().is_empty() && Algorithm::from_cose(algorithm).is_some();
    known.then_some((algorithm, *kid))
}

/// Reads alg and kid of any header, or says what is wrong with it. All three keys are looked at before any value, and values in the order of keys.
fn header(protected: &[u8]) -> Result<(i32, [u8; 16]), Reason> {
    check(protected)?;
    let mut cursor = Cursor::new(protected);
    if !has_our_keys(cursor).unwrap_or(false) {
        return Err(BadHeader);
    }
    cursor.map()?;
    let number = value(&mut cursor, Cursor::integer)?.and_then(|number| i32::try_from(number).ok());
    let algorithm = number.filter(|&number| Algorithm::from_cose(number).is_some()).ok_or(UnknownAlgorithm)?;
    let kid = value(&mut cursor, Cursor::fixed)?;
    match value(&mut cursor, Cursor::uint)? {
        EVIDENCE => Ok((algorithm, kid)),
        _ => Err(BadHeader),
    }
}

fn has_our_keys(mut cursor: Cursor<'_>) -> Result<bool, Reason> {
    let mut same = cursor.map()? == KEYS.len() as u64;
    for key in KEYS {
        same = same && cursor.integer()? == Some(key);
        cursor.skip()?;
    }
    Ok(same)
}

fn value<'a, T>(cursor: &mut Cursor<'a>, read: impl FnOnce(&mut Cursor<'a>) -> Result<T, Reason>) -> Result<T, Reason> {
    cursor.skip()?;
    read(cursor).map_err(|_| BadHeader)
}

#[cfg(test)]
mod tests {
    use super::{Reason, header, open};

    /// A message whose header is `header`; its signature is 64 zero bytes.
    fn message(header: &[u8]) -> Vec<u8> {
        let head = [0xD2, 0x84, 0x58, u8::try_from(header.len()).unwrap_or(0)];
        let signature = [&[0x58, 64][..], &[0; 64]].concat();
        [&head[..], header, &[0xA0, 0x41, 0xA0], &signature].concat()
    }

    fn with_kid(start: &[u8], end: &[u8]) -> Vec<u8> {
        [start, &[0x04, 0x50], &[7; 16], end].concat()
    }

    #[test]
    fn a_good_envelope_opens() {
        let row = message(&with_kid(b"\xA3\x01\x27", b"\x10\x19\x01\x07"));
        let sign1 = open(&row).ok();
        assert_eq!(sign1.map(|sign1| (sign1.algorithm, sign1.kid)), Some((-8, [7; 16])));
        let signed = sign1.map(|sign1| sign1.signed.concat()).unwrap_or_default();
        assert_eq!(signed.get(..14), Some(&b"\x84jSignature1\x58\x19"[..]));
        assert!(signed.ends_with(&[0x40, 0x41, 0xA0]));
    }

    #[test]
    fn headers_are_refused_in_order() {
        let refused = |start: &[u8], end: &[u8]| header(&with_kid(start, end)).err();
        assert_eq!(refused(b"\xA3\x01\x38\x63", b"\x11\x00"), Some(Reason::BadHeader));
        assert_eq!(refused(b"\xA3\x01\x38\x63", b"\x10\x00"), Some(Reason::UnknownAlgorithm));
        assert_eq!(refused(b"\xA3\x01\x61a", b"\x10\x19\x01\x07"), Some(Reason::BadHeader));
        assert_eq!(refused(b"\xA3\x01\x27", b"\x10\x19\x01\x08"), Some(Reason::BadHeader));
        assert_eq!(refused(b"\xA2\x01\x27", b""), Some(Reason::BadHeader));
        assert_eq!(header(b"\x01").err(), Some(Reason::BadHeader));
        assert_eq!(header(b"").err(), Some(Reason::Empty));
    }

    #[test]
    fn shapes_are_refused() {
        assert_eq!(open(b"\xD1\x80").err(), Some(Reason::WrongType));
        assert_eq!(open(b"\xD2\x80").err(), Some(Reason::NotSign1));
        assert_eq!(open(b"\x84\x40\xA0\x40\x40").err(), Some(Reason::NotSign1));
        assert_eq!(open(b"\xD2\x84\x40\xA0\x40\x00").err(), Some(Reason::NotSign1));
        assert_eq!(open(b"\xD2\x84\x40\xA1\x01\x01\x40\x00").err(), Some(Reason::NotSign1));
        assert_eq!(open(b"\xD2\x84\x40\xA1\x01\x01\x40\x40").err(), Some(Reason::UnprotectedHeader));
    }
}
