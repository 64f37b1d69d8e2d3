//! The file of a key table: it saves work, and decides nothing. Damage of every kind is told, and no key comes out of it.

mod common;

use std::fs;
use std::path::{Path, PathBuf};

use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair as _};
use aws_lc_rs::signature::{ML_DSA_65_SIGNING, PqdsaKeyPair};
use common::{Chip, Numbers, join};
use curve25519_dalek::constants::EIGHT_TORSION;
use curve25519_dalek::edwards::CompressedEdwardsY;
use hem_core::Reason::{KeyMalformed, KeyTwice, KeyWeak, Met, UnknownAlgorithm};
use hem_core::ed25519::Mode;
use hem_core::ed25519::form;
use hem_core::{Candidate, KeyTable, Reason, Spans, store, verify};
use sha2::{Digest as _, Sha256};

const ROOM: usize = 1 << 24;
/// Bytes before the first row, and of the row of an Ed25519 key before the key and in all.
const HEAD: usize = 32;
const NAMES: usize = 34;
const ROW: usize = NAMES + 32 + 64;

/// What owns the bytes of a candidate.
#[derive(Clone)]
struct Chipless {
    algorithm: i32,
    key: Vec<u8>,
    id: u8,
}

impl Chipless {
    fn ask(&self) -> Candidate<'_> {
        let mut ueid = [self.id; 17];
        ueid[0] = 1;
        Candidate { algorithm: self.algorithm, public_key: &self.key, kid: [self.id; 16], ueid }
    }
}

fn ed25519(id: u8) -> Chipless {
    Chipless { algorithm: -8, key: Chip::new(id).public().to_vec(), id }
}

/// Ed25519 keys with one of each other kind among them.
fn mixed() -> Vec<Chipless> {
    let p256 = EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING).unwrap();
    let ml_dsa = PqdsaKeyPair::generate(&ML_DSA_65_SIGNING).unwrap();
    let mut all: Vec<Chipless> = (1..8).map(ed25519).collect();
    all.insert(2, Chipless { algorithm: -7, key: p256.public_key().as_ref().to_vec(), id: 100 });
    all.insert(6, Chipless { algorithm: -49, key: ml_dsa.public_key().as_ref().to_vec(), id: 101 });
    all
}

fn asked(all: &[Chipless]) -> Vec<Candidate<'_>> {
    all.iter().map(Chipless::ask).collect()
}

fn enrolled(all: &[Chipless]) -> KeyTable {
    let mut table = KeyTable::default();
    assert_eq!(table.enroll_many(&asked(all)), vec![Met; all.len()]);
    table
}

fn file(table: &KeyTable) -> Vec<u8> {
    let mut bytes = Vec::new();
    table.write_to(&mut bytes).unwrap();
    bytes
}

/// The file with a digest that fits whatever was done to it.
fn sealed(mut bytes: Vec<u8>) -> Vec<u8> {
    let end = bytes.len() - 32;
    let digest = Sha256::digest(&bytes[..end]);
    bytes[end..].copy_from_slice(&digest);
    bytes
}

fn fault(bytes: Vec<u8>) -> String {
    let error = KeyTable::prepared(bytes, ROOM).expect_err("a damaged file");
    assert_eq!(error.kind(), std::io::ErrorKind::InvalidData);
    error.to_string()
}

/// A folder that goes away with the test.
struct Folder(PathBuf);

impl Folder {
    fn new(name: &str) -> Self {
        let path = std::env::temp_dir().join(format!("hem-store-{name}-{}", std::process::id()));
        fs::create_dir_all(&path).unwrap();
        Self(path)
    }

    fn names(&self) -> Vec<String> {
        fs::read_dir(&self.0).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect()
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        drop(fs::remove_dir_all(&self.0));
    }
}

#[test]
fn a_file_saves_the_same_rows_and_is_written_the_same_again() {
    let all = mixed();
    let bytes = file(&enrolled(&all));
    for size in [1, 3, all.len()] {
        let mut table = KeyTable::prepared(bytes.clone(), ROOM).unwrap();
        assert_eq!((table.len(), table.find(&[1; 16]).is_some()), (0, false));
        for part in asked(&all).chunks(size) {
            assert_eq!(table.enroll_many(part), vec![Met; part.len()]);
        }
        assert_eq!((table.len(), table.unsaved()), (all.len(), 0));
        assert_eq!(file(&table), bytes);
        assert_eq!(table.find(&[101; 16]).map(|(row, found)| (row, found.ueid[16])), Some((6, 101)));
    }
    let found = store::candidates(&bytes).unwrap();
    assert_eq!(found.iter().map(|one| one.kid[0]).collect::<Vec<_>>(), [1, 2, 100, 3, 4, 5, 101, 6, 7]);
    assert_eq!(file(&KeyTable::default()).len(), HEAD + 32);
    assert_eq!(KeyTable::prepared(file(&KeyTable::default()), ROOM).unwrap().unsaved(), 0);
}

