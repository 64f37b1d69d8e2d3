//! Fixed work for a counter of instructions: `fixed MODE...` does everything that happens once in a process, then for each
//! mode makes keys and rows from seeds and does its work inside of `measured`, the one function to count in.
//!
//! Prints one line of JSON a mode: its name, the kernel, the rows that it looked at, and how many of them were good.

#[path = "../tests/common/mod.rs"]
mod common;

use std::hint::black_box;

use common::{Numbers, claims, join, map};
use ed25519_dalek::{Signer as _, SigningKey};
use hem_core::ed25519::{Key, Signed, kernel, verify_rows};
use hem_core::{KeyTable, Reason, Spans};

const ROWS: usize = 512;
const MESSAGE: usize = 400;
const LONG: usize = 65_536;
/// Rows of one call, as `batch::verify` makes them.
const CHUNK: usize = 256;
/// Sweeps after which a key that comes again has the largest table it will get.
const SWEEPS: usize = 6;
const MODES: [&str; 11] = [
    "tables",
    "fleet",
    "audit",
    "forged-1pct",
    "forged-50pct",
    "forged-100pct",
    "long-beside",
    "long-alone",
    "scan",
    "strangers",
    "enrolled",
];

struct Row {
    key: usize,
    message: Vec<u8>,
    signature: [u8; 64],
}

#[inline(never)]
fn measured<T>(work: impl FnOnce() -> T) -> T {
    black_box(work())
}

fn signers(count: usize) -> Vec<SigningKey> {
    let mut seeds = Numbers(3);
    (0..count).map(|_| SigningKey::from_bytes(&seeds.bytes())).collect()
}

fn keys(signers: &[SigningKey]) -> Vec<Key> {
    signers.iter().map(|signer| Key::new(signer.verifying_key().as_bytes()).expect("a good key")).collect()
}

fn row(signers: &[SigningKey], at: usize, length: usize) -> Row {
    let message: Vec<u8> = at.to_le_bytes().into_iter().cycle().take(length).collect();
    let key = at % signers.len();
    Row { key, signature: signers[key].sign(&message).to_bytes(), message }
}

/// Each row at a multiple of `every` gets another s under L, so that no check but the equation refuses it.
fn forge(rows: &mut [Row], every: usize) {
    for row in rows.iter_mut().step_by(every) {
        row.signature[32] ^= 1;
    }
}

fn sweep(keys: &[Key], rows: &[Row]) -> usize {
    let signed: Vec<Signed<'_>> = rows
        .iter()
        .map(|row| Signed { key: &keys[row.key], signature: &row.signature, message: [&row.message, b"", b"", b""] })
        .collect();
    let met = |chunk: &[Signed<'_>]| verify_rows(chunk).iter().filter(|&&reason| reason == Reason::Met).count();
    signed.chunks(CHUNK).map(met).sum()
}

/// Sweeps once with other keys, for what is built once in a process.
fn warm() {
    let other = [SigningKey::from_bytes(&[1; 32])];
    assert_eq!(sweep(&keys(&other), &[row(&other, 0, MESSAGE)]), 1);
}

/// Signatures without messages around them. Returns how many rows there were and how many were good.
fn signatures(mode: &str) -> (usize, usize) {
    let signers = signers(if mode == "audit" { 8 } else { ROWS });
    let keys = keys(&signers);
    let mut rows: Vec<Row> = (0..ROWS).map(|at| row(&signers, at, MESSAGE)).collect();
    match mode {
        "forged-1pct" => forge(&mut rows, 100),
        "forged-50pct" => forge(&mut rows, 2),
        "forged-100pct" => forge(&mut rows, 1),
        "long-beside" => rows[ROWS / 3] = row(&signers, ROWS / 3, LONG),
        "long-alone" => rows = vec![row(&signers, ROWS / 3, LONG)],
        _ => {}
    }
    let sweeps = match mode {
        "tables" => 0,
        "audit" => SWEEPS,
        _ => 1,
    };
    for _ in 0..sweeps {
        sweep(&keys, &rows);
    }
    (rows.len(), measured(|| sweep(&keys, &rows)))
}

/// Whole messages, of chips that are strangers to the table or enrolled in it.
fn messages(mode: &str) -> (usize, usize) {
    let chips: Vec<common::Chip> = (0..=u8::MAX).map(common::Chip::new).collect();
    let rows: Vec<Vec<u8>> = chips.iter().map(|chip| chip.sign(-19, &map(&claims(&chip.ueid, &[4; 32])))).collect();
    let mut table = KeyTable::default();
    for chip in if mode == "enrolled" { &chips[..] } else { &[] } {
        assert_eq!(table.enroll(-19, &chip.public(), chip.kid, chip.ueid), Reason::Met);
    }
    let (data, spans) = join(&rows);
    let spans = Spans::new(&data, spans).expect("rows lie inside their own buffer");
    hem_core::verify(&table, &spans, 1).expect("no thread is needed");
    let columns = measured(|| match mode {
        "scan" => hem_core::scan(&spans),
        _ => hem_core::verify(&table, &spans, 1).expect("no thread is needed"),
    });
    (rows.len(), columns.reasons().iter().filter(|&&reason| reason == 0).count())
}

fn main() {
    let modes: Vec<String> = std::env::args().skip(1).collect();
    if let Some(wrong) = modes.iter().find(|mode| !MODES.contains(&mode.as_str())) {
        eprintln!("fixed: mode {wrong:?}, expected some of: {}", MODES.join(", "));
        std::process::exit(2);
    }
    warm();
    for mode in modes {
        let (rows, good) = match mode.as_str() {
            "scan" | "strangers" | "enrolled" => messages(&mode),
            _ => signatures(&mode),
        };
        println!("{{\"mode\": \"{mode}\", \"kernel\": \"{}\", \"rows\": {rows}, \"good\": {good}}}", kernel());
    }
}
