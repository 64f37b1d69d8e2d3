//! The rule for Ed25519 against RFC 8032, ed25519-dalek and the published edge cases: singly, in batches, and hidden.

mod common;

use common::Numbers;
use curve25519_dalek::constants::EIGHT_TORSION;
use curve25519_dalek::edwards::CompressedEdwardsY;
use ed25519_dalek::{Signature, Signer as _, SigningKey, VerifyingKey};
use hem_core::Reason;
use hem_core::ed25519::{Key, Signed, verify_rows};

fn hex(digits: &str) -> Vec<u8> {
    (0..digits.len()).step_by(2).map(|at| u8::from_str_radix(&digits[at..at + 2], 16).unwrap()).collect()
}

/// A public key, a signature and a message, none of them checked.
#[derive(Clone)]
struct Case {
    key: Vec<u8>,
    signature: Vec<u8>,
    message: Vec<u8>,
}

impl Case {
    fn honest(numbers: &mut Numbers) -> Self {
        let key = SigningKey::from_bytes(&numbers.bytes());
        let message = numbers.bytes::<200>()[..numbers.below(200)].to_vec();
        let signature = key.sign(&message).to_bytes().to_vec();
        Self { key: key.verifying_key().to_bytes().to_vec(), signature, message }
    }

    fn mutated(mut self, numbers: &mut Numbers) -> Self {
        let part = match numbers.below(4) {
            0 => &mut self.key,
            3 if !self.message.is_empty() => &mut self.message,
            _ => &mut self.signature,
        };
        let at = numbers.below(part.len());
        part[at] ^= 1 << numbers.below(8);
        self
    }

    /// The rule by other means: ed25519-dalek's strict verification under a canonical, torsion-free key.
    fn oracle(&self) -> bool {
        let Ok(bytes) = <[u8; 32]>::try_from(&self.key[..]) else { return false };
        let point = CompressedEdwardsY(bytes).decompress();
        let sound = point.is_some_and(|point| point.is_torsion_free() && point.compress().to_bytes() == bytes);
        let (Ok(key), Ok(signature)) = (VerifyingKey::from_bytes(&bytes), Signature::from_slice(&self.signature))
        else {
            return false;
        };
        sound && key.verify_strict(&self.message, &signature).is_ok()
    }
}

/// What the crate says of all `cases` in one call; a key that cannot be enrolled refuses its case.
fn accepted(cases: &[Case]) -> Vec<bool> {
    let keys: Vec<Option<Key>> = cases.iter().map(|case| Key::new(&case.key).ok()).collect();
    let rows: Vec<Signed<'_>> = cases
        .iter()
        .zip(&keys)
        .filter_map(|(case, key)| {
            let message = [&case.message[..], b"", b"", b""];
            key.as_ref().map(|key| Signed { key, signature: &case.signature, message })
        })
        .collect();
    let mut reasons = verify_rows(&rows).into_iter();
    keys.iter().map(|key| key.is_some() && reasons.next() == Some(Reason::Met)).collect()
}

fn singly(cases: &[Case]) -> Vec<bool> {
    cases.iter().flat_map(|case| accepted(std::slice::from_ref(case))).collect()
}

#[test]
fn vectors_of_rfc_8032_section_7_1() {
    let cases = [
        (
            "d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a",
            "",
            "e5564300c360ac729086e2cc806e828a84877f1eb8e5d974d873e065224901555fb8821590a33bacc61e39701cf9b46bd25bf5f0595bbe24655141438e7a100b",
        ),
        (
            "3d4017c3e843895a92b70aa74d1b7ebc9c982ccf2ec4968cc0cd55f12af4660c",
            "72",
            "92a009a9f0d4cab8720e820b5f642540a2b27b5416503f8fb3762223ebdb69da085ac1e43e15996e458f3613d0f11d8c387b2eaeb4302aeeb00d291612bb0c00",
        ),
        (
            "fc51cd8e6218a1a38da47ed00230f0580816ed13ba3303ac5deb911548908025",
            "af82",
            "6291d657deec24024827e69c3abe01a30ce548a284743a445e3680d7db5ac3ac18ff9b538d16f290ae67f760984dc6594a7c15e9716ed28dc027beceea1ec40a",
        ),
    ];
    let cases =
        cases.map(|(key, message, signature)| Case { key: hex(key), signature: hex(signature), message: hex(message) });
    assert_eq!(accepted(&cases), [true; 3]);
    let mut wrong = cases;
    wrong.iter_mut().for_each(|case| case.message.push(0));
    assert_eq!(accepted(&wrong), [false; 3]);
}

#[test]
fn same_answers_as_strict_dalek_on_mutations() {
    let mut numbers = Numbers(8032);
    let cases: Vec<Case> = (0..2_000)
        .map(|row| {
            let case = Case::honest(&mut numbers);
            if row % 3 == 0 { case } else { case.mutated(&mut numbers) }
        })
        .collect();
    let oracle: Vec<bool> = cases.iter().map(Case::oracle).collect();
    assert_eq!(oracle.iter().filter(|&&good| good).count(), 667);
    assert_eq!(accepted(&cases), oracle);
    assert_eq!(singly(&cases), oracle);
}

