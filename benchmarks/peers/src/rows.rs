//! Signed rows in the form that each peer likes best: keys are read, and where a peer can, decompressed, beforehand.

use ed25519_dalek::{Signature, VerifyingKey};
use ed25519_zebra::{VerificationKey, VerificationKeyBytes};

/// Rows as columns. All peers read the same bytes of messages.
#[derive(Default)]
pub struct Set {
    messages: Vec<Vec<u8>>,
    signatures: Vec<Signature>,
    dalek: Vec<VerifyingKey>,
    zebra: Vec<VerificationKey>,
    zebra_bytes: Vec<VerificationKeyBytes>,
}

/// The first rows of a [`Set`]. Its columns have one length.
pub struct Rows<'a> {
    /// What is signed.
    pub messages: Vec<&'a [u8]>,
    /// R and s; dalek and zebra share this type.
    pub signatures: &'a [Signature],
    /// Decompressed keys.
    pub dalek: &'a [VerifyingKey],
    /// Decompressed keys.
    pub zebra: &'a [VerificationKey],
    /// Keys as the batch of zebra takes them.
    pub zebra_bytes: &'a [VerificationKeyBytes],
}

impl Set {
    /// Returns the rows of a file: for each, 32 bytes of key, 64 of signature, the length of the message as four
    /// bytes with the least first, and the message.
    ///
    /// # Errors
    /// What is wrong with which row.
    pub fn read(mut data: &[u8]) -> Result<Self, String> {
        let mut set = Self::default();
        while !data.is_empty() {
            let row = set.len();
            data = set.add(data).ok_or_else(|| format!("row {row} is cut short, or its key is none"))?;
        }
        Ok(set)
    }

    fn add<'a>(&mut self, data: &'a [u8]) -> Option<&'a [u8]> {
        let (key, data) = data.split_first_chunk::<32>()?;
        let (signature, data) = data.split_first_chunk::<64>()?;
        let (length, data) = data.split_first_chunk::<4>()?;
        let (message, rest) = data.split_at_checked(u32::from_le_bytes(*length) as usize)?;
        self.dalek.push(VerifyingKey::from_bytes(key).ok()?);
        self.zebra.push(VerificationKey::try_from(*key).ok()?);
        self.zebra_bytes.push(VerificationKeyBytes::from(*key));
        self.signatures.push(Signature::from_bytes(signature));
        self.messages.push(message.to_vec());
        Some(rest)
    }

    /// The number of rows.
    pub const fn len(&self) -> usize {
        self.messages.len()
    }

    /// Returns the first `n` rows; None if there are fewer.
    pub fn first(&self, n: usize) -> Option<Rows<'_>> {
        Some(Rows {
            messages: self.messages.get(..n)?.iter().map(Vec::as_slice).collect(),
            signatures: self.signatures.get(..n)?,
            dalek: self.dalek.get(..n)?,
            zebra: self.zebra.get(..n)?,
            zebra_bytes: self.zebra_bytes.get(..n)?,
        })
    }
}