#[test]
fn keys_out_of_a_file_verify_as_keys_that_were_checked() {
    let chips: Vec<Chip> = (1..30).map(Chip::new).collect();
    let ask = |chip: &Chip, table: &mut KeyTable| table.enroll(-19, &chip.public(), chip.kid, chip.ueid);
    let mut first = KeyTable::new(ROOM);
    chips.iter().for_each(|chip| assert_eq!(ask(chip, &mut first), Met));
    let mut second = KeyTable::prepared(file(&first), 0).unwrap();
    chips.iter().for_each(|chip| assert_eq!(ask(chip, &mut second), Met));
    assert_eq!(second.unsaved(), 0);
    let mut rows: Vec<Vec<u8>> = chips.iter().map(|chip| chip.evidence(&[4; 32])).collect();
    rows.iter_mut().step_by(3).for_each(|row| *row.last_mut().unwrap() ^= 1);
    let (data, spans) = join(&rows);
    let spans = Spans::new(&data, spans).unwrap();
    for _ in 0..3 {
        let columns = verify(&second, &spans, Mode::Exact, 1).unwrap();
        assert_eq!(columns.reasons(), verify(&first, &spans, Mode::Exact, 1).unwrap().reasons());
        assert_eq!(columns.reasons().iter().filter(|&&reason| reason == 0).count(), 19);
    }
}

#[test]
fn no_byte_can_be_changed_unnoticed_and_no_end_cut_off() {
    let bytes = file(&enrolled(&mixed()));
    for at in (0..300).chain(bytes.len() - 300..bytes.len()) {
        let mut damaged = bytes.clone();
        damaged[at] ^= 4;
        fault(damaged);
    }
    for size in (0..300).chain(bytes.len() - 300..bytes.len()) {
        fault(bytes[..size].to_vec());
        if size >= HEAD + 32 {
            let text = fault(sealed(bytes[..size].to_vec()));
            assert!(text.contains("the rows end inside it"), "{text}");
        }
    }
    fault([&bytes[..], &[0]].concat());
}

#[test]
fn each_fault_says_what_and_where() {
    let bytes = file(&enrolled(&[ed25519(1), ed25519(2)]));
    let changed = |at: usize, new: &[u8]| {
        let mut bytes = bytes.clone();
        bytes[at..at + new.len()].copy_from_slice(new);
        bytes
    };
    let other = if form() == "lanes" { b"portable" } else { b"lanes\0\0\0" };
    for (damaged, texts) in [
        (Vec::new(), ["0 bytes", "expected at least 64"]),
        (changed(0, b"HEM"), ["byte 0", "does not start with \"hem-keys\""]),
        (changed(8, other), ["byte 8: written by kernel", "expected \""]),
        (changed(16, &[2]), ["byte 16: version 2", "expected 1"]),
        (changed(40, &[9]), ["byte 292", "SHA-256"]),
        (sealed(changed(24, &[3])), ["byte 292: row 2 of 3", "the rows end inside it"]),
        (sealed(changed(24, &[1])), ["byte 162: 130 bytes after the last of 1 rows", "expected none"]),
        (sealed(changed(24, &u64::MAX.to_le_bytes())), ["row 2 of 18446744073709551615", "the rows end inside it"]),
        (sealed(changed(HEAD, &[6])), ["byte 32: row 0 of 2: algorithm 6", "expected 0 to 5"]),
    ] {
        let text = fault(damaged);
        assert!(texts.iter().all(|part| text.contains(part)), "{text}");
    }
}

#[test]
fn a_forged_file_enrolls_what_no_file_would() {
    let all: Vec<Chipless> = (1..6).map(ed25519).collect();
    let bytes = file(&enrolled(&all));
    let mut numbers = Numbers(8);
    for round in 0..600 {
        let mut forged = bytes.clone();
        let at = HEAD + round % (forged.len() - HEAD - 32);
        forged[at] ^= 1 << numbers.below(8);
        let Ok(mut table) = KeyTable::prepared(sealed(forged), ROOM) else { continue };
        assert_eq!(table.enroll_many(&asked(&all)), vec![Met; 5]);
        // The row with the changed byte and those after it have been checked as if there were no file.
        let row = (at - HEAD) / ROW;
        assert_eq!(table.unsaved(), 5 - row, "byte {at}");
        assert_eq!(file(&table), bytes);
    }
}

#[test]
fn no_eighth_makes_a_key_of_a_weak_one() {
    let good = CompressedEdwardsY(Chip::new(1).public()).decompress().unwrap();
    let mut weak: Vec<[u8; 32]> = EIGHT_TORSION.iter().map(|point| point.compress().to_bytes()).collect();
    weak.extend(EIGHT_TORSION[1..].iter().map(|point| (good + point).compress().to_bytes()));
    let mut neutral = [0; 32];
    (neutral[0], neutral[31]) = (1, 0x80);
    weak.push(neutral);
    let template = file(&enrolled(&[ed25519(1)]));
    let own = template[HEAD + NAMES + 32..HEAD + ROW].to_vec();
    // x and y of the neutral point, in the two forms, and zeros.
    let mut eighths = vec![own, vec![0; 64], vec![0; 64], vec![0; 64]];
    (eighths[1][0], eighths[2][32]) = (1, 1);
    for key in weak {
        for eighth in &eighths {
            let mut forged = template.clone();
            forged[HEAD + NAMES..HEAD + ROW].copy_from_slice(&[&key[..], eighth].concat());
            let mut table = KeyTable::prepared(sealed(forged), ROOM).unwrap();
            let reason = table.enroll_many(&asked(&[Chipless { algorithm: -8, key: key.to_vec(), id: 1 }]))[0];
            assert_eq!(reason, if key == neutral { KeyMalformed } else { KeyWeak }, "{key:02x?}");
            assert!(table.is_empty());
        }
    }
}

