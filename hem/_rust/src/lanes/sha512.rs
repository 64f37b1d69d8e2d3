//! SHA-512 (FIPS 180-4) of four messages at once.

use std::arch::x86_64::{
    __m256i, _mm256_add_epi64, _mm256_and_si256, _mm256_blendv_epi8, _mm256_loadu_si256, _mm256_or_si256,
    _mm256_set_epi64x, _mm256_set1_epi64x, _mm256_setr_epi64x, _mm256_shuffle_epi8, _mm256_slli_epi64,
    _mm256_srli_epi64, _mm256_xor_si256,
};

use sha2::{Digest as _, Sha512};

use super::entry::{numbers, transposed};

/// A message in pieces.
pub(super) type Pieces<'a> = [&'a [u8]; 6];

const BLOCK: usize = 128;

/// The first 64 bits of the fractional parts of the cube roots of the first 80 primes.
const K: [u64; 80] = [
    0x428A_2F98_D728_AE22,
    0x7137_4491_23EF_65CD,
    0xB5C0_FBCF_EC4D_3B2F,
    0xE9B5_DBA5_8189_DBBC,
    0x3956_C25B_F348_B538,
    0x59F1_11F1_B605_D019,
    0x923F_82A4_AF19_4F9B,
    0xAB1C_5ED5_DA6D_8118,
    0xD807_AA98_A303_0242,
    0x1283_5B01_4570_6FBE,
    0x2431_85BE_4EE4_B28C,
    0x550C_7DC3_D5FF_B4E2,
    0x72BE_5D74_F27B_896F,
    0x80DE_B1FE_3B16_96B1,
    0x9BDC_06A7_25C7_1235,
    0xC19B_F174_CF69_2694,
    0xE49B_69C1_9EF1_4AD2,
    0xEFBE_4786_384F_25E3,
    0x0FC1_9DC6_8B8C_D5B5,
    0x240C_A1CC_77AC_9C65,
    0x2DE9_2C6F_592B_0275,
    0x4A74_84AA_6EA6_E483,
    0x5CB0_A9DC_BD41_FBD4,
    0x76F9_88DA_8311_53B5,
    0x983E_5152_EE66_DFAB,
    0xA831_C66D_2DB4_3210,
    0xB003_27C8_98FB_213F,
    0xBF59_7FC7_BEEF_0EE4,
    0xC6E0_0BF3_3DA8_8FC2,
    0xD5A7_9147_930A_A725,
    0x06CA_6351_E003_826F,
    0x1429_2967_0A0E_6E70,
    0x27B7_0A85_46D2_2FFC,
    0x2E1B_2138_5C26_C926,
    0x4D2C_6DFC_5AC4_2AED,
    0x5338_0D13_9D95_B3DF,
    0x650A_7354_8BAF_63DE,
    0x766A_0ABB_3C77_B2A8,
    0x81C2_C92E_47ED_AEE6,
    0x9272_2C85_1482_353B,
    0xA2BF_E8A1_4CF1_0364,
    0xA81A_664B_BC42_3001,
    0xC24B_8B70_D0F8_9791,
    0xC76C_51A3_0654_BE30,
    0xD192_E819_D6EF_5218,
    0xD699_0624_5565_A910,
    0xF40E_3585_5771_202A,
    0x106A_A070_32BB_D1B8,
    0x19A4_C116_B8D2_D0C8,
    0x1E37_6C08_5141_AB53,
    0x2748_774C_DF8E_EB99,
    0x34B0_BCB5_E19B_48A8,
    0x391C_0CB3_C5C9_5A63,
    0x4ED8_AA4A_E341_8ACB,
    0x5B9C_CA4F_7763_E373,
    0x682E_6FF3_D6B2_B8A3,
    0x748F_82EE_5DEF_B2FC,
    0x78A5_636F_4317_2F60,
    0x84C8_7814_A1F0_AB72,
    0x8CC7_0208_1A64_39EC,
    0x90BE_FFFA_2363_1E28,
    0xA450_6CEB_DE82_BDE9,
    0xBEF9_A3F7_B2C6_7915,
    0xC671_78F2_E372_532B,
    0xCA27_3ECE_EA26_619C,
    0xD186_B8C7_21C0_C207,
    0xEADA_7DD6_CDE0_EB1E,
    0xF57D_4F7F_EE6E_D178,
    0x06F0_67AA_7217_6FBA,
    0x0A63_7DC5_A2C8_98A6,
    0x113F_9804_BEF9_0DAE,
    0x1B71_0B35_131C_471B,
    0x28DB_77F5_2304_7D84,
    0x32CA_AB7B_40C7_2493,
    0x3C9E_BE0A_15C9_BEBC,
    0x431D_67C4_9C10_0D4C,
    0x4CC5_D4BE_CB3E_42B6,
    0x597F_299C_FC65_7E2A,
    0x5FCB_6FAB_3AD6_FAEC,
    0x6C44_198C_4A47_5817,
];

