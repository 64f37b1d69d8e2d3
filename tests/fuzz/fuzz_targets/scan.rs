//! Any bytes as a file: `split` and `scan` end without a panic, rows are in order and inside the file, and a row reads
//! the same where it stands, alone, and behind other bytes. What reads without a fault has none as an item either.
#![no_main]

use hem_core::cbor::check;
use hem_core::columns::Named;
use hem_core::{Reason, Spans, Split, claims, cose, scan, split};
use libfuzzer_sys::fuzz_target;

fn columns(data: &[u8], spans: Vec<(usize, usize)>) -> (Named, Vec<Box<[u8]>>) {
    scan(&Spans::new(data, spans).expect("rows lie inside the file")).into_named()
}

/// One row at a time, and from a first piece that ends anywhere, the rows are the same.
fn in_steps(data: &[u8], rows: &[(usize, usize)], next: usize) {
    let (mut at, mut found) = (0, Vec::new());
    while at < data.len() {
        let step = split(data, at, 1, true);
        at = step.next;
        found.extend(step.rows);
    }
    assert_eq!((&found[..], at), (rows, next));
    let first = split(&data[..data.len() / 2], 0, usize::MAX, false);
    let others = split(data, first.next, usize::MAX, true);
    assert_eq!([first.rows, others.rows].concat(), rows);
}

fn sound(row: &[u8]) {
    if let Ok(sign1) = cose::open(row) {
        assert_eq!(check(row), Ok(()));
        assert!(claims::read(sign1.payload).is_err() || check(sign1.payload).is_ok());
    }
}

fuzz_target!(|data: &[u8]| {
    let Split { rows, reason, next } = split(data, 0, usize::MAX, true);
    assert!(rows.is_sorted_by(|one, other| one.1 <= other.0));
    assert!(reason == Reason::Met || rows.last().is_some_and(|last| last.1 == data.len()));
    in_steps(data, &rows, next);
    columns(data, rows.clone());
    let moved = [b"\xD2\x84\x40", data].concat();
    for (start, end) in rows.into_iter().chain([(0, data.len())]).take(16) {
        sound(&data[start..end]);
        let here = format!("{:?}", columns(data, vec![(start, end)]));
        assert_eq!(format!("{:?}", columns(&data[start..end], vec![(0, end - start)])), here);
        assert_eq!(format!("{:?}", columns(&moved, vec![(start + 3, end + 3)])), here);
    }
});
