//! The budget of tables: it may cost time, never an answer.

mod common;

use std::sync::Arc;

use common::Numbers;
use ed25519_dalek::{Signer as _, SigningKey};
use hem_core::Reason::{Met, SignatureInvalid};
use hem_core::ed25519::{Budget, Key, Signed, verify_rows};

#[test]
fn answers_are_the_same_within_any_budget() {
    let mut numbers = Numbers(1);
    for limit in [0, 10_000, 300_000, 1 << 30] {
        let budget = Arc::new(Budget::new(limit));
        let signers: Vec<SigningKey> = (0..11).map(|_| SigningKey::from_bytes(&numbers.bytes())).collect();
        let public: Vec<[u8; 32]> = signers.iter().map(|key| key.verifying_key().to_bytes()).collect();
        let keys: Vec<Key> = Key::new_many(&public, &budget).into_iter().map(|key| key.unwrap()).collect();
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
