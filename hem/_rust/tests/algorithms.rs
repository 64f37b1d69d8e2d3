//! ES256, ES384 and ML-DSA through the same door as Ed25519.

mod common;

use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_FIXED_SIGNING, ECDSA_P384_SHA384_FIXED_SIGNING, EcdsaKeyPair, KeyPair as _, ML_DSA_44_SIGNING,
    ML_DSA_65_SIGNING, ML_DSA_87_SIGNING, PqdsaKeyPair,
};
use common::{array, bytes, claims, int, join, map, text};
use hem_core::ed25519::Mode;
use hem_core::{KeyTable, Reason, Spans, verify};

enum Signer {
    Ecdsa(EcdsaKeyPair),
    MlDsa(PqdsaKeyPair),
}

impl Signer {
    fn new(algorithm: i64) -> Self {
        match algorithm {
            -7 | -9 => Self::Ecdsa(EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING).unwrap()),
            -35 | -51 => Self::Ecdsa(EcdsaKeyPair::generate(&ECDSA_P384_SHA384_FIXED_SIGNING).unwrap()),
            -48 => Self::MlDsa(PqdsaKeyPair::generate(&ML_DSA_44_SIGNING).unwrap()),
            -49 => Self::MlDsa(PqdsaKeyPair::generate(&ML_DSA_65_SIGNING).unwrap()),
            _ => Self::MlDsa(PqdsaKeyPair::generate(&ML_DSA_87_SIGNING).unwrap()),
        }
    }

    fn public(&self) -> Vec<u8> {
        match self {
            Self::Ecdsa(pair) => pair.public_key().as_ref().to_vec(),
            Self::MlDsa(pair) => pair.public_key().as_ref().to_vec(),
        }
    }

    fn sign(&self, message: &[u8]) -> Vec<u8> {
        match self {
            Self::Ecdsa(pair) => pair.sign(&SystemRandom::new(), message).unwrap().as_ref().to_vec(),
            Self::MlDsa(pair) => {
                let mut signature = vec![0; pair.algorithm().signature_len()];
                let length = pair.sign(message, &mut signature).unwrap();
                signature.truncate(length);
                signature
            }
        }
    }
}

/// A message of the chip with `id`, its signature changed by `change`.
fn row(signer: &Signer, algorithm: i64, id: u8, change: impl FnOnce(&mut Vec<u8>)) -> Vec<u8> {
    let header = map(&[(1, int(algorithm)), (4, bytes(&[id; 16])), (16, int(263))]);
    let payload = map(&claims(&[1; 17], &[id; 32]));
    let signed = array(&[text("Signature1"), bytes(&header), bytes(b""), bytes(&payload)]);
    let mut signature = signer.sign(&signed);
    change(&mut signature);
    [vec![0xD2], array(&[bytes(&header), map(&[]), bytes(&payload), bytes(&signature)])].concat()
}

#[test]
fn each_algorithm_accepts_its_own_and_nothing_else() {
    for algorithm in [-7, -9, -35, -51, -48, -49, -50] {
        let (signer, other) = (Signer::new(algorithm), Signer::new(algorithm));
        let mut table = KeyTable::default();
        let number = i32::try_from(algorithm).unwrap();
        assert_eq!(table.enroll(number, &signer.public(), [1; 16], [1; 17]), Reason::Met);
        let mismatch = if algorithm == -49 { -50 } else { -49 };
        let (data, spans) = join(&[
            row(&signer, algorithm, 1, |_| ()),
            row(&signer, algorithm, 1, |signature| signature[20] ^= 1),
            row(&signer, algorithm, 1, |signature| signature.push(0)),
            row(&other, algorithm, 1, |_| ()),
            row(&other, algorithm, 2, |_| ()),
            row(&signer, mismatch, 1, |_| ()),
        ]);
        let columns = verify(&table, &Spans::new(&data, spans).unwrap(), Mode::Exact, 1).unwrap();
        let expected = [
            Reason::Met,
            Reason::SignatureInvalid,
            if algorithm == -50 { Reason::WrongValue } else { Reason::SignatureMalformed }, // longer than any
            Reason::SignatureInvalid,
            Reason::KeyUnknown,
            Reason::AlgorithmMismatch,
        ];
        assert_eq!(columns.reasons(), expected.map(Reason::code), "{algorithm}");
    }
}

#[test]
fn a_point_off_its_curve_is_no_key() {
    for algorithm in [-7, -35] {
        let mut public = Signer::new(algorithm).public();
        *public.last_mut().unwrap() ^= 1;
        let number = i32::try_from(algorithm).unwrap();
        assert_eq!(KeyTable::default().enroll(number, &public, [1; 16], [1; 17]), Reason::KeyMalformed);
    }
}