/// The same of the square roots of the first 8 primes.
const START: [u64; 8] = [
    0x6A09_E667_F3BC_C908,
    0xBB67_AE85_84CA_A73B,
    0x3C6E_F372_FE94_F82B,
    0xA54F_F53A_5F1D_36F1,
    0x510E_527F_ADE6_82D1,
    0x9B05_688C_2B3E_6C1F,
    0x1F83_D9AB_FB41_BD6B,
    0x5BE0_CD19_137E_2179,
];

/// Returns the digest of each message, in order.
///
/// Messages go into lanes beside others of about their length, so the time is that of the blocks in all messages
/// together, whoever may have mixed short and long ones.
#[target_feature(enable = "avx2")]
pub(super) fn digests(messages: &[Pieces<'_>]) -> Vec<[u8; 64]> {
    let blocks: Vec<usize> = messages.iter().map(blocks).collect();
    let mut order: Vec<usize> = (0..messages.len()).collect();
    order.sort_unstable_by_key(|&at| blocks[at]);
    let mut digests = vec![[0; 64]; messages.len()];
    let mut buffer = Vec::new();
    for group in order.chunks(4) {
        let longest = blocks[group[group.len() - 1]];
        if 2 * longest > group.iter().map(|&at| blocks[at]).sum() {
            // A lane that idles costs as much as one that works: with over two of four idle, one by one is faster.
            group.iter().for_each(|&at| digests[at] = one(&messages[at]));
        } else {
            let lanes: [usize; 4] = std::array::from_fn(|lane| group[lane.min(group.len() - 1)]);
            let four = four(lanes.map(|at| &messages[at]), lanes.map(|at| blocks[at]), longest, &mut buffer);
            lanes.iter().zip(four).for_each(|(&at, digest)| digests[at] = digest);
        }
    }
    digests
}

/// Blocks of a message with its padding: at least one bit and the length in 16 bytes.
fn blocks(message: &Pieces<'_>) -> usize {
    (message.iter().map(|piece| piece.len()).sum::<usize>() + 17).div_ceil(BLOCK)
}

fn one(message: &Pieces<'_>) -> [u8; 64] {
    message.iter().fold(Sha512::new(), |hash, piece| hash.chain_update(piece)).finalize().into()
}

/// Digests of four messages, none of over `longest` blocks.
#[target_feature(enable = "avx2")]
fn four(messages: [&Pieces<'_>; 4], blocks: [usize; 4], longest: usize, buffer: &mut Vec<u8>) -> [[u8; 64]; 4] {
    buffer.resize(4 * longest * BLOCK, 0);
    for ((lane, message), blocks) in buffer.chunks_exact_mut(longest * BLOCK).zip(messages).zip(blocks) {
        pad(&mut lane[..blocks * BLOCK], message);
    }
    let lanes: [&[u8]; 4] = std::array::from_fn(|lane| &buffer[lane * longest * BLOCK..(lane + 1) * longest * BLOCK]);
    let rotations = is_x86_feature_detected!("avx512f") && is_x86_feature_detected!("avx512vl");
    let mut state = START.map(|word| _mm256_set1_epi64x(word.cast_signed()));
    for block in 0..longest {
        let before = state;
        let mut words = load(lanes.map(|lane| &lane[block * BLOCK..(block + 1) * BLOCK]));
        if rotations {
            // SAFETY: AVX-512F and AVX-512VL were found.
            unsafe { compress_with_rotations(&mut state, &mut words) }
        } else {
            compress(&mut state, &mut words);
        }
        if blocks.iter().any(|&blocks| block >= blocks) {
            // What a lane holds behind the end of its message must not be hashed.
            let [a, b, c, d] = blocks.map(|blocks| if block < blocks { -1 } else { 0 });
            let live = _mm256_setr_epi64x(a, b, c, d);
            for (state, before) in state.iter_mut().zip(before) {
                *state = _mm256_blendv_epi8(before, *state, live);
            }
        }
    }
    let [a, b, c, d, e, f, g, h] = state;
    let (low, high) = (transposed([a, b, c, d]), transposed([e, f, g, h]));
    std::array::from_fn(|lane| {
        let mut digest = [0; 64];
        let words = numbers(low[lane]).into_iter().chain(numbers(high[lane]));
        digest.chunks_exact_mut(8).zip(words).for_each(|(bytes, word)| bytes.copy_from_slice(&word.to_be_bytes()));
        digest
    })
}

/// Fills `lane` with the message and its padding.
fn pad(lane: &mut [u8], message: &Pieces<'_>) {
    let mut at = 0;
    for piece in message {
        lane[at..at + piece.len()].copy_from_slice(piece);
        at += piece.len();
    }
    let end = lane.len() - 16;
    lane[at] = 0x80;
    lane[at + 1..end].fill(0);
    lane[end..].copy_from_slice(&(at as u128 * 8).to_be_bytes());
}

/// The 16 words of one block in each lane.
#[target_feature(enable = "avx2")]
#[inline]
fn load(blocks: [&[u8]; 4]) -> [__m256i; 16] {
    let big_endian =
        _mm256_set_epi64x(0x0809_0A0B_0C0D_0E0F, 0x0001_0203_0405_0607, 0x0809_0A0B_0C0D_0E0F, 0x0001_0203_0405_0607);
    let mut words = [big_endian; 16];
    for (quarter, words) in words.chunks_exact_mut(4).enumerate() {
        let mut rows = [big_endian; 4];
        for (row, block) in rows.iter_mut().zip(blocks) {
            let bytes = &block[32 * quarter..32 * quarter + 32];
            // SAFETY: exactly the 32 bytes of this slice are read, at any alignment.
            *row = unsafe { _mm256_shuffle_epi8(_mm256_loadu_si256(bytes.as_ptr().cast()), big_endian) };
        }
        words.copy_from_slice(&transposed(rows));
    }
    words
}

macro_rules! turn {
    ($x:expr, $by:literal) => {
        _mm256_or_si256(_mm256_srli_epi64($x, $by), _mm256_slli_epi64($x, 64 - $by))
    };
}

macro_rules! xor {
    ($a:expr, $b:expr, $c:expr) => {
        _mm256_xor_si256(_mm256_xor_si256($a, $b), $c)
    };
}

macro_rules! sum {
    ($a:expr, $($rest:expr),+) => { _mm256_add_epi64($a, sum!($($rest),+)) };
    ($a:expr) => { $a };
}

macro_rules! round {
    ($a:ident $b:ident $c:ident $d:ident $e:ident $f:ident $g:ident $h:ident, $word:expr, $constant:expr) => {
        let choice = _mm256_xor_si256($g, _mm256_and_si256($e, _mm256_xor_si256($f, $g)));
        let constant = _mm256_set1_epi64x($constant.cast_signed());
        let first = sum!($h, xor!(turn!($e, 14), turn!($e, 18), turn!($e, 41)), sum!(choice, sum!(constant, $word)));
        let majority = _mm256_xor_si256($b, _mm256_and_si256(_mm256_xor_si256($a, $b), _mm256_xor_si256($b, $c)));
        $d = _mm256_add_epi64($d, first);
        $h = sum!(first, majority, xor!(turn!($a, 28), turn!($a, 34), turn!($a, 39)));
    };
}

/// The next 16 words from the last 16.
macro_rules! schedule {
    ($words:ident) => {
        for at in 0..16 {
            let (early, late) = ($words[(at + 1) % 16], $words[(at + 14) % 16]);
            let low = xor!(turn!(early, 1), turn!(early, 8), _mm256_srli_epi64(early, 7));
            let high = xor!(turn!(late, 19), turn!(late, 61), _mm256_srli_epi64(late, 6));
            $words[at] = sum!($words[at], low, sum!($words[(at + 9) % 16], high));
        }
    };
}

/// One block in each lane, compiled for some features of the processor.
macro_rules! compression {
    ($name:ident, $features:literal) => {
        #[target_feature(enable = $features)]
        pub(super) fn $name(state: &mut [__m256i; 8], words: &mut [__m256i; 16]) {
            let [mut a, mut b, mut c, mut d, mut e, mut f, mut g, mut h] = *state;
            for (at, constants) in K.chunks_exact(16).enumerate() {
                if at > 0 {
                    schedule!(words);
                }
                for (words, constants) in words.chunks_exact(8).zip(constants.chunks_exact(8)) {
                    round!(a b c d e f g h, words[0], constants[0]);
                    round!(h a b c d e f g, words[1], constants[1]);
                    round!(g h a b c d e f, words[2], constants[2]);
                    round!(f g h a b c d e, words[3], constants[3]);
                    round!(e f g h a b c d, words[4], constants[4]);
                    round!(d e f g h a b c, words[5], constants[5]);
                    round!(c d e f g h a b, words[6], constants[6]);
                    round!(b c d e f g h a, words[7], constants[7]);
                }
            }
            for (state, word) in state.iter_mut().zip([a, b, c, d, e, f, g, h]) {
                *state = _mm256_add_epi64(*state, word);
            }
        }
    };
}

compression!(compress, "avx2");
// With AVX-512VL a compiler makes one instruction of the three of a rotation, and of each function of three words.
compression!(compress_with_rotations, "avx2,avx512f,avx512vl");
