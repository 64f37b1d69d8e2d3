//! The limit on tables, alone in its process: it may cost time, never an answer.

mod common;

use common::Numbers;
use ed25519_dalek::{Signer as _, SigningKey};
use hem_core::Reason::{Met, SignatureInvalid};
use hem_core::ed25519::{Key, Signed, set_table_limit, verify_rows};

#[test]
fn answers_are_the_same_under_any_limit() {
    let mut numbers = Numbers(1);
    for limit in [0, 10_000, 300_000, 1 << 30] {
        set_table_limit(limit);
        let signers: Vec<SigningKey> = (0..11).map(|_| SigningKey::from_bytes(&numbers.bytes())).collect();
        let keys: Vec<Key> = signers.iter().map(|key| Key::new(key.verifying_key().as_bytes()).unwrap()).collect();
        for round in 0..40 {
            let messages: Vec<[u8; 32]> = signers.iter().map(|_| numbers.bytes()).collect();
            let mut signatures: Vec<[u8; 64]> =
                signers.iter().zip(&messages).map(|(key, message)| key.sign(message).to_bytes()).collect();
            signatures[round % 11][3] ^= 1;
            let mut rows = Vec::new();
            for ((key, message), signature) in keys.iter().zip(&messages).zip(&signatures) {
                let row = Signed { key, signature, message: [message, b"", b"", b""] };
                rows.extend([row; 9]); // so often that some keys want the larger table
            }
            let reasons = verify_rows(&rows);
            for (at, reason) in reasons.iter().enumerate() {
                let expected = if at / 9 == round % 11 { SignatureInvalid } else { Met };
                assert_eq!(*reason, expected, "limit {limit}, round {round}, row {at}");
            }
        }
    }
}
