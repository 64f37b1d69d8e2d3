//! Fixed work for a counter of instructions: `fixed MODE...` does everything that happens once in a process, then for
//! each mode makes keys and rows from seeds, and does the work of the mode between two calls of `mark`.
//!
//! Prints one line of JSON a mode: its name, the kernel, the rows that it looked at, and how many of them were good.

#[path = "../tests/common/mod.rs"]
mod common;

use std::hint::black_box;
use std::sync::LazyLock;

use common::{Numbers, claims, join, map};
use ed25519_dalek::{Signer as _, SigningKey};
use hem_core::ed25519::Mode;
use hem_core::ed25519::{Key, Signed, kernel, verify_rows};
use hem_core::{KeyTable, Reason, Spans};

const ROWS: usize = 512;
const MESSAGE: usize = 400;
const LONG: usize = 65_536;
/// Rows of one call, as `batch::verify` makes them.
const CHUNK: usize = 256;
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

#[derive(Clone)]
struct Row {
    key: usize,
    message: Vec<u8>,
    signature: [u8; 64],
}

/// Where a counter starts a new count: before each call.
#[inline(never)]
fn mark(at: u8) {
    black_box(at);
}

fn measured<T>(work: impl FnOnce() -> T) -> T {
    mark(0);
    let done = black_box(work());
    mark(1);
    done
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

/// Keys, and rows under them in turn.
struct Set {
    signers: Vec<SigningKey>,
    keys: Vec<Key>,
    rows: Vec<Row>,
}

impl Set {
    fn new(count: usize) -> Self {
        let mut seeds = Numbers(count as u64);
        let signers: Vec<SigningKey> = (0..count).map(|_| SigningKey::from_bytes(&seeds.bytes())).collect();
        let public = signers.iter().map(|signer| signer.verifying_key().to_bytes());
        let keys = public.map(|key| Key::new(&key).expect("a good key")).collect();
        Self { keys, rows: (0..ROWS).map(|at| row(&signers, at, MESSAGE)).collect(), signers }
    }

    /// With keys that have each signed a row, and will get their combs with the next.
    fn met(self) -> Self {
        assert_eq!(sweep(&self.keys, &self.rows[..self.keys.len()]), self.keys.len());
        self
    }

    /// With the largest tables that its keys will get.
    fn swept(self, times: usize) -> Self {
        (0..times).for_each(|_| assert_eq!(sweep(&self.keys, &self.rows), ROWS));
        self
    }
}

static FLEET: LazyLock<Set> = LazyLock::new(|| Set::new(ROWS).swept(2));
static AUDIT: LazyLock<Set> = LazyLock::new(|| Set::new(8).swept(6));

/// Signatures without messages around them. Returns how many rows there were and how many were good.
fn signatures(mode: &str) -> (usize, usize) {
    let (fresh, long);
    let set = match mode {
        "tables" => {
            fresh = Set::new(64).met();
            &fresh
        }
        "audit" => &*AUDIT,
        _ => &*FLEET,
    };
    let mut rows = set.rows.clone();
    match mode {
        "tables" => rows.truncate(64),
        "forged-1pct" => forge(&mut rows, 100),
        "forged-50pct" => forge(&mut rows, 2),
        "forged-100pct" => forge(&mut rows, 1),
        "long-beside" | "long-alone" => {
            long = row(&set.signers, ROWS / 3, LONG);
            if mode == "long-alone" { rows = vec![long] } else { rows[ROWS / 3] = long }
        }
        _ => {}
    }
    (rows.len(), measured(|| sweep(&set.keys, &rows)))
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
    // Combs are built with the second row of a key.
    (0..2).for_each(|_| drop(hem_core::verify(&table, &spans, Mode::Exact, 1).expect("no thread is needed")));
    let columns = measured(|| match mode {
        "scan" => hem_core::scan(&spans),
        _ => hem_core::verify(&table, &spans, Mode::Exact, 1).expect("no thread is needed"),
    });
    (rows.len(), columns.reasons().iter().filter(|&&reason| reason == 0).count())
}

fn main() {
    let modes: Vec<String> = std::env::args().skip(1).collect();
    if let Some(wrong) = modes.iter().find(|mode| !MODES.contains(&mode.as_str())) {
        eprintln!("fixed: mode {wrong:?}, expected some of: {}", MODES.join(", "));
        std::process::exit(2);
    }
    // What is built once in a process is no part of any mode.
    assert_eq!(Set::new(1).swept(1).keys.len(), 1);
    for mode in modes {
        let (rows, good) = match mode.as_str() {
            "scan" | "strangers" | "enrolled" => messages(&mode),
            _ => signatures(&mode),
        };
        println!("{{\"mode\": \"{mode}\", \"kernel\": \"{}\", \"rows\": {rows}, \"good\": {good}}}", kernel());
    }
}
