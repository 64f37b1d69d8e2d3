//! Microseconds per Ed25519 signature of the cofactored mode and of ed25519-dalek's `verify_batch`, in turns within one
//! run, on a key a row and on 64 keys. `cargo run --release --example cofactored [rounds]`; medians, single-threaded.

use std::time::Instant;

use ed25519_dalek::{Signature, Signer as _, SigningKey, VerifyingKey, verify_batch};
use hem_core::Reason;
use hem_core::ed25519::{Key, Mode, Signed, kernel, verify_rows_in};

const ROWS: usize = 65_536;
const MESSAGE: usize = 400;
/// Rows of one call in the exact mode, as `batch::verify` makes them.
const CHUNK: usize = 256;

struct Set {
    keys: Vec<Key>,
    rows: Vec<(usize, Vec<u8>, [u8; 64])>,
    public: Vec<VerifyingKey>,
    signatures: Vec<Signature>,
}

fn set(keys: usize) -> Set {
    let signers: Vec<SigningKey> = (0..keys)
        .map(|at| {
            let mut seed = [8; 32];
            seed[..8].copy_from_slice(&(at as u64).to_le_bytes());
            SigningKey::from_bytes(&seed)
        })
        .collect();
    let mut set = Set { keys: Vec::new(), rows: Vec::new(), public: Vec::new(), signatures: Vec::new() };
    for signer in &signers {
        set.keys.push(Key::new(signer.verifying_key().as_bytes()).expect("a good key"));
    }
    for at in 0..ROWS {
        let message: Vec<u8> = at.to_le_bytes().into_iter().cycle().take(MESSAGE).collect();
        let signature = signers[at % keys].sign(&message);
        set.public.push(signers[at % keys].verifying_key());
        set.signatures.push(signature);
        set.rows.push((at % keys, message, signature.to_bytes()));
    }
    set
}

/// Forges each row whose number is a multiple of `step`, by another s.
fn forged(set: &mut Set, step: usize) {
    set.rows.iter_mut().step_by(step).for_each(|row| row.2[33] ^= 1);
}

/// Enough runs over the first n rows for a time that can be measured.
fn runs(n: usize) -> usize {
    (4_096 / n).max(1)
}

fn each(n: usize, run: impl Fn()) -> f64 {
    let start = Instant::now();
    (0..runs(n)).for_each(|_| run());
    start.elapsed().as_secs_f64() * 1e6 / (n * runs(n)) as f64
}

fn ours(set: &Set, n: usize, mode: Mode, good: usize) -> f64 {
    let signed: Vec<Signed<'_>> = set.rows[..n]
        .iter()
        .map(|(key, message, signature)| Signed { key: &set.keys[*key], signature, message: [message, b"", b"", b""] })
        .collect();
    let size = if mode == Mode::Exact { CHUNK } else { n };
    each(n, || {
        let met =
            |rows: &[Signed<'_>]| verify_rows_in(mode, rows).iter().filter(|&&reason| reason == Reason::Met).count();
        assert_eq!(signed.chunks(size).map(met).sum::<usize>(), good);
    })
}

fn dalek(set: &Set, n: usize) -> f64 {
    let messages: Vec<&[u8]> = set.rows[..n].iter().map(|row| &row.1[..]).collect();
    each(n, || verify_batch(&messages, &set.signatures[..n], &set.public[..n]).expect("good signatures"))
}

fn median(mut times: Vec<f64>) -> f64 {
    times.sort_by(f64::total_cmp);
    times[times.len() / 2]
}

fn main() {
    let rounds: usize = std::env::args().nth(1).map_or(5, |rounds| rounds.parse().expect("a number of rounds"));
    println!("kernel {}, medians of {rounds} rounds, us a signature", kernel());
    for keys in [ROWS, 64] {
        let mut set = set(keys);
        println!("{keys} keys: first batch {:.2}", ours(&set, ROWS, Mode::Cofactored, ROWS));
        println!("{keys} keys: first exact sweep {:.2}", ours(&set, ROWS, Mode::Exact, ROWS));
        for n in [64, 1_024, 8_192, 65_536] {
            let mut times: [Vec<f64>; 3] = Default::default();
            for _ in 0..rounds {
                times[0].push(ours(&set, n, Mode::Cofactored, n));
                times[1].push(ours(&set, n, Mode::Exact, n));
                times[2].push(dalek(&set, n));
            }
            let [cofactored, exact, dalek] = times.map(median);
            println!(
                "{keys} keys, {n} rows: cofactored {cofactored:.2}, exact {exact:.2}, dalek verify_batch {dalek:.2}, ratio {:.2}",
                dalek / cofactored
            );
        }
        forged(&mut set, 1_000);
        let times = (0..rounds).map(|_| ours(&set, ROWS, Mode::Cofactored, ROWS - ROWS.div_ceil(1_000)));
        println!("{keys} keys, 1 of 1,000 rows forged: {:.2}", median(times.collect()));
        let mut all = self::set(keys);
        forged(&mut all, 1);
        let times = (0..rounds).map(|_| ours(&all, ROWS, Mode::Cofactored, 0));
        println!("{keys} keys, all rows forged: {:.2}", median(times.collect()));
    }
}
