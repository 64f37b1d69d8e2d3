//! The kernel in lanes against the portable one and against ed25519-dalek: any count, length, position, neighbor, thread.

mod common;

use common::Numbers;
use ed25519_dalek::{Signature, Signer as _, SigningKey, VerifyingKey};
use hem_core::Reason;
use hem_core::Reason::{Met, SignatureInvalid, SignatureMalformed};
use hem_core::ed25519::{Key, Signed, form, kernel, verify_rows, verify_rows_portable};

struct Signer {
    signing: SigningKey,
    key: Key,
}

impl Signer {
    fn new(numbers: &mut Numbers) -> Self {
        let signing = SigningKey::from_bytes(&numbers.bytes());
        let key = Key::new(signing.verifying_key().as_bytes()).unwrap();
        Self { signing, key }
    }
}

/// A row: whose, what, and the signature.
#[derive(Clone)]
struct Row {
    signer: usize,
    message: Vec<u8>,
    signature: Vec<u8>,
}

fn rows(signers: &[Signer], count: usize, numbers: &mut Numbers, length: impl Fn(&mut Numbers) -> usize) -> Vec<Row> {
    (0..count)
        .map(|_| {
            let signer = numbers.below(signers.len());
            let mut message = numbers.bytes::<64>().repeat(1_025);
            message.truncate(length(numbers));
            let signature = signers[signer].signing.sign(&message).to_bytes().to_vec();
            Row { signer, message, signature }
        })
        .collect()
}

fn signed<'a>(signers: &'a [Signer], rows: &'a [Row]) -> Vec<Signed<'a>> {
    rows.iter()
        .map(|row| {
            let (start, end) = row.message.split_at(row.message.len() / 3);
            Signed { key: &signers[row.signer].key, signature: &row.signature, message: [start, b"", end, b""] }
        })
        .collect()
}

/// Forges a row in one of the ways that pass every check but the equation.
fn forge(row: &mut Row, numbers: &mut Numbers) {
    match numbers.below(3) {
        0 if !row.message.is_empty() => {
            let at = numbers.below(row.message.len());
            row.message[at] ^= 1 << numbers.below(8);
        }
        1 => row.signature[1 + numbers.below(30)] ^= 1 << numbers.below(8), // R
        _ => row.signature[32 + numbers.below(20)] ^= 1 << numbers.below(8), // s, below 2^252 still or again
    }
}

fn strict(signers: &[Signer], row: &Row) -> bool {
    let key: VerifyingKey = signers[row.signer].signing.verifying_key();
    Signature::from_slice(&row.signature).is_ok_and(|signature| key.verify_strict(&row.message, &signature).is_ok())
}

fn signers(count: usize, numbers: &mut Numbers) -> Vec<Signer> {
    (0..count).map(|_| Signer::new(numbers)).collect()
}

#[test]
fn the_environment_chooses_the_kernel() {
    #[cfg(target_arch = "x86_64")]
    let (able, integers) = (
        is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma"),
        is_x86_feature_detected!("avx512ifma") && is_x86_feature_detected!("avx512vl"),
    );
    #[cfg(not(target_arch = "x86_64"))]
    let (able, integers) = (false, false);
    let expected = match std::env::var("HEM_NO_SIMD").unwrap_or_default().as_str() {
        "" | "0" if able && integers => ["lanes-ifma", "lanes"],
        "" | "0" | "ifma" if able => ["lanes", "lanes"],
        _ => ["portable", "portable"],
    };
    assert_eq!([kernel(), form()], expected);
}

#[test]
fn every_count_from_0_to_70() {
    let mut numbers = Numbers(70);
    let signers = signers(9, &mut numbers);
    for count in 0..=70 {
        let mut rows = rows(&signers, count, &mut numbers, |numbers| numbers.below(300));
        let forged: Vec<bool> = rows.iter().map(|_| numbers.below(4) == 0).collect();
        for (row, _) in rows.iter_mut().zip(&forged).filter(|(_, forged)| **forged) {
            row.signature[5] ^= 4;
        }
        let expected: Vec<Reason> = forged.iter().map(|&forged| if forged { SignatureInvalid } else { Met }).collect();
        assert_eq!(verify_rows(&signed(&signers, &rows)), expected, "{count} rows");
    }
}

#[test]
fn any_mix_of_lengths_up_to_64_kib() {
    let mut numbers = Numbers(64);
    let signers = signers(5, &mut numbers);
    for round in 0..12 {
        let rows = rows(&signers, 21 + round, &mut numbers, |numbers| match numbers.below(6) {
            0 => 65_536 - numbers.below(200),
            1 => numbers.below(20_000),
            2 => 0,
            _ => 30 + numbers.below(40),
        });
        assert_eq!(verify_rows(&signed(&signers, &rows)), vec![Met; rows.len()]);
    }
}

