//! Evidence made from nothing: a small CBOR writer, chips with keys from a seed, and numbers from a seed.
#![allow(dead_code)] // each test file uses its part

use ed25519_dalek::{Signer as _, SigningKey};
use sha2::{Digest as _, Sha256};

/// `SplitMix64`: seeded, so that a failure can be repeated.
pub struct Numbers(pub u64);

impl Numbers {
    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mixed = (self.0 ^ self.0 >> 30).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        let mixed = (mixed ^ mixed >> 27).wrapping_mul(0x94D0_49BB_1331_11EB);
        mixed ^ mixed >> 31
    }

    pub fn below(&mut self, end: usize) -> usize {
        usize::try_from(self.next() % end as u64).unwrap()
    }

    pub fn bytes<const N: usize>(&mut self) -> [u8; N] {
        std::array::from_fn(|_| self.next().to_le_bytes()[0])
    }
}

/// A head of major type `major`, as short as `value` allows.
pub fn head(major: u8, value: u64) -> Vec<u8> {
    let start = major << 5;
    let bytes = value.to_be_bytes();
    match value {
        0..24 => vec![start | bytes[7]],
        24..0x100 => vec![start | 24, bytes[7]],
        0x100..0x1_0000 => [&[start | 25], &bytes[6..]].concat(),
        0x1_0000..0x1_0000_0000 => [&[start | 26], &bytes[4..]].concat(),
        _ => [&[start | 27], &bytes[..]].concat(),
    }
}

pub fn int(value: i64) -> Vec<u8> {
    if value < 0 { head(1, u64::try_from(-1 - value).unwrap()) } else { head(0, u64::try_from(value).unwrap()) }
}

pub fn bytes(content: &[u8]) -> Vec<u8> {
    [head(2, content.len() as u64), content.to_vec()].concat()
}

pub fn text(content: &str) -> Vec<u8> {
    [head(3, content.len() as u64), content.as_bytes().to_vec()].concat()
}

pub fn array(items: &[Vec<u8>]) -> Vec<u8> {
    [head(4, items.len() as u64), items.concat()].concat()
}

/// A map of pairs that stand in the right order already.
pub fn map(pairs: &[(i64, Vec<u8>)]) -> Vec<u8> {
    let body: Vec<u8> = pairs.iter().flat_map(|(key, value)| [int(*key), value.clone()].concat()).collect();
    [head(5, pairs.len() as u64), body].concat()
}

/// The claims of a good piece of evidence with every key; tests leave out or replace some.
pub fn claims(ueid: &[u8], nonce: &[u8]) -> Vec<(i64, Vec<u8>)> {
    let component = |name| array(&[text(name), bytes(&[7; 32]), int(3)]);
    let peers = [[&[1][..], &[2; 16]].concat(), [&[1][..], &[3; 16]].concat()];
    vec![
        (10, bytes(nonce)),
        (256, bytes(ueid)),
        (258, bytes(b"abc")),
        (259, bytes(b"model")),
        (260, array(&[text("r1")])),
        (261, int(1_000)),
        (263, int(1)),
        (264, map(&[(1, b"\xF9\x4D\x00".to_vec()), (2, b"\xFB\x3F\xF1\x99\x99\x99\x99\x99\x9A".to_vec())])),
        (265, text("tag:hem.example,2026:eat#1")),
        (267, int(9)),
        (268, bytes(&[5; 32])),
        (270, text("firmware")),
        (271, array(&[text("1.0")])),
        (-80_001, int(1)),
        (-80_002, bytes(&[0; 32])),
        (-80_003, array(&[component("rom"), component("runtime")])),
        (-80_004, array(&[head(0, u64::MAX), int(2), int(3), int(4)])),
        (-80_005, array(&[bytes(&[8; 16]), int(1), bytes(&[9; 32]), int(10), int(11)])),
        (-80_006, array(&[bytes(&[1; 32]), array(&[array(&[bytes(&[3; 16]), bytes(&[2; 32])])])])),
        (-80_007, array(&peers.map(|peer| bytes(&peer)))),
        (-80_008, text("training")),
        (-80_009, int(4)),
    ]
}

/// A chip with an Ed25519 key, all of it from one seed.
pub struct Chip {
    pub key: SigningKey,
    pub kid: [u8; 16],
    pub ueid: [u8; 17],
}

impl Chip {
    pub fn new(seed: u8) -> Self {
        let key = SigningKey::from_bytes(&[seed; 32]);
        let kid = Sha256::digest(key.verifying_key().as_bytes())[..16].try_into().unwrap();
        let mut ueid = [seed; 17];
        ueid[0] = 1;
        Self { key, kid, ueid }
    }

    pub fn public(&self) -> [u8; 32] {
        self.key.verifying_key().to_bytes()
    }

    /// Signs `payload` under a header with `algorithm`.
    pub fn sign(&self, algorithm: i64, payload: &[u8]) -> Vec<u8> {
        let header = map(&[(1, int(algorithm)), (4, bytes(&self.kid)), (16, int(263))]);
        let signed = array(&[text("Signature1"), bytes(&header), bytes(b""), bytes(payload)]);
        let signature = self.key.sign(&signed).to_bytes();
        [vec![0xD2], array(&[bytes(&header), map(&[]), bytes(payload), bytes(&signature)])].concat()
    }

    pub fn evidence(&self, nonce: &[u8; 32]) -> Vec<u8> {
        self.sign(-19, &map(&claims(&self.ueid, nonce)))
    }
}

/// Rows end to end, and where each one is.
pub fn join(rows: &[Vec<u8>]) -> (Vec<u8>, Vec<(usize, usize)>) {
    let mut at = 0;
    let spans = rows.iter().map(|row| {
        at += row.len();
        (at - row.len(), at)
    });
    (rows.concat(), spans.collect())
}
