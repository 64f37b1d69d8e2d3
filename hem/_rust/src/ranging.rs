//! The replies of the timed phase (`hem.cddl`): HMAC-SHA-256 (RFC 2104), cut to 16 bytes, of a message of one size.
//!
//! Each key costs two blocks of SHA-256 once, and each of its replies two more: the padded message takes one block, as
//! does the outer hash. A general HMAC would hash the padded key again for each reply, which doubles the work.

use sha2::block_api::compress256;

const LABEL: [u8; 19] = *b"hem ranging reply 1";
const KID: usize = LABEL.len();
const NUMBER: usize = KID + 16;
const NONCE: usize = NUMBER + 1;
const MESSAGE: usize = NONCE + 16;
const BLOCK: usize = 64;
const INITIAL: [u32; 8] =
    [0x6A09_E667, 0xBB67_AE85, 0x3C6E_F372, 0xA54F_F53A, 0x510E_527F, 0x9B05_688C, 0x1F83_D9AB, 0x5BE0_CD19];

/// One reply as a landmark has it, and the row of the key that must have made it.
#[derive(Clone, Copy, Debug)]
pub struct Reply {
    /// Row of the session key.
    pub key: usize,
    /// Key id of the landmark.
    pub landmark: [u8; 16],
    /// Number of the probe.
    pub number: u8,
    /// Nonce of the probe.
    pub nonce: [u8; 16],
    /// What came back.
    pub mac: [u8; 16],
}

/// Returns for each reply whether it is by its key; a reply whose key row does not exist is by none.
pub fn check(keys: &[[u8; 32]], replies: impl Iterator<Item = Reply>) -> Vec<bool> {
    let keyed: Vec<Keyed> = keys.iter().map(|key| Keyed::new(key)).collect();
    replies.map(|reply| keyed.get(reply.key).is_some_and(|key| key.made(&reply))).collect()
}

/// A key as HMAC needs it: the states of SHA-256 after the inner and the outer padded key.
struct Keyed {
    inner: [u32; 8],
    outer: [u32; 8],
}

impl Keyed {
    /// Takes a key of at most one block.
    fn new(key: &[u8]) -> Self {
        let absorbed = |pad: u8| {
            let mut block = [pad; BLOCK];
            block.iter_mut().zip(key).for_each(|(slot, byte)| *slot ^= byte);
            let mut state = INITIAL;
            compress256(&mut state, &[block]);
            state
        };
        Self { inner: absorbed(0x36), outer: absorbed(0x5C) }
    }

    /// Returns the code of the message that `block` is, padded to be the second and last block of the inner hash.
    fn code(&self, block: &[u8; BLOCK]) -> [u8; 32] {
        let mut state = self.inner;
        compress256(&mut state, std::slice::from_ref(block));
        let mut last = padded(32);
        put(&mut last, 0, &bytes(state));
        state = self.outer;
        compress256(&mut state, &[last]);
        bytes(state)
    }

    fn made(&self, reply: &Reply) -> bool {
        let mut block = padded(MESSAGE);
        put(&mut block, 0, &LABEL);
        put(&mut block, KID, &reply.landmark);
        put(&mut block, NUMBER, &[reply.number]);
        put(&mut block, NONCE, &reply.nonce);
        self.code(&block).first_chunk() == Some(&reply.mac)
    }
}

/// Returns the last block of a hash over one block and `size` more bytes, which are still zeros (FIPS 180-4, 5.1.1).
fn padded(size: usize) -> [u8; BLOCK] {
    let mut block = [0; BLOCK];
    put(&mut block, size, &[0x80]);
    put(&mut block, BLOCK - 8, &(((BLOCK + size) * 8) as u64).to_be_bytes());
    block
}

fn put(block: &mut [u8; BLOCK], at: usize, part: &[u8]) {
    if let Some(slot) = block.get_mut(at..at + part.len()) {
        slot.copy_from_slice(part);
    }
}

fn bytes(state: [u32; 8]) -> [u8; 32] {
    let mut bytes = [0; 32];
    bytes.as_chunks_mut().0.iter_mut().zip(state).for_each(|(slot, word)| *slot = word.to_be_bytes());
    bytes
}

#[cfg(test)]
mod tests {
    use super::{Keyed, Reply, check, padded, put};

    /// RFC 4231, sections 4.2 to 4.6: keys of at most a block, messages of at most 55 bytes.
    #[test]
    fn codes_of_rfc_4231() {
        for (key, message, code) in [
            (&[0x0B; 20][..], &b"Hi There"[..], "b0344c61d8db38535ca8afceaf0bf12b881dc200c9833da726e9376c2e32cff7"),
            (
                b"Jefe",
                b"what do ya want for nothing?",
                "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843",
            ),
            (&[0xAA; 20], &[0xDD; 50], "773ea91e36800e46854db8ebd09181a72959098b3ef8c122d9635514ced565fe"),
            (
                &(1..=25).collect::<Vec<u8>>(),
                &[0xCD; 50],
                "82558a389a443c0ea4cc819899f2083a85f0faa3e578f8077a2e3ff46729665b",
            ),
            (&[0x0C; 20], b"Test With Truncation", "a3b6167473100ee06e0c796c2955552b"),
        ] {
            let mut block = padded(message.len());
            put(&mut block, 0, message);
            let got: String = Keyed::new(key).code(&block).iter().map(|byte| format!("{byte:02x}")).collect();
            assert!(got.starts_with(code), "{got}, expected {code}");
        }
    }

    /// Made with the HMAC of Python's standard library.
    #[test]
    fn a_reply_is_by_its_key_and_by_no_other() {
        let mac = 0xBAB4_5F0D_84FE_A7A5_3112_9DB1_DBC3_404D_u128.to_be_bytes();
        let good = Reply { key: 1, landmark: [2; 16], number: 3, nonce: [4; 16], mac };
        let wrong = [
            Reply { key: 0, ..good },
            Reply { key: 2, ..good },
            Reply { landmark: [0; 16], ..good },
            Reply { number: 4, ..good },
            Reply { nonce: [0; 16], ..good },
            Reply { mac: [0; 16], ..good },
        ];
        let answers = check(&[[0; 32], [1; 32]], [good].into_iter().chain(wrong));
        assert_eq!(answers, [true, false, false, false, false, false, false]);
    }
}
