//! The cofactored mode: a batch, a row alone and curve25519-dalek give one answer to every row, whatever its neighbors.

mod common;

use common::Numbers;
use curve25519_dalek::constants::{ED25519_BASEPOINT_POINT, EIGHT_TORSION};
use curve25519_dalek::edwards::{CompressedEdwardsY, EdwardsPoint};
use curve25519_dalek::scalar::Scalar;
use hem_core::Reason;
use hem_core::Reason::{Met, SignatureInvalid, SignatureMalformed};
use hem_core::ed25519::Mode::{Cofactored, Exact};
use hem_core::ed25519::{Key, Mode, Signed, verify_rows_in, verify_rows_portable_in};
use sha2::{Digest as _, Sha512};

/// Enough rows for one equation over all of them.
const BATCH: usize = 2_100;

struct Signer {
    secret: Scalar,
    public: [u8; 32],
    key: Key,
}

#[derive(Clone)]
struct Row {
    signer: usize,
    message: Vec<u8>,
    signature: Vec<u8>,
}

fn scalar(numbers: &mut Numbers) -> Scalar {
    Scalar::from_bytes_mod_order_wide(&numbers.bytes())
}

fn signers(count: usize, numbers: &mut Numbers) -> Vec<Signer> {
    (0..count)
        .map(|_| {
            let secret = scalar(numbers);
            let public = EdwardsPoint::mul_base(&secret).compress().to_bytes();
            Signer { secret, public, key: Key::new(&public).unwrap() }
        })
        .collect()
}

impl Signer {
    /// What only the holder of a key can make: a signature whose R is off by a point of small order.
    fn sign(&self, r: Scalar, off: EdwardsPoint, message: &[u8]) -> Vec<u8> {
        let point = (EdwardsPoint::mul_base(&r) + off).compress().to_bytes();
        let hash = Sha512::new_with_prefix(point).chain_update(self.public).chain_update(message).finalize();
        let s = r + Scalar::from_bytes_mod_order_wide(&hash.into()) * self.secret;
        [point, s.to_bytes()].concat()
    }
}

/// Rows of random signers; `off` chooses the point of small order for a row by its number.
fn rows(signers: &[Signer], count: usize, numbers: &mut Numbers, off: impl Fn(usize) -> usize) -> Vec<Row> {
    (0..count)
        .map(|at| {
            let signer = numbers.below(signers.len());
            let message = numbers.bytes::<90>()[..numbers.below(90)].to_vec();
            let signature = signers[signer].sign(scalar(numbers), EIGHT_TORSION[off(at)], &message);
            Row { signer, message, signature }
        })
        .collect()
}

fn signed<'a>(signers: &'a [Signer], rows: &'a [Row]) -> Vec<Signed<'a>> {
    let message = |row: &'a Row| row.message.split_at(row.message.len() / 3);
    rows.iter()
        .map(|row| {
            let (start, end) = message(row);
            Signed { key: &signers[row.signer].key, signature: &row.signature, message: [b"", start, b"", end] }
        })
        .collect()
}

/// What all ways to ask give, after a check that they give the same.
fn answers(signers: &[Signer], rows: &[Row]) -> Vec<Reason> {
    let signed = signed(signers, rows);
    let together = verify_rows_in(Cofactored, &signed);
    assert_eq!(together, verify_rows_portable_in(Cofactored, &signed));
    for (row, reason) in signed.iter().zip(&together).step_by(5) {
        assert_eq!(verify_rows_in(Cofactored, std::slice::from_ref(row)), [*reason]);
    }
    together
}

fn forge(row: &mut Row, numbers: &mut Numbers) {
    match numbers.below(4) {
        0 => row.message.push(7),
        1 => row.signature[1 + numbers.below(30)] ^= 1 << numbers.below(8), // R, a point or none
        2 => row.signature[32 + numbers.below(20)] ^= 1 << numbers.below(8), // s
        _ => row.signature[31] ^= 0x80,                                     // -R
    }
}

#[test]
fn modes_have_names() {
    for mode in [Exact, Cofactored] {
        assert_eq!(Mode::from_name(mode.name()), Some(mode));
    }
    assert_eq!((Mode::default(), Exact.name(), Cofactored.name()), (Exact, "ed25519", "ed25519-cofactored"));
    assert_eq!(Mode::from_name("ed25519-Cofactored"), None);
}

#[test]
fn every_count_from_0_to_70_and_around_the_least_batch() {
    let mut numbers = Numbers(71);
    let signers = signers(9, &mut numbers);
    let mut all = rows(&signers, 2_051, &mut numbers, |_| 0);
    all.iter_mut().step_by(5).for_each(|row| forge(row, &mut numbers));
    let expected = answers(&signers, &all);
    for (at, reason) in expected.iter().enumerate() {
        assert_eq!(*reason == Met, at % 5 > 0);
    }
    let signed = signed(&signers, &all);
    for count in (0..=70).chain(2_046..=2_051) {
        assert_eq!(verify_rows_in(Cofactored, &signed[..count]), expected[..count], "{count} rows");
    }
}

