//! Algorithms and keys under one door. ES256, ES384 and ML-DSA are AWS-LC's, with keys parsed once at enrollment.

use aws_lc_rs::digest::{self, SHA256, SHA384};
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_FIXED, ECDSA_P384_SHA384_FIXED, ML_DSA_44, ML_DSA_65, ML_DSA_87, ParsedPublicKey,
    VerificationAlgorithm,
};

use crate::cose::Parts;
use crate::ed25519;
use crate::reason::Reason;
use crate::reason::Reason::{KeyMalformed, Met, SignatureInvalid, SignatureMalformed};

/// A signature algorithm of `hem.cddl`. The two COSE numbers of one algorithm (RFC 9864) are one value here.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub enum Algorithm {
    /// -8 and -19.
    Ed25519,
    /// -7 and -9.
    Es256,
    /// -35 and -51.
    Es384,
    /// -48.
    MlDsa44,
    /// -49.
    MlDsa65,
    /// -50.
    MlDsa87,
}

impl Algorithm {
    /// Returns the algorithm of a COSE number; None if `hem.cddl` does not list it.
    #[must_use]
    pub fn from_cose(number: i32) -> Option<Self> {
        Some(match number {
            -8 | -19 => Self::Ed25519,
            -7 | -9 => Self::Es256,
            -35 | -51 => Self::Es384,
            -48 => Self::MlDsa44,
            -49 => Self::MlDsa65,
            -50 => Self::MlDsa87,
            _ => return None,
        })
    }

    /// Bytes of a public key and of a signature.
    const fn sizes(self) -> (usize, usize) {
        match self {
            Self::Ed25519 => (32, 64),
            Self::Es256 => (65, 64),
            Self::Es384 => (97, 96),
            Self::MlDsa44 => (1_312, 2_420),
            Self::MlDsa65 => (1_952, 3_309),
            Self::MlDsa87 => (2_592, 4_627),
        }
    }

    /// What AWS-LC calls it, and the digest that its signatures are over, if they are over one.
    fn aws_lc(self) -> Option<(&'static dyn VerificationAlgorithm, Option<&'static digest::Algorithm>)> {
        Some(match self {
            Self::Ed25519 => return None,
            Self::Es256 => (&ECDSA_P256_SHA256_FIXED, Some(&SHA256)),
            Self::Es384 => (&ECDSA_P384_SHA384_FIXED, Some(&SHA384)),
            Self::MlDsa44 => (&ML_DSA_44, None),
            Self::MlDsa65 => (&ML_DSA_65, None),
            Self::MlDsa87 => (&ML_DSA_87, None),
        })
    }
}

/// A public key that passed the checks of its algorithm.
#[derive(Clone, Debug)]
pub enum Key {
    /// Checked by the rule for Ed25519.
    Ed25519(Box<ed25519::Key>),
    /// Parsed by AWS-LC.
    Other(Algorithm, Box<ParsedPublicKey>),
}

impl Key {
    /// Returns the key of `bytes`: raw, or an uncompressed SEC 1 point for ES256 and ES384.
    ///
    /// # Errors
    /// `KeyMalformed`, or `KeyWeak` (Ed25519).
    pub fn new(algorithm: Algorithm, bytes: &[u8]) -> Result<Self, Reason> {
        // The length goes first: AWS-LC would also take an X.509 encoding of the key, and one key must have one form.
        if bytes.len() != algorithm.sizes().0 {
            return Err(KeyMalformed);
        }
        let Some((verification, _)) = algorithm.aws_lc() else {
            return ed25519::Key::new(bytes).map(|key| Self::Ed25519(Box::new(key)));
        };
        let parsed = ParsedPublicKey::new(verification, bytes).map_err(|_| KeyMalformed)?;
        Ok(Self::Other(algorithm, Box::new(parsed)))
    }

    /// The algorithm of this key, whatever the header of a message says.
    #[must_use]
    pub const fn algorithm(&self) -> Algorithm {
        match self {
            Self::Ed25519(_) => Algorithm::Ed25519,
            Self::Other(algorithm, _) => *algorithm,
        }
    }
}

/// One signature to check.
#[derive(Clone, Copy, Debug)]
pub struct Signed<'a> {
    /// Whose it should be.
    pub key: &'a Key,
    /// As it was received.
    pub signature: &'a [u8],
    /// What it should cover, in pieces.
    pub message: Parts<'a>,
}

fn lane<'a>(signed: &Signed<'a>) -> Option<ed25519::Signed<'a>> {
    match signed.key {
        Key::Ed25519(key) => Some(ed25519::Signed { key, signature: signed.signature, message: signed.message }),
        Key::Other(..) => None,
    }
}

/// Returns a reason for each signature, in order.
#[must_use]
pub fn verify_rows(rows: &[Signed<'_>]) -> Vec<Reason> {
    let lanes: Vec<ed25519::Signed<'_>> = rows.iter().filter_map(lane).collect();
    let mut verified = ed25519::verify_rows(&lanes).into_iter();
    rows.iter()
        .map(|signed| match signed.key {
            Key::Ed25519(_) => verified.next().unwrap_or(SignatureInvalid),
            Key::Other(algorithm, key) => other(*algorithm, key, signed.signature, &signed.message),
        })
        .collect()
}

fn other(algorithm: Algorithm, key: &ParsedPublicKey, signature: &[u8], message: &Parts<'_>) -> Reason {
    if signature.len() != algorithm.sizes().1 {
        return SignatureMalformed;
    }
    let result = match algorithm.aws_lc() {
        Some((_, Some(hash))) => key.verify_digest_sig(&digest(hash, message), signature),
        _ => key.verify_sig(&message.concat(), signature),
    };
    if result.is_ok() { Met } else { SignatureInvalid }
}

fn digest(hash: &'static digest::Algorithm, message: &Parts<'_>) -> digest::Digest {
    let mut running = digest::Context::new(hash);
    for part in message {
        running.update(part);
    }
    running.finish()
}
