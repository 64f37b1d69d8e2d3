//! The claims of evidence (`hem.cddl`, rule `evidence`): one table row per key, one small reader per shape.

use crate::cbor::check;
use crate::columns::{Row, Texts};
use crate::cursor::Cursor;
use crate::reason::Reason;
use crate::reason::Reason::{MissingKey, TrailingBytes, UnknownKey, UnsortedKeys, WrongProfile, WrongValue};

const PROFILE: &[u8] = b"tag:hem.example,2026:eat#1";
const NAME: std::ops::RangeInclusive<u64> = 1..=64;
const VERSION: std::ops::RangeInclusive<u64> = 1..=32;
/// Required keys of a location: latitude and longitude, as a mask over bits 1 and 2.
const PLACE: u8 = 0b110;

type Read = Result<(), Reason>;

/// The values of one row while it is read: fixed sizes by value, variable ones still in the message.
#[derive(Clone, Copy, Debug, Default)]
pub struct Claims<'a> {
    /// Values of fixed size.
    pub row: Row,
    /// Values of variable size.
    pub texts: Texts<'a>,
}

struct Field {
    key: i64,
    required: bool,
    read: for<'a> fn(&mut Cursor<'a>, &mut Claims<'a>) -> Read,
}

const fn must(key: i64, read: for<'a> fn(&mut Cursor<'a>, &mut Claims<'a>) -> Read) -> Field {
    Field { key, required: true, read }
}

const fn may(key: i64, read: for<'a> fn(&mut Cursor<'a>, &mut Claims<'a>) -> Read) -> Field {
    Field { key, required: false, read }
}

/// Every key of evidence, in the order in which a deterministic map has them.
static FIELDS: [Field; 23] = [
    must(10, |cursor, claims| set(&mut claims.row.nonce, cursor.fixed())),
    must(256, |cursor, claims| set(&mut claims.row.ueid, ueid(cursor))),
    must(258, |cursor, claims| set(&mut claims.row.oemid, cursor.fixed())),
    must(259, |cursor, claims| set(&mut claims.texts.hwmodel, cursor.bytes(VERSION))),
    may(260, |cursor, claims| set(&mut claims.texts.hwversion, version(cursor))),
    must(261, |cursor, claims| set(&mut claims.row.uptime, cursor.uint())),
    may(262, |cursor, claims| set(&mut claims.row.oemboot, cursor.boolean().map(|verified| 1 + u8::from(verified)))),
    must(263, debug_status),
    may(264, location),
    must(265, profile),
    must(267, |cursor, claims| set(&mut claims.row.bootcount, cursor.uint())),
    must(268, |cursor, claims| set(&mut claims.row.bootseed, cursor.fixed())),
    must(270, |cursor, claims| set(&mut claims.texts.swname, cursor.text(NAME))),
    must(271, |cursor, claims| set(&mut claims.texts.swversion, version(cursor))),
    must(-80_001, |cursor, claims| set(&mut claims.row.sequence, cursor.uint())),
    must(-80_002, |cursor, claims| set(&mut claims.row.previous, cursor.fixed())),
    must(-80_003, |cursor, claims| set(&mut claims.texts.components, span(cursor, components))),
    must(-80_004, meter),
    may(-80_005, grant),
    may(-80_006, |cursor, claims| set(&mut claims.texts.ranging, span(cursor, ranging))),
    may(-80_007, |cursor, claims| set(&mut claims.texts.peers, span(cursor, peers))),
    may(-80_008, |cursor, claims| set(&mut claims.texts.purpose, cursor.text(NAME))),
    may(-80_009, |cursor, claims| set(&mut claims.row.tamper, cursor.uint())),
];

/// Reads the claims of `payload`.
///
/// # Errors
/// The first fault of the payload as an item; then the first key or value that the rule does not allow, in the order
/// of bytes; then `MissingKey`.
pub fn read(payload: &[u8]) -> Result<Claims<'_>, Reason> {
    // What the rule allows is one item without a fault and far within every budget, so it needs no walk of its own.
    rule(payload).map_err(|reason| check(payload).err().unwrap_or(reason))
}

fn rule(payload: &[u8]) -> Result<Claims<'_>, Reason> {
    let mut claims = Claims::default();
    (claims.row.latitude, claims.row.longitude, claims.row.accuracy) = (f64::NAN, f64::NAN, f64::NAN);
    let mut cursor = Cursor::new(payload);
    // Only ever forward: a key that does not rise is not found.
    let mut fields = FIELDS.iter();
    let mut absent = false;
    for _ in 0..cursor.map()? {
        let key = key(&mut cursor)?;
        let field = fields.find(|field| {
            absent |= field.required && field.key != key;
            field.key == key
        });
        (field.ok_or(UnknownKey)?.read)(&mut cursor, &mut claims)?;
    }
    if !cursor.rest().is_empty() {
        return Err(TrailingBytes);
    }
    if absent || fields.any(|field| field.required) { Err(MissingKey) } else { Ok(claims) }
}

fn key(cursor: &mut Cursor<'_>) -> Result<i64, Reason> {
    cursor.integer().ok().flatten().ok_or(UnknownKey)
}