#[test]
fn an_r_off_by_small_order_is_accepted_in_this_mode_alone_and_always() {
    let mut numbers = Numbers(8);
    let signers = signers(30, &mut numbers);
    let rows = rows(&signers, BATCH, &mut numbers, |at| at % 8);
    let exact: Vec<bool> =
        verify_rows_in(Exact, &signed(&signers, &rows)).iter().map(|&reason| reason == Met).collect();
    assert_eq!(exact, (0..BATCH).map(|at| at % 8 == 0).collect::<Vec<_>>());
    assert_eq!(answers(&signers, &rows), [Met; BATCH]);
    // Beside forged rows, which send them into the lanes one by one.
    for at in [0, 1, 700, BATCH - 1] {
        let mut spoiled = rows.clone();
        spoiled[at].signature[40] ^= 1;
        let expected: Vec<Reason> = (0..BATCH).map(|row| if row == at { SignatureInvalid } else { Met }).collect();
        assert_eq!(verify_rows_in(Cofactored, &signed(&signers, &spoiled)), expected);
    }
}

#[test]
fn forged_rows_are_found_among_good_ones_at_any_rate() {
    let mut numbers = Numbers(101);
    let signers = signers(200, &mut numbers);
    let honest = rows(&signers, BATCH, &mut numbers, |at| if at % 3 == 0 { at % 8 } else { 0 });
    for percent in [1, 50, 100] {
        let mut rows = honest.clone();
        let forged: Vec<bool> = rows.iter().map(|_| numbers.below(100) < percent).collect();
        rows.iter_mut().zip(&forged).filter(|(_, forged)| **forged).for_each(|(row, _)| forge(row, &mut numbers));
        let met: Vec<bool> = answers(&signers, &rows).iter().map(|&reason| reason == Met).collect();
        assert_eq!(met, forged.iter().map(|forged| !forged).collect::<Vec<_>>(), "{percent} % forged");
    }
}

#[test]
fn forgeries_that_would_cancel_out_are_refused() {
    let mut numbers = Numbers(11);
    let signers = signers(4, &mut numbers);
    let mut rows = rows(&signers, BATCH, &mut numbers, |_| 0);
    let change = scalar(&mut numbers);
    for (at, change) in [(100, change), (999, -change)] {
        let s = Scalar::from_canonical_bytes(rows[at].signature[32..].try_into().unwrap()).unwrap() + change;
        rows[at].signature[32..].copy_from_slice(&s.to_bytes());
    }
    let expected: Vec<Reason> =
        (0..BATCH).map(|at| if [100, 999].contains(&at) { SignatureInvalid } else { Met }).collect();
    assert_eq!(answers(&signers, &rows), expected);
}

#[test]
fn an_r_that_is_no_point_is_refused_without_harm_to_others() {
    let mut numbers = Numbers(12);
    let signers = signers(4, &mut numbers);
    let mut rows = rows(&signers, BATCH, &mut numbers, |_| 0);
    for row in rows.iter_mut().step_by(9) {
        // The next y that is on no point.
        while CompressedEdwardsY(row.signature[..32].try_into().unwrap()).decompress().is_some() {
            row.signature[0] = row.signature[0].wrapping_add(1);
        }
    }
    let expected: Vec<Reason> = (0..BATCH).map(|at| if at % 9 == 0 { SignatureInvalid } else { Met }).collect();
    assert_eq!(answers(&signers, &rows), expected);
}

#[test]
fn messages_of_any_length_up_to_64_kib() {
    let mut numbers = Numbers(65);
    let signers = signers(5, &mut numbers);
    let mut rows = rows(&signers, BATCH, &mut numbers, |_| 0);
    for (at, row) in rows.iter_mut().enumerate().step_by(50) {
        row.message = vec![5; 65_536 * at / BATCH];
        row.signature = signers[row.signer].sign(scalar(&mut numbers), EIGHT_TORSION[at % 8], &row.message);
    }
    assert_eq!(answers(&signers, &rows), [Met; BATCH]);
}

#[test]
fn malformed_signatures_are_malformed_in_both_modes() {
    let mut numbers = Numbers(13);
    let signers = signers(1, &mut numbers);
    let good = rows(&signers, 1, &mut numbers, |_| 0).remove(0);
    let order = -Scalar::ONE;
    let mut bad: Vec<Vec<u8>> = EIGHT_TORSION
        .iter()
        .map(|point| signers[0].sign(Scalar::ZERO, *point, &good.message)) // R of small order, the equation holds
        .collect();
    bad.push(good.signature[..63].to_vec());
    let mut large = order.to_bytes();
    large[0] += 1; // L
    bad.push([&good.signature[..32], &large].concat());
    let y = [[0xEE].as_slice(), &[0xFF; 30], &[0x7F]].concat(); // p + 1
    bad.push([&y[..], &good.signature[32..]].concat());
    let rows: Vec<Row> = bad.into_iter().map(|signature| Row { signature, ..good.clone() }).collect();
    assert_eq!(answers(&signers, &rows), vec![SignatureMalformed; rows.len()]);
    assert_eq!(verify_rows_in(Exact, &signed(&signers, &rows)), vec![SignatureMalformed; rows.len()]);
}

