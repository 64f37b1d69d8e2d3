//! Enrollment in lanes against ed25519-dalek, one key at a time: honest keys, and all that is wrong in some way.

mod common;

use std::sync::Arc;

use common::Numbers;
use curve25519_dalek::constants::EIGHT_TORSION;
use curve25519_dalek::edwards::{CompressedEdwardsY, EdwardsPoint};
use curve25519_dalek::scalar::Scalar;
use ed25519_dalek::{Signer as _, SigningKey};
use hem_core::Reason;
use hem_core::Reason::{KeyMalformed, KeyWeak, Met};
use hem_core::ed25519::{Budget, Key, Signed, verify_rows, verify_rows_portable};

/// The rule by other means.
fn oracle(bytes: &[u8; 32]) -> Reason {
    match CompressedEdwardsY(*bytes).decompress() {
        None => KeyMalformed,
        Some(point) if point.compress().to_bytes() != *bytes => KeyMalformed,
        Some(point) if point.is_small_order() || !point.is_torsion_free() => KeyWeak,
        Some(_) => Met,
    }
}

fn enrolled(keys: &[[u8; 32]]) -> Vec<Reason> {
    let budget = Arc::new(Budget::default());
    Key::new_many(keys, &budget).into_iter().map(|key| key.err().unwrap_or_default()).collect()
}

fn honest(numbers: &mut Numbers) -> EdwardsPoint {
    EdwardsPoint::mul_base(&Scalar::from_bytes_mod_order(numbers.bytes()))
}

/// Encodings whose y is from 0 to 30, from p - 30 to 2^255 - 1, with both signs.
fn at_the_edges() -> Vec<[u8; 32]> {
    let mut edges = Vec::new();
    for low in 0..=30_u8 {
        let mut small = [0; 32];
        small[0] = low;
        let mut large = [0xFF; 32];
        (large[0], large[31]) = (0xFF - low, 0x7F);
        let mut under = large;
        under[0] = 0xED - low;
        edges.extend([small, large, under]);
    }
    let signed = edges.clone().into_iter().map(|mut edge| {
        edge[31] |= 0x80;
        edge
    });
    edges.extend(signed);
    edges
}

#[test]
fn every_kind_of_encoding_in_every_lane() {
    let mut numbers = Numbers(25_519);
    let point = honest(&mut numbers);
    let mut kinds: Vec<[u8; 32]> = EIGHT_TORSION.iter().map(|weak| weak.compress().to_bytes()).collect();
    kinds.extend(EIGHT_TORSION.iter().map(|weak| (point + weak).compress().to_bytes()));
    kinds.extend(at_the_edges());
    kinds.extend((0..9).map(|_| numbers.bytes::<32>()));
    let neighbors: Vec<[u8; 32]> = (0..3).map(|_| honest(&mut numbers).compress().to_bytes()).collect();
    for kind in kinds {
        for lane in 0..4 {
            let mut four = neighbors.clone();
            four.insert(lane, kind);
            let expected: Vec<Reason> = four.iter().map(oracle).collect();
            assert_eq!(enrolled(&four), expected, "{kind:02x?} in lane {lane}");
            assert_eq!(
                expected.iter().filter(|&&reason| reason == Met).count(),
                3 + usize::from(expected[lane] == Met)
            );
        }
    }
}

#[test]
fn ten_thousand_encodings_as_dalek_has_them() {
    let mut numbers = Numbers(10_000);
    let keys: Vec<[u8; 32]> = (0..10_000)
        .map(|_| match numbers.below(4) {
            0 => numbers.bytes(),
            1 => (honest(&mut numbers) + EIGHT_TORSION[numbers.below(8)]).compress().to_bytes(),
            2 => {
                let mut key = honest(&mut numbers).compress().to_bytes();
                key[numbers.below(32)] ^= 1 << numbers.below(8);
                key
            }
            _ => honest(&mut numbers).compress().to_bytes(),
        })
        .collect();
    let expected: Vec<Reason> = keys.iter().map(oracle).collect();
    assert_eq!(enrolled(&keys), expected);
    for reason in [Met, KeyMalformed, KeyWeak] {
        assert!(expected.iter().filter(|&&one| one == reason).count() > 1_000);
    }
}

#[test]
fn every_count_up_to_nine() {
    let mut numbers = Numbers(9);
    for count in 0..=9 {
        let mut keys: Vec<[u8; 32]> = (0..count).map(|_| honest(&mut numbers).compress().to_bytes()).collect();
        assert_eq!(enrolled(&keys), vec![Met; count]);
        if let Some(last) = keys.last_mut() {
            *last = EIGHT_TORSION[count % 8].compress().to_bytes();
            assert_eq!(enrolled(&keys)[..count - 1], vec![Met; count - 1]);
            assert_eq!(enrolled(&keys)[count - 1], KeyWeak);
        }
    }
}

#[test]
fn a_key_of_a_batch_verifies_as_the_key_alone() {
    let mut numbers = Numbers(77);
    let signers: Vec<SigningKey> = (0..6).map(|_| SigningKey::from_bytes(&numbers.bytes())).collect();
    let public: Vec<[u8; 32]> = signers.iter().map(|signer| signer.verifying_key().to_bytes()).collect();
    let together = Key::new_many(&public, &Arc::new(Budget::new(0)));
    for ((signer, bytes), key) in signers.iter().zip(&public).zip(together) {
        let (key, alone) = (key.unwrap(), Key::new(bytes).unwrap());
        let signature = signer.sign(b"a row").to_bytes();
        for (message, reason) in [(b"a row", Met), (b"A row", Reason::SignatureInvalid)] {
            for key in [&key, &alone] {
                let row = Signed { key, signature: &signature, message: [message, b"", b"", b""] };
                assert_eq!((verify_rows(&[row]), verify_rows_portable(&[row])), (vec![reason], vec![reason]));
            }
        }
    }
}

/// The rounding mode of this thread, which the arithmetic in lanes depends on.
#[cfg(target_arch = "x86_64")]
fn set_rounding(bits: u32) {
    let state = 0x1F80 | bits << 13;
    unsafe { std::arch::asm!("ldmxcsr [{}]", in(reg) &raw const state, options(nostack)) };
}

#[cfg(target_arch = "x86_64")]
#[test]
fn a_key_enrolled_under_another_rounding_mode_verifies() {
    let signer = SigningKey::from_bytes(&[3; 32]);
    let weak = EIGHT_TORSION[1].compress().to_bytes();
    set_rounding(2);
    let keys = Key::new_many(&[signer.verifying_key().to_bytes(), weak], &Arc::default());
    set_rounding(0);
    assert_eq!(keys[1].as_ref().err(), Some(&KeyWeak));
    let key = keys[0].as_ref().unwrap();
    let signature = signer.sign(b"a row").to_bytes();
    let row = Signed { key, signature: &signature, message: [b"a row", b"", b"", b""] };
    let other = Key::new(signer.verifying_key().as_bytes()).unwrap();
    assert_eq!(verify_rows(&[row, Signed { key: &other, ..row }]), [Met, Met]);
}