#[test]
fn s_has_one_encoding() {
    let case = Case::honest(&mut Numbers(1));
    let order = hex("edd3f55c1a631258d69cf7a2def9de1400000000000000000000000000000010");
    let mut carry = 0;
    let mut larger = case.clone();
    for (byte, add) in larger.signature[32..].iter_mut().zip(order) {
        let sum = u16::from(*byte) + u16::from(add) + carry;
        (*byte, carry) = (sum.to_le_bytes()[0], sum >> 8);
    }
    assert_eq!(reason(&case), Reason::Met);
    assert_eq!(reason(&larger), Reason::SignatureMalformed);
}

fn reason(case: &Case) -> Reason {
    let key = Key::new(&case.key).unwrap();
    verify_rows(&[Signed { key: &key, signature: &case.signature, message: [&case.message, b"", b"", b""] }])[0]
}

#[test]
fn malformed_signatures_are_told_from_wrong_ones() {
    let case = Case::honest(&mut Numbers(2));
    let with_r = |r: &[u8; 32]| Case { signature: [&r[..], &case.signature[32..]].concat(), ..case.clone() };
    for point in EIGHT_TORSION {
        assert_eq!(reason(&with_r(&point.compress().to_bytes())), Reason::SignatureMalformed);
    }
    let mut encoding = [0xFF; 32]; // y from p to 2^255 - 1, with either sign
    for (low, high) in (0xED..=0xFF).flat_map(|low| [(low, 0x7F), (low, 0xFF)]) {
        (encoding[0], encoding[31]) = (low, high);
        assert_eq!(reason(&with_r(&encoding)), Reason::SignatureMalformed);
    }
    (encoding[0], encoding[31]) = (0xEB, 0x7F); // p - 2: canonical and of no small order
    assert_eq!(reason(&with_r(&encoding)), Reason::SignatureInvalid);
    for length in [0, 31, 32, 63, 65] {
        let mut signature = case.signature.clone();
        signature.resize(length, 0);
        assert_eq!(reason(&Case { signature, ..case.clone() }), Reason::SignatureMalformed);
    }
}

#[test]
fn weak_and_malformed_keys_are_refused() {
    let honest = SigningKey::from_bytes(&[1; 32]).verifying_key();
    for torsion in EIGHT_TORSION {
        assert_eq!(Key::new(&torsion.compress().to_bytes()).err(), Some(Reason::KeyWeak));
        let mixed = (honest.to_edwards() + torsion).compress().to_bytes();
        let expected = if mixed == honest.to_bytes() { None } else { Some(Reason::KeyWeak) };
        assert_eq!(Key::new(&mixed).err(), expected);
    }
    let mut identity = [0; 32]; // the point (0, 1) under the sign of an x that is zero
    (identity[0], identity[31]) = (1, 0x80);
    assert_eq!(Key::new(&identity).err(), Some(Reason::KeyMalformed));
    let mut large = [0xFF; 32]; // y = p + 1
    (large[0], large[31]) = (0xEE, 0x7F);
    assert_eq!(Key::new(&large).err(), Some(Reason::KeyMalformed));
    let mut off_curve = [0; 32]; // y = 2
    off_curve[0] = 2;
    assert_eq!(Key::new(&off_curve).err(), Some(Reason::KeyMalformed));
    assert_eq!(Key::new(&[1; 31]).err(), Some(Reason::KeyMalformed));
}

fn published() -> Option<Vec<Case>> {
    let Some(folder) = std::env::var_os("HEM_VECTORS") else {
        eprintln!("HEM_VECTORS is not set: the published edge cases are not run");
        return None;
    };
    let path = std::path::Path::new(&folder).join("ed25519/cctv/ed25519vectors.json");
    let text = std::fs::read_to_string(&path).unwrap();
    let list: Vec<serde_json::Value> = serde_json::from_str(&text).unwrap();
    let field = |case: &serde_json::Value, name: &str| case[name].as_str().unwrap().to_owned();
    let case = |case: &serde_json::Value| Case {
        key: hex(&field(case, "key")),
        signature: hex(&field(case, "sig")),
        message: field(case, "msg").into_bytes(),
    };
    Some(list.iter().map(case).collect())
}

#[test]
fn published_edge_cases_have_one_accept_set() {
    let Some(cases) = published() else { return };
    assert_eq!(cases.len(), 914);
    let oracle: Vec<bool> = cases.iter().map(Case::oracle).collect();
    assert_eq!(oracle.iter().filter(|&&good| good).count(), 1);
    assert_eq!(singly(&cases), oracle);
    assert_eq!(accepted(&cases), oracle);
    let mut numbers = Numbers(914);
    for _ in 0..3 {
        // Each edge case at a random place among honest signatures, which must not suffer from it.
        let mut mixed: Vec<(Case, bool)> = cases.iter().cloned().zip(oracle.iter().copied()).collect();
        mixed.extend((0..914).map(|_| (Case::honest(&mut numbers), true)));
        for at in (1..mixed.len()).rev() {
            mixed.swap(at, numbers.below(at + 1));
        }
        let (cases, expected): (Vec<Case>, Vec<bool>) = mixed.into_iter().unzip();
        assert_eq!(accepted(&cases), expected);
    }
}
