//! Any bytes as the file of a key table, as they are and with a digest that fits: an error, or a table without rows in
//! which the keys that the file names are enrolled with the same reasons as in a table without a file. What was taken
//! out of the file is written to the next one byte by byte.
#![no_main]

use hem_core::{KeyTable, store};
use libfuzzer_sys::fuzz_target;
use sha2::{Digest as _, Sha256};

const DIGEST: usize = 32;

fn file(table: &KeyTable) -> Vec<u8> {
    let mut bytes = Vec::new();
    table.write_to(&mut bytes).expect("memory takes all");
    bytes
}

fn check(bytes: &[u8]) {
    let opened = KeyTable::prepared(bytes.to_vec(), 0);
    let Ok(candidates) = store::candidates(bytes) else {
        return assert!(opened.is_err());
    };
    let (mut table, mut fresh) = (opened.expect("a whole file"), KeyTable::new(0));
    assert!(table.is_empty());
    // The last one alone, so that a file is also left off in the middle.
    let (last, others) =
        candidates.split_last().map_or((&[][..], &[][..]), |(last, others)| (std::slice::from_ref(last), others));
    for part in [others, last] {
        assert_eq!(table.enroll_many(part), fresh.enroll_many(part));
    }
    assert_eq!((table.len(), fresh.unsaved()), (fresh.len(), fresh.len()));
    for candidate in &candidates {
        let found = |table: &KeyTable| table.find(&candidate.kid).map(|(row, found)| (row, found.ueid));
        assert_eq!(found(&table), found(&fresh));
    }
    let (again, anew) = (file(&table), file(&fresh));
    if table.unsaved() == 0 && table.len() == candidates.len() {
        assert_eq!(again, bytes);
    }
    let kept = store::candidates(&again).expect("what was just written");
    assert_eq!(kept.len(), table.len());
    assert_eq!(store::candidates(&anew).expect("what was just written").len(), fresh.len());
}

fuzz_target!(|data: &[u8]| {
    check(data);
    if let Some((body, _)) = data.split_last_chunk::<DIGEST>() {
        let mut head = body.to_vec();
        // The name of the kernel that runs, or no file of another machine's corpus would be read any further.
        let name = hem_core::ed25519::form().as_bytes();
        if let Some(place) = head.get_mut(8..16).filter(|_| body.starts_with(b"hem-keys")) {
            place.fill(0);
            place.iter_mut().zip(name).for_each(|(place, byte)| *place = *byte);
        }
        let digest = Sha256::digest(&head);
        check(&[&head[..], &digest[..]].concat());
    }
});
