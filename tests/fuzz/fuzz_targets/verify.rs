//! Any bytes as a message, as the claims of a chip that signs anything, and as a key: no panic, what does
//! not decode does not verify, and what the chip signed does. Then the same bytes as a script of signatures and of
//! damage to them: both kernels and ed25519-dalek's `verify_strict` agree on every row of one call.
#![no_main]

use std::sync::LazyLock;

use ed25519_dalek::{Signature, Signer as _, SigningKey, VerifyingKey};
use hem_core::ed25519::{
    Key, Mode, Signed, verify_rows, verify_rows_in, verify_rows_portable, verify_rows_portable_in,
};
use hem_core::{KeyTable, Reason, Spans, scan, verify};
use libfuzzer_sys::fuzz_target;

const KID: [u8; 16] = [7; 16];
const UEID: [u8; 17] = [1; 17];

static KEY: LazyLock<SigningKey> = LazyLock::new(|| SigningKey::from_bytes(&[9; 32]));
static TABLE: LazyLock<KeyTable> = LazyLock::new(|| {
    let mut table = KeyTable::default();
    assert_eq!(table.enroll(-8, KEY.verifying_key().as_bytes(), KID, UEID), Reason::Met);
    table
});

fn bstr(content: &[u8]) -> Vec<u8> {
    let length = u16::try_from(content.len()).expect("shorter than a message may be").to_be_bytes();
    let head = match content.len() {
        0..24 => vec![0x40 | length[1]],
        24..256 => vec![0x58, length[1]],
        _ => vec![0x59, length[0], length[1]],
    };
    [&head[..], content].concat()
}

/// `payload` under a right header and a right signature.
fn signed(payload: &[u8]) -> Vec<u8> {
    let header = [b"\xA3\x01\x27\x04\x50".as_slice(), &KID, b"\x10\x19\x01\x07"].concat();
    let parts = [b"\x84\x6ASignature1".to_vec(), bstr(&header), vec![0x40], bstr(payload)];
    let signature = KEY.sign(&parts.concat()).to_bytes();
    [b"\xD2\x84".to_vec(), bstr(&header), vec![0xA0], bstr(payload), bstr(&signature)].concat()
}

/// Rows of a script: more than two groups of lanes.
const MOST_ROWS: usize = 11;
/// The order of the base point, least byte first.
const L: [u8; 32] = [
    0xED, 0xD3, 0xF5, 0x5C, 0x1A, 0x63, 0x12, 0x58, 0xD6, 0x9C, 0xF7, 0xA2, 0xDE, 0xF9, 0xDE, 0x14, 0, 0, 0, 0, 0, 0,
    0, 0, 0, 0, 0, 0, 0, 0, 0, 0x10,
];

static SIGNERS: LazyLock<[SigningKey; 3]> = LazyLock::new(|| [1, 2, 3].map(|seed| SigningKey::from_bytes(&[seed; 32])));
static KEYS: LazyLock<[Key; 3]> = LazyLock::new(|| {
    std::array::from_fn(|at| Key::new(SIGNERS[at].verifying_key().as_bytes()).expect("an honest key is a good key"))
});

/// `number` + L, where 32 bytes hold it.
fn plus_order(number: &mut [u8]) {
    let mut carry = 0;
    for (byte, order) in number.iter_mut().zip(L) {
        carry += u16::from(*byte) + u16::from(order);
        *byte = carry.to_le_bytes()[0];
        carry >>= 8;
    }
}

struct Scripted {
    signer: usize,
    message: Vec<u8>,
    signature: [u8; 64],
}

/// One row from six bytes: whose it is, how long, and what happens to the signature or to the message.
fn scripted(step: &[u8; 6], rest: &[u8]) -> Scripted {
    let [who, high, low, what, place, mask] = *step;
    let signer = usize::from(who) % SIGNERS.len();
    let length = usize::from(u16::from_be_bytes([high, low])) % 1_024;
    let mut message: Vec<u8> = rest.iter().copied().chain(std::iter::repeat(who)).take(length).collect();
    let mut signature = SIGNERS[signer].sign(&message).to_bytes();
    match what % 8 {
        0 => {}
        1 => signature[usize::from(place) % 64] ^= mask,
        2 => plus_order(&mut signature[32..]),
        3 => signature[..32].fill(mask),
        4 => signature[32..].fill(mask),
        5 => (0..32).for_each(|at| signature[at] = rest.get(at).copied().unwrap_or(mask)),
        6 => message.iter_mut().take(1).for_each(|byte| *byte ^= mask),
        _ => return Scripted { signer: (signer + 1) % SIGNERS.len(), message, signature },
    }
    Scripted { signer, message, signature }
}

fn agree(rows: &[Scripted]) {
    let signed: Vec<Signed<'_>> = rows
        .iter()
        .map(|row| {
            // The message in two pieces, as its header and its payload come.
            let (front, back) = row.message.split_at(row.message.len() / 3);
            Signed { key: &KEYS[row.signer], signature: &row.signature, message: [front, b"", back, b""] }
        })
        .collect();
    let verdicts = verify_rows(&signed);
    assert_eq!(verdicts, verify_rows_portable(&signed));
    let cofactored = verify_rows_in(Mode::Cofactored, &signed);
    assert_eq!(cofactored, verify_rows_portable_in(Mode::Cofactored, &signed));
    // The second rule takes all that the first one takes.
    assert!(verdicts.iter().zip(cofactored).all(|(&exact, other)| exact != Reason::Met || other == Reason::Met));
    for (row, verdict) in rows.iter().zip(verdicts) {
        let strict = SIGNERS[row.signer].verifying_key().verify_strict(&row.message, &Signature::from(row.signature));
        assert_eq!(verdict == Reason::Met, strict.is_ok());
    }
}

/// A key is taken only if dalek takes its bytes too and does not call it weak.
fn key_agrees(bytes: &[u8; 32]) {
    if Key::new(bytes).is_ok() {
        assert!(VerifyingKey::from_bytes(bytes).is_ok_and(|key| !key.is_weak()));
    }
}

fuzz_target!(|data: &[u8]| {
    let payload = &data[..data.len().min(60_000)];
    let forged = [signed(b"\xA0"), data.to_vec()].concat();
    let rows = [data.to_vec(), signed(payload), forged];
    let mut at = 0;
    let spans: Vec<(usize, usize)> = rows
        .iter()
        .map(|row| {
            (at, {
                at += row.len();
                at
            })
        })
        .collect();
    let data_of_rows = rows.concat();
    let spans = Spans::new(&data_of_rows, spans).expect("rows lie inside their own buffer");
    let decoded = scan(&spans);
    let columns = verify(&TABLE, &spans, Mode::Exact, 1).expect("one thread is there already");
    for (&verdict, &decoding) in columns.reasons().iter().zip(decoded.reasons()) {
        assert!(decoding == 0 || verdict == decoding);
    }
    // A signature by the enrolled key over whatever decodes is good, for this chip's UEID only.
    if decoded.reasons()[1] == 0 {
        assert!([Reason::Met.code(), Reason::UeidMismatch.code()].contains(&columns.reasons()[1]));
    }
    let mut table = KeyTable::default();
    for algorithm in [-8, -7, -35, -48, -49, -50] {
        table.enroll(algorithm, data, KID, UEID);
    }
    assert!(table.len() <= 1);
    let (steps, _) = data.as_chunks::<6>();
    let rows: Vec<Scripted> =
        steps.iter().take(MOST_ROWS).enumerate().map(|(at, step)| scripted(step, &data[6 * (at + 1)..])).collect();
    agree(&rows);
    data.first_chunk().into_iter().for_each(key_agrees);
});