#[test]
fn forged_rows_change_nothing_for_their_neighbors() {
    let mut numbers = Numbers(100);
    let signers = signers(40, &mut numbers);
    let honest = rows(&signers, 400, &mut numbers, |numbers| numbers.below(500));
    for percent in [0, 1, 50, 100] {
        let mut rows = honest.clone();
        let forged: Vec<bool> = rows.iter().map(|_| numbers.below(100) < percent).collect();
        rows.iter_mut().zip(&forged).filter(|(_, forged)| **forged).for_each(|(row, _)| forge(row, &mut numbers));
        let reasons = verify_rows(&signed(&signers, &rows));
        assert_eq!(reasons, verify_rows_portable(&signed(&signers, &rows)));
        for (reason, forged) in reasons.iter().zip(forged) {
            assert_eq!(*reason == Met, !forged);
        }
    }
}

/// Judges 10,000 rows, about half of them forged, beside ed25519-dalek's strict verification.
fn check_against_strict_dalek(seed: u64) {
    let mut numbers = Numbers(seed);
    let signers = signers(300, &mut numbers);
    let mut rows = rows(&signers, 10_000, &mut numbers, |numbers| numbers.below(300));
    rows.iter_mut().filter(|row| row.message.len() % 2 == 0).for_each(|row| forge(row, &mut numbers));
    let expected: Vec<bool> = rows.iter().map(|row| strict(&signers, row)).collect();
    let signed = signed(&signers, &rows);
    for size in [256, 97] {
        let reasons: Vec<Reason> = signed.chunks(size).flat_map(verify_rows).collect();
        let met: Vec<bool> = reasons.iter().map(|&reason| reason == Met).collect();
        assert_eq!(met, expected, "seed {seed}");
    }
}

#[test]
fn ten_thousand_rows_as_strict_dalek_has_them() {
    check_against_strict_dalek(10_000);
}

#[test]
#[ignore = "minutes: a run before a release, with `make test-slow`"]
fn a_million_rows_as_strict_dalek_has_them() {
    (0..100).for_each(check_against_strict_dalek);
}

#[test]
fn a_key_that_signs_often_gets_the_same_answers_from_its_larger_table() {
    let mut numbers = Numbers(2);
    let signers = signers(3, &mut numbers);
    for round in 0..12 {
        let mut rows = rows(&signers, 150, &mut numbers, |numbers| numbers.below(100));
        rows.iter_mut().step_by(7).for_each(|row| forge(row, &mut numbers));
        let reasons = verify_rows(&signed(&signers, &rows));
        assert_eq!(reasons, verify_rows_portable(&signed(&signers, &rows)), "round {round}");
        assert_eq!(reasons.iter().filter(|&&reason| reason == Met).count(), 150 - 22);
    }
}

#[test]
fn threads_that_build_the_same_tables_agree() {
    let mut numbers = Numbers(3);
    let signers = signers(64, &mut numbers);
    let mut rows = rows(&signers, 512, &mut numbers, |numbers| numbers.below(100));
    rows.iter_mut().step_by(5).for_each(|row| forge(row, &mut numbers));
    let signed = signed(&signers, &rows);
    let expected = verify_rows_portable(&signed);
    std::thread::scope(|scope| {
        let threads: Vec<_> = (0..4).map(|_| scope.spawn(|| verify_rows(&signed))).collect();
        threads.into_iter().for_each(|thread| assert_eq!(thread.join().unwrap(), expected));
    });
}

#[test]
fn a_clone_of_a_key_and_a_key_alone_verify() {
    let mut numbers = Numbers(4);
    let signers = signers(1, &mut numbers);
    let rows = rows(&signers, 2, &mut numbers, |_| 40);
    assert_eq!(verify_rows(&signed(&signers, &rows[..1])), [Met]);
    let clone = signers[0].key.clone();
    let other = Signed { key: &clone, signature: &rows[1].signature, message: [&rows[1].message, b"", b"", b""] };
    assert_eq!(verify_rows(&[other]), [Met]);
    let half = Signed { signature: &rows[1].signature[..32], ..other };
    assert_eq!(verify_rows(&[half, other, half]), [SignatureMalformed, Met, SignatureMalformed]);
}

/// The rounding mode of this thread, which the arithmetic in lanes depends on, set to `bits` while `run` runs.
#[cfg(target_arch = "x86_64")]
fn with_rounding<T>(bits: u32, run: impl FnOnce() -> T) -> T {
    let set = |state: u32| unsafe {
        std::arch::asm!("ldmxcsr [{}]", in(reg) &raw const state, options(nostack));
    };
    set(0x1F80 | bits << 13);
    let result = run();
    set(0x1F80);
    result
}

#[cfg(target_arch = "x86_64")]
#[test]
fn other_rounding_modes_change_no_answer() {
    let mut numbers = Numbers(5);
    let signers = signers(4, &mut numbers);
    let mut rows = rows(&signers, 33, &mut numbers, |numbers| numbers.below(100));
    rows.iter_mut().step_by(3).for_each(|row| forge(row, &mut numbers));
    let signed = signed(&signers, &rows);
    let expected = verify_rows_portable(&signed);
    for bits in 0..4 {
        assert_eq!(with_rounding(bits, || verify_rows(&signed)), expected, "rounding mode {bits}");
    }
}