fn set<T>(slot: &mut T, value: Result<T, Reason>) -> Read {
    *slot = value?;
    Ok(())
}

/// Returns the bytes that `read` passes over, heads included.
fn span<'a>(cursor: &mut Cursor<'a>, read: impl FnOnce(&mut Cursor<'a>) -> Read) -> Result<&'a [u8], Reason> {
    cursor.raw(read).map(|((), bytes)| bytes)
}

/// Reads a UEID of type RAND with 16 random bytes (RFC 9711, section 4.2.1).
fn ueid(cursor: &mut Cursor<'_>) -> Result<[u8; 17], Reason> {
    let ueid = cursor.fixed()?;
    if ueid.first() == Some(&1) { Ok(ueid) } else { Err(WrongValue) }
}

fn version<'a>(cursor: &mut Cursor<'a>) -> Result<&'a [u8], Reason> {
    cursor.array(1..=1)?;
    cursor.text(VERSION)
}

fn debug_status(cursor: &mut Cursor<'_>, claims: &mut Claims<'_>) -> Read {
    let status = cursor.uint()?;
    claims.row.dbgstat = u8::try_from(status).ok().filter(|&status| status <= 4).ok_or(WrongValue)?;
    Ok(())
}

/// Reads a location (RFC 9711, section 4.2.10): only floats, so that one place has one encoding.
fn location(cursor: &mut Cursor<'_>, claims: &mut Claims<'_>) -> Read {
    let mut seen = 0_u8;
    for _ in 0..cursor.map()? {
        let key = key(cursor)?;
        let (slot, range) = match key {
            1 => (&mut claims.row.latitude, -90.0..=90.0),
            2 => (&mut claims.row.longitude, -180.0..=180.0),
            4 => (&mut claims.row.accuracy, 0.0..=21_000_000.0),
            _ => return Err(UnknownKey),
        };
        set(slot, cursor.float(range))?;
        if seen >> key != 0 {
            return Err(UnsortedKeys);
        }
        seen |= 1 << key;
    }
    if seen & PLACE == PLACE { Ok(()) } else { Err(MissingKey) }
}

fn profile(cursor: &mut Cursor<'_>, _: &mut Claims<'_>) -> Read {
    if cursor.text(0..=u64::MAX)? == PROFILE { Ok(()) } else { Err(WrongProfile) }
}

fn components(cursor: &mut Cursor<'_>) -> Read {
    (0..cursor.array(1..=16)?).try_for_each(|_| {
        cursor.array(3..=3)?;
        cursor.text(NAME)?;
        cursor.bytes(32..=32)?;
        cursor.uint().map(|_| ())
    })
}

fn meter(cursor: &mut Cursor<'_>, claims: &mut Claims<'_>) -> Read {
    cursor.array(4..=4)?;
    let row = &mut claims.row;
    [&mut row.cycles, &mut row.mflop, &mut row.joules, &mut row.link_kib]
        .into_iter()
        .try_for_each(|slot| set(slot, cursor.uint()))
}

fn grant(cursor: &mut Cursor<'_>, claims: &mut Claims<'_>) -> Read {
    cursor.array(5..=5)?;
    let row = &mut claims.row;
    row.has_grant = true;
    set(&mut row.grant_license, cursor.fixed())?;
    set(&mut row.grant_sequence, cursor.uint())?;
    set(&mut row.grant_digest, cursor.fixed())?;
    set(&mut row.grant_spent, cursor.uint())?;
    set(&mut row.grant_remaining, cursor.uint())
}

fn ranging(cursor: &mut Cursor<'_>) -> Read {
    cursor.array(2..=2)?;
    cursor.bytes(32..=32)?;
    rising(cursor, 1..=32, |cursor| {
        cursor.array(2..=2)?;
        let landmark: [u8; 16] = cursor.fixed()?;
        cursor.bytes(32..=32).map(|_| landmark)
    })
}

fn peers(cursor: &mut Cursor<'_>) -> Read {
    rising(cursor, 0..=64, ueid)
}

/// Reads an array that rises. All is read before the order is looked at, so a wrong item wins over a wrong order.
fn rising<'a, T: PartialOrd>(
    cursor: &mut Cursor<'a>,
    count: std::ops::RangeInclusive<u64>,
    read: impl Fn(&mut Cursor<'a>) -> Result<T, Reason>,
) -> Read {
    let mut last: Option<T> = None;
    let mut rising = true;
    for _ in 0..cursor.array(count)? {
        let item = read(cursor)?;
        rising &= last.is_none_or(|last| last < item);
        last = Some(item);
    }
    if rising { Ok(()) } else { Err(WrongValue) }
}

#[cfg(test)]
mod tests {
    use super::FIELDS;

    #[test]
    fn fields_stand_in_the_order_of_their_encodings() {
        // A number below zero is encoded behind all others, and by how far it is below.
        let place = |key: i64| (key < 0, if key < 0 { -1 - key } else { key });
        assert!(FIELDS.is_sorted_by(|one, other| place(one.key) < place(other.key)));
    }
}
