//! Any bytes as a message, as the claims of a chip that signs anything, and as a key: no panic, what does
//! not decode does not verify, and what the chip signed does.
#![no_main]

use std::sync::LazyLock;

use ed25519_dalek::{Signer as _, SigningKey};
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
    let columns = verify(&TABLE, &spans, 1).expect("one thread is there already");
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
});
