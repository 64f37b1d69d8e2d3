//! What a key costs: `cargo run --release --example enroll [keys] [rounds]`, single-threaded; medians.
//!
//! Keys enrolled in a second, with and without their combs, beside curve25519-dalek's checks one key at a time, in turns
//! within one run; bytes of memory a key; and how long a file of all keys takes to be written, to be opened, and to have
//! its keys enrolled.

use std::hint::black_box;
use std::sync::Arc;
use std::time::Instant;

use curve25519_dalek::EdwardsPoint;
use curve25519_dalek::constants::ED25519_BASEPOINT_POINT;
use curve25519_dalek::edwards::CompressedEdwardsY;
use curve25519_dalek::scalar::Scalar;
use hem_core::ed25519::{Budget, Key, Signed, kernel, verify_rows};
use hem_core::{Candidate, KeyTable, Reason};

/// Keys of one round.
const ROUND: usize = 8_192;
/// Rows of one call, as `batch::verify` makes them.
const CHUNK: usize = 256;
const TABLES: usize = 1 << 30;

/// So many different keys.
fn public_keys(count: usize) -> Vec<[u8; 32]> {
    let mut point = EdwardsPoint::mul_base(&Scalar::from(77_u8));
    let points: Vec<EdwardsPoint> = (0..count)
        .map(|_| {
            point += ED25519_BASEPOINT_POINT;
            point
        })
        .collect();
    points.chunks(1_024).flat_map(EdwardsPoint::compress_batch_alloc).map(|encoding| encoding.to_bytes()).collect()
}

fn candidates(keys: &[[u8; 32]]) -> Vec<Candidate<'_>> {
    keys.iter()
        .enumerate()
        .map(|(at, public_key)| {
            let (mut kid, mut ueid) = ([0; 16], [1; 17]);
            kid[..8].copy_from_slice(&(at as u64).to_le_bytes());
            ueid[1..9].copy_from_slice(&(at as u64).to_le_bytes());
            Candidate { algorithm: -8, public_key, kid, ueid }
        })
        .collect()
}

/// Seconds that `work` takes, and what it gives.
fn timed<T>(work: impl FnOnce() -> T) -> (f64, T) {
    let start = Instant::now();
    let done = black_box(work());
    (start.elapsed().as_secs_f64(), done)
}

fn by_dalek(key: &[u8; 32]) -> bool {
    CompressedEdwardsY(*key)
        .decompress()
        .is_some_and(|point| point.compress().to_bytes() == *key && !point.is_small_order() && point.is_torsion_free())
}

/// Verifies a row under each key; what the rows say does not matter.
fn sweep(keys: &[Key]) -> f64 {
    let mut signature = [1; 64];
    signature[63] = 0;
    let message = [&b"row"[..], b"", b"", b""];
    let rows: Vec<Signed<'_>> = keys.iter().map(|key| Signed { key, signature: &signature, message }).collect();
    timed(|| rows.chunks(CHUNK).for_each(|chunk| assert_eq!(verify_rows(chunk)[0], Reason::SignatureInvalid))).0
}

fn median(mut times: Vec<f64>) -> f64 {
    times.sort_by(f64::total_cmp);
    times[times.len() / 2]
}

/// Keys enrolled in a second: ours, ours with combs, dalek's.
fn rates(keys: &[[u8; 32]], rounds: usize) {
    let mut times: [Vec<f64>; 5] = Default::default();
    for _ in 0..rounds {
        let (ours, enrolled) = timed(|| Key::new_many(keys, &Arc::new(Budget::new(TABLES))));
        let enrolled: Vec<Key> = enrolled.into_iter().map(|key| key.expect("a good key")).collect();
        let sweeps = [sweep(&enrolled), sweep(&enrolled), sweep(&enrolled)];
        // Combs are built in the sweep that takes longest.
        let building = sweeps[0].max(sweeps[1]) - sweeps[2];
        let some = &keys[..keys.len() / 8];
        let (dalek, _) = timed(|| assert!(some.iter().all(by_dalek)));
        let per_key = keys.len() as f64;
        let measured =
            [ours, ours + building, 8.0 * dalek, sweeps[0], sweeps[2]].map(|seconds| seconds * 1e6 / per_key);
        times.iter_mut().zip(measured).for_each(|(times, one)| times.push(one));
    }
    let [ours, combs, dalek, first, last] = times.map(median);
    println!("kernel {}, {} keys, medians of {rounds}", kernel(), keys.len());
    println!(
        "enrolled: {ours:.2} us a key, {:.0} a second; with its comb: {combs:.2} us, {:.0}",
        1e6 / ours,
        1e6 / combs
    );
    println!("curve25519-dalek, one key at a time: {dalek:.2} us, {:.0}", 1e6 / dalek);
    println!("ratios: {:.2}, with combs {:.2}", dalek / ours, dalek / combs);
    println!("first row of a key {first:.2} us, later ones {last:.2} us");
}

/// Bytes that this process has in memory.
fn resident() -> Option<f64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find(|line| line.starts_with("VmRSS:"))?;
    line.split_whitespace().nth(1)?.parse::<f64>().ok().map(|kib| kib * 1_024.0)
}

fn file(keys: &[[u8; 32]]) {
    let all = candidates(keys);
    let path = std::env::temp_dir().join(format!("hem-enroll-{}.keys", std::process::id()));
    let before = resident();
    let (enrolling, mut table) = timed(|| {
        let mut table = KeyTable::new(TABLES);
        all.chunks(4_096).for_each(|part| assert!(table.enroll_many(part).iter().all(|&reason| reason == Reason::Met)));
        table
    });
    let after = resident();
    let (saving, done) = timed(|| table.save(&path));
    done.expect("room in the folder for temporary files");
    drop(table);
    let (opening, opened) = timed(|| KeyTable::open(&path, TABLES));
    let mut opened = opened.expect("the file just written");
    let (again, ()) = timed(|| {
        all.chunks(4_096)
            .for_each(|part| assert!(opened.enroll_many(part).iter().all(|&reason| reason == Reason::Met)));
    });
    assert_eq!(opened.unsaved(), 0);
    let bytes = std::fs::metadata(&path).map_or(0, |file| file.len());
    std::fs::remove_file(&path).expect("the file just written");
    println!("{} keys: enrolled in {enrolling:.2} s, saved in {saving:.2} s ({bytes} bytes)", keys.len());
    println!("opened in {opening:.3} s, and enrolled again in {again:.3} s");
    if let (Some(before), Some(after)) = (before, after) {
        println!("memory: {:.0} bytes a key", (after - before) / keys.len() as f64);
    }
}

fn number(place: usize, default: usize) -> usize {
    std::env::args().nth(place).map_or(default, |text| text.parse().expect("a number"))
}

fn main() {
    let keys = public_keys(number(1, 1_000_000).max(ROUND));
    rates(&keys[..ROUND], number(2, 7));
    file(&keys);
}