#[test]
fn a_stale_file_helps_as_far_as_it_is_true() {
    let all: Vec<Chipless> = (1..10).map(ed25519).collect();
    let bytes = file(&enrolled(&all[..6]));
    let mut other = all.clone();
    other[3] = ed25519(200);
    for (keys, unsaved) in [(&all[..6], 0), (&all[..4], 0), (&all[..], 3), (&other[..], 6), (&other[3..], 6)] {
        let mut table = KeyTable::prepared(bytes.clone(), ROOM).unwrap();
        assert_eq!(table.enroll_many(&asked(keys)), vec![Met; keys.len()]);
        assert_eq!(table.unsaved(), unsaved);
        assert_eq!(file(&table), file(&enrolled(keys)));
        assert_eq!(table.find(&[9; 16]).is_some(), keys.iter().any(|one| one.id == 9));
    }
    // Only what differs in nothing is the same row.
    for change in [|one: &mut Chipless| one.id = 77, |one: &mut Chipless| one.algorithm = -7] {
        let mut first = all[0].clone();
        change(&mut first);
        let mut table = KeyTable::prepared(bytes.clone(), ROOM).unwrap();
        let reason = table.enroll_many(&asked(&[first.clone(), all[1].clone()]))[0];
        assert_eq!(reason, if first.algorithm == -7 { KeyMalformed } else { Met });
        assert_eq!(table.unsaved(), table.len());
    }
}

#[test]
fn many_at_once_are_as_one_by_one() {
    let mut all = mixed();
    all.extend([ed25519(3), ed25519(30), ed25519(31), ed25519(30), ed25519(32)]);
    all[10].key = vec![0; 32];
    all[12].algorithm = -1;
    let fresh = all.len();
    all.push(Chipless { id: 33, ..ed25519(3) }); // another kid and chip under a key that is there
    let bytes = file(&enrolled(&all[..3]));
    let mut one_by_one = KeyTable::default();
    let expected: Vec<Reason> =
        asked(&all).iter().map(|one| one_by_one.enroll(one.algorithm, one.public_key, one.kid, one.ueid)).collect();
    assert_eq!(expected[9..], [KeyTwice, KeyWeak, Met, UnknownAlgorithm, Met, Met]);
    assert_eq!(fresh, 14);
    for mut table in [KeyTable::default(), KeyTable::prepared(bytes, ROOM).unwrap()] {
        assert_eq!(table.enroll_many(&asked(&all)), expected);
        assert_eq!((table.len(), file(&table)), (12, file(&one_by_one)));
    }
}

#[test]
fn a_saved_file_is_whole_and_the_table_goes_on_from_it() {
    let folder = Folder::new("saved");
    let path = folder.0.join("chips.keys");
    let all: Vec<Chipless> = (1..8).map(ed25519).collect();
    let mut table = enrolled(&all[..4]);
    table.save(&path).unwrap();
    let open = KeyTable::open(&path, ROOM).unwrap();
    assert_eq!(table.enroll_many(&asked(&all[4..])), vec![Met; 3]);
    assert_eq!(table.unsaved(), 3);
    table.save(&path).unwrap();
    assert_eq!((table.unsaved(), folder.names()), (0, vec!["chips.keys".to_owned()]));
    assert_eq!(fs::read(&path).unwrap(), file(&enrolled(&all)));
    // The file that was open before is the one that it was.
    let mut open = open;
    assert_eq!(open.enroll_many(&asked(&all)), vec![Met; 7]);
    assert_eq!(open.unsaved(), 3);
}

#[test]
fn what_cannot_be_saved_or_opened_is_an_error_and_leaves_nothing() {
    let folder = Folder::new("unsaved");
    let mut table = enrolled(&[ed25519(1)]);
    assert!(table.save(&folder.0.join("no/such/folder")).is_err());
    fs::create_dir(folder.0.join("taken")).unwrap();
    assert!(table.save(&folder.0.join("taken")).is_err());
    assert_eq!(folder.names(), ["taken"]);
    assert_eq!(table.unsaved(), 1);
    assert!(KeyTable::open(Path::new("/no/such/file"), ROOM).is_err());
    fs::write(folder.0.join("empty"), b"").unwrap();
    assert!(KeyTable::open(&folder.0.join("empty"), ROOM).unwrap_err().to_string().contains("0 bytes"));
}