#[test]
fn more_rows_than_one_equation_takes() {
    let mut numbers = Numbers(14);
    let signers = signers(3, &mut numbers);
    let few = rows(&signers, 64, &mut numbers, |at| at % 8);
    let mut bad = few[5].clone();
    bad.message.push(0);
    let good = signed(&signers, &few);
    let mut many: Vec<Signed<'_>> = good.iter().copied().cycle().take(66_000).collect();
    many[65_990] = signed(&signers, std::slice::from_ref(&bad))[0];
    let reasons = verify_rows_in(Cofactored, &many);
    assert_eq!(reasons.iter().position(|&reason| reason != Met), Some(65_990));
    assert_eq!(reasons.iter().filter(|&&reason| reason == Met).count(), 65_999);
}

#[test]
fn threads_and_clones_of_keys_agree() {
    let mut numbers = Numbers(15);
    let signers = signers(50, &mut numbers);
    let mut rows = rows(&signers, 2 * BATCH, &mut numbers, |at| at % 8);
    rows.iter_mut().skip(BATCH).step_by(700).for_each(|row| forge(row, &mut numbers));
    let clones: Vec<Key> = signers.iter().map(|signer| signer.key.clone()).collect();
    let mut signed = signed(&signers, &rows);
    // One key under two addresses, both in one batch.
    signed.iter_mut().zip(&rows).step_by(2).for_each(|(signed, row)| signed.key = &clones[row.signer]);
    let expected = verify_rows_portable_in(Cofactored, &signed);
    std::thread::scope(|scope| {
        let halves: Vec<_> = [(0, BATCH), (BATCH, 2 * BATCH), (0, 2 * BATCH)]
            .map(|(start, end)| {
                (
                    start,
                    end,
                    scope.spawn({
                        let rows = &signed[start..end];
                        move || verify_rows_in(Cofactored, rows)
                    }),
                )
            })
            .into();
        halves.into_iter().for_each(|(start, end, thread)| assert_eq!(thread.join().unwrap(), expected[start..end]));
    });
}

#[test]
fn published_edge_cases_are_judged_alike_alone_and_among_others() {
    let Some(folder) = std::env::var_os("HEM_VECTORS") else {
        eprintln!("HEM_VECTORS is not set: the published edge cases are not run");
        return;
    };
    let text = std::fs::read_to_string(std::path::Path::new(&folder).join("ed25519/cctv/ed25519vectors.json")).unwrap();
    let list: Vec<serde_json::Value> = serde_json::from_str(&text).unwrap();
    let mut numbers = Numbers(915);
    let mut signers = signers(3, &mut numbers);
    let mut edge = rows(&signers, BATCH, &mut numbers, |_| 0);
    for case in &list {
        let field = |name: &str| case[name].as_str().unwrap();
        let public: [u8; 32] = hex(field("key")).try_into().unwrap();
        let Ok(key) = Key::new(&public) else { continue };
        signers.push(Signer { secret: Scalar::ZERO, public, key });
        let message = field("msg").as_bytes().to_vec();
        let row = Row { signer: signers.len() - 1, message, signature: hex(field("sig")) };
        edge.insert(numbers.below(edge.len()), row);
    }
    let reasons = answers(&signers, &edge);
    for (row, reason) in edge.iter().zip(&reasons) {
        assert!(row.signer >= 3 || *reason == Met);
        assert_eq!(*reason == Met, oracle(&signers[row.signer], row));
    }
    let accepted = reasons.iter().filter(|&&reason| reason == Met).count();
    assert_eq!((edge.len(), accepted), (BATCH + 28, BATCH + 8));
}

fn hex(digits: &str) -> Vec<u8> {
    (0..digits.len()).step_by(2).map(|at| u8::from_str_radix(&digits[at..at + 2], 16).unwrap()).collect()
}

/// The rule in the words of the decision, step by step.
fn oracle(signer: &Signer, row: &Row) -> bool {
    let (r, s) = row.signature.split_at(32);
    let r: [u8; 32] = r.try_into().unwrap();
    let Some(s) = Option::<Scalar>::from(Scalar::from_canonical_bytes(s.try_into().unwrap())) else { return false };
    let Some(point) = CompressedEdwardsY(r).decompress() else { return false };
    let a = CompressedEdwardsY(signer.public).decompress().unwrap();
    let hash = Sha512::new_with_prefix(r).chain_update(signer.public).chain_update(&row.message).finalize();
    let k = Scalar::from_bytes_mod_order_wide(&hash.into());
    let eight = Scalar::from(8_u8);
    point.compress().to_bytes() == r
        && !point.is_small_order()
        && eight * (s * ED25519_BASEPOINT_POINT) == eight * point + eight * (k * a)
}
