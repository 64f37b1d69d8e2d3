//! Microseconds per Ed25519 signature: ours on a fleet (a key a row) and on an audit (64 keys), and ed25519-dalek's
//! `verify`, in turns within one run. `cargo run --release --example verify [rounds]`; medians, single-threaded.

use std::time::Instant;

use ed25519_dalek::{Signature, Signer as _, SigningKey, VerifyingKey};
use hem_core::Reason;
use hem_core::ed25519::{Key, Signed, kernel, verify_rows};

const ROWS: usize = 16_384;
const MESSAGE: usize = 400;
/// Rows of one call, as `batch::verify` makes them.
const CHUNK: usize = 256;

struct Set {
    keys: Vec<(Key, VerifyingKey)>,
    rows: Vec<(usize, Vec<u8>, Signature)>,
}

fn set(keys: usize) -> Set {
    let signers: Vec<SigningKey> = (0..keys)
        .map(|at| {
            let mut seed = [7; 32];
            seed[..8].copy_from_slice(&(at as u64).to_le_bytes());
            SigningKey::from_bytes(&seed)
        })
        .collect();
    let rows = (0..ROWS)
        .map(|at| {
            let message: Vec<u8> = at.to_le_bytes().into_iter().cycle().take(MESSAGE).collect();
            let key = at % keys;
            let signature = signers[key].sign(&message);
            (key, message, signature)
        })
        .collect();
    let public = signers.iter().map(SigningKey::verifying_key);
    Set { keys: public.map(|key| (Key::new(key.as_bytes()).expect("a good key"), key)).collect(), rows }
}

fn ours(set: &Set, chunk: usize, forged: bool) -> f64 {
    let mut signatures: Vec<[u8; 64]> = set.rows.iter().map(|row| row.2.to_bytes()).collect();
    if forged {
        signatures.iter_mut().for_each(|signature| signature[1] ^= 1);
    }
    let signed: Vec<Signed<'_>> = set
        .rows
        .iter()
        .zip(&signatures)
        .map(|((key, message, _), signature)| Signed {
            key: &set.keys[*key].0,
            signature,
            message: [message, b"", b"", b""],
        })
        .collect();
    let start = Instant::now();
    let good: usize = signed
        .chunks(chunk)
        .map(|chunk| verify_rows(chunk).iter().filter(|&&reason| reason == Reason::Met).count())
        .sum();
    let elapsed = start.elapsed();
    assert_eq!(good, if forged { 0 } else { ROWS });
    elapsed.as_secs_f64() * 1e6 / ROWS as f64
}

fn dalek(set: &Set) -> f64 {
    let rows = &set.rows[..2_048];
    let start = Instant::now();
    for (key, message, signature) in rows {
        ed25519_dalek::Verifier::verify(&set.keys[*key].1, message, signature).expect("a good signature");
    }
    start.elapsed().as_secs_f64() * 1e6 / rows.len() as f64
}

fn median(mut times: Vec<f64>) -> f64 {
    times.sort_by(f64::total_cmp);
    times[times.len() / 2]
}

fn main() {
    let rounds: usize = std::env::args().nth(1).map_or(7, |rounds| rounds.parse().expect("a number of rounds"));
    let (fleet, audit) = (set(ROWS), set(64));
    println!("kernel {}, first sweep (no tables yet): {:.2} us", kernel(), ours(&fleet, CHUNK, false));
    println!("second sweep (combs are built): {:.2} us", ours(&fleet, CHUNK, false));
    println!("audit, first sweep: {:.2} us", ours(&audit, CHUNK, false));
    let mut times: [Vec<f64>; 5] = Default::default();
    for _ in 0..rounds {
        times[0].push(ours(&fleet, CHUNK, false));
        times[1].push(ours(&audit, CHUNK, false));
        times[2].push(dalek(&fleet));
        times[3].push(ours(&fleet, CHUNK, true));
        times[4].push(ours(&fleet, 1, false));
    }
    let least: Vec<f64> = times.iter().map(|times| times.iter().copied().fold(f64::MAX, f64::min)).collect();
    let [fleet, audit, dalek, forged, alone] = times.map(median);
    println!("fleet {fleet:.2} us, audit {audit:.2} us, dalek verify {dalek:.2} us (medians of {rounds})");
    println!("least: {:.2}, {:.2}, {:.2}", least[0], least[1], least[2]);
    println!("fleet, all forged {forged:.2} us, one row a call {alone:.2} us");
    println!("ratios: fleet {:.2}, audit {:.2}", dalek / fleet, dalek / audit);
}
