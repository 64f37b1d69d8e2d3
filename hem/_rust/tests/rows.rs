//! Whole rows: which reason wins, what the columns hold, and that no row depends on its neighbors or on threads.

mod common;

use common::{Chip, Numbers, array, bytes, claims, head, int, join, map, text};
use ed25519_dalek::Signer as _;
use hem_core::columns::Column;
use hem_core::ed25519::Mode;
use hem_core::{
    Columns, KeyTable, Parts, Reason, Spans, Split, cbor, claims, cose, scan, split, verify, verify_signed,
};

const NONCE: [u8; 32] = [6; 32];

fn table(chips: &[Chip]) -> KeyTable {
    let mut table = KeyTable::default();
    for chip in chips {
        assert_eq!(table.enroll(-8, &chip.public(), chip.kid, chip.ueid), Reason::Met);
    }
    table
}

fn verified(table: &KeyTable, rows: &[Vec<u8>], threads: usize) -> Columns {
    let (data, spans) = join(rows);
    verify(table, &Spans::new(&data, spans).unwrap(), Mode::Exact, threads).unwrap()
}

fn codes(reasons: &[Reason]) -> Vec<u16> {
    reasons.iter().map(|reason| reason.code()).collect()
}

/// The reason of a good piece of evidence after `change`.
fn decoded(change: impl FnOnce(&mut Vec<(i64, Vec<u8>)>)) -> Reason {
    let chip = Chip::new(1);
    let mut pairs = claims(&chip.ueid, &NONCE);
    change(&mut pairs);
    let (data, spans) = join(&[chip.sign(-8, &map(&pairs))]);
    let code = scan(&Spans::new(&data, spans).unwrap()).reasons()[0];
    Reason::ALL.iter().copied().find(|reason| reason.code() == code).unwrap()
}

fn replaced(key: i64, value: Vec<u8>) -> Reason {
    decoded(|pairs| pairs.iter_mut().find(|(at, _)| *at == key).unwrap().1 = value)
}

fn column(columns: &Columns, name: &str) -> Column {
    columns.clone().into_named().0.into_iter().find(|(at, _)| *at == name).unwrap().1
}

#[test]
fn optional_claims_may_be_absent_and_required_ones_not() {
    assert_eq!(decoded(|_| ()), Reason::Met);
    let keys: Vec<i64> = claims(&[1; 17], &NONCE).into_iter().map(|(key, _)| key).collect();
    for key in keys {
        let optional = [260, 264, -80_005, -80_006, -80_007, -80_008, -80_009].contains(&key);
        let expected = if optional { Reason::Met } else { Reason::MissingKey };
        assert_eq!(decoded(|pairs| pairs.retain(|(at, _)| *at != key)), expected, "{key}");
    }
}

#[test]
fn values_outside_the_schema_are_refused() {
    let ueid = |first: u8, rest: u8| bytes(&[&[first][..], &[rest; 16]].concat());
    let component = |name: &str, digest: usize| array(&[text(name), bytes(&vec![0; digest]), int(1)]);
    let transcript = |kid: u8, digest: usize| array(&[bytes(&[kid; 16]), bytes(&vec![0; digest])]);
    let ranging = |transcripts: &[Vec<u8>]| array(&[bytes(&[0; 32]), array(transcripts)]);
    let half = |high: u8, low: u8| vec![0xF9, high, low];
    let good = half(0x3C, 0);
    for (key, value, reason) in [
        (10, bytes(&[0; 31]), Reason::WrongValue),
        (10, text("nonce"), Reason::WrongType),
        (256, ueid(2, 0), Reason::WrongValue),
        (258, bytes(b"ab"), Reason::WrongValue),
        (259, bytes(b""), Reason::WrongValue),
        (259, bytes(&[0; 33]), Reason::WrongValue),
        (260, array(&[]), Reason::WrongValue),
        (260, array(&[text("a"), text("b")]), Reason::WrongValue),
        (260, text("a"), Reason::WrongType),
        (261, int(-1), Reason::WrongType),
        (261, good.clone(), Reason::WrongType),
        (263, int(5), Reason::WrongValue),
        (264, int(1), Reason::WrongType),
        (264, map(&[(1, good.clone())]), Reason::MissingKey),
        (264, map(&[(1, good.clone()), (2, good.clone()), (3, good.clone())]), Reason::UnknownKey),
        (264, map(&[(1, int(1)), (2, good.clone())]), Reason::WrongType),
        (264, map(&[(1, half(0x7E, 0)), (2, good.clone())]), Reason::WrongValue),
        (264, map(&[(1, half(0x55, 0xB0)), (2, good.clone())]), Reason::WrongValue),
        (264, map(&[(1, good.clone()), (2, half(0x7C, 0))]), Reason::WrongValue),
        (264, map(&[(1, good.clone()), (2, good.clone()), (4, half(0xBC, 0))]), Reason::WrongValue),
        (265, text("tag:hem.example,2026:eat#2"), Reason::WrongProfile),
        (265, bytes(b"tag"), Reason::WrongType),
        (270, text(""), Reason::WrongValue),
        (270, text(&"a".repeat(65)), Reason::WrongValue),
        (-80_003, array(&[]), Reason::WrongValue),
        (-80_003, array(&vec![component("rom", 32); 17]), Reason::WrongValue),
        (-80_003, array(&[component("rom", 31)]), Reason::WrongValue),
        (-80_003, array(&[component("", 32)]), Reason::WrongValue),
        (-80_003, array(&[array(&[text("rom"), bytes(&[0; 32])])]), Reason::WrongValue),
        (-80_004, array(&[int(1), int(1), int(1)]), Reason::WrongValue),
        (-80_004, array(&[int(1), int(1), int(1), int(-1)]), Reason::WrongType),
        (-80_005, array(&[bytes(&[0; 15]), int(1), bytes(&[0; 32]), int(1), int(1)]), Reason::WrongValue),
        (-80_006, array(&[bytes(&[0; 32])]), Reason::WrongValue),
        (-80_006, ranging(&[]), Reason::WrongValue),
        (-80_006, ranging(&[transcript(1, 32), transcript(1, 32)]), Reason::WrongValue),
        (-80_006, ranging(&[transcript(2, 32), transcript(1, 32)]), Reason::WrongValue),
        (-80_006, ranging(&[transcript(2, 32), transcript(1, 32), text("")]), Reason::WrongType),
        (-80_006, ranging(&[transcript(1, 31)]), Reason::WrongValue),
        (-80_006, ranging(&(0..33).map(|i| transcript(i, 32)).collect::<Vec<_>>()), Reason::WrongValue),
        (-80_007, array(&[ueid(1, 2), ueid(1, 2)]), Reason::WrongValue),
        (-80_007, array(&[ueid(1, 3), ueid(1, 2), text("")]), Reason::WrongType),
        (-80_007, array(&vec![ueid(1, 1); 65]), Reason::WrongValue),
        (-80_009, array(&[]), Reason::WrongType),
    ] {
        assert_eq!(replaced(key, value.clone()), reason, "{key}: {value:02x?}");
    }
    assert_eq!(replaced(264, map(&[(1, half(0x55, 0xA0)), (2, good.clone()), (4, half(0, 0))])), Reason::Met);
    assert_eq!(replaced(-80_007, array(&[])), Reason::Met);
    assert_eq!(replaced(-80_006, ranging(&[transcript(0, 32), transcript(1, 32)])), Reason::Met);
    assert_eq!(decoded(|pairs| pairs.insert(1, (12, int(0)))), Reason::UnknownKey);
    assert_eq!(decoded(|pairs| pairs.push((-80_010, int(0)))), Reason::UnknownKey);
}

#[test]
fn the_first_check_that_fails_names_the_reason() {
    let chips = [Chip::new(1), Chip::new(2)];
    let table = table(&chips[..1]);
    let payload = map(&claims(&chips[0].ueid, &NONCE));
    let broken = |mut row: Vec<u8>| {
        *row.last_mut().unwrap() ^= 0xFF; // the top byte of s: s is at least L
        row
    };
    let flipped = |mut row: Vec<u8>| {
        let at = row.len() - 40; // within s, below its top
        row[at] ^= 1;
        row
    };
    let rows = [
        chips[0].evidence(&NONCE),
        chips[0].sign(-8, b"\xA0"),
        broken(chips[1].evidence(&NONCE)),
        broken(chips[0].sign(-7, &payload)),
        broken(chips[0].evidence(&NONCE)),
        flipped(chips[0].evidence(&NONCE)),
        chips[0].sign(-8, &map(&claims(&chips[1].ueid, &NONCE))),
        vec![],
    ];
    let columns = verified(&table, &rows, 1);
    let expected = [
        Reason::Met,
        Reason::MissingKey,
        Reason::KeyUnknown,
        Reason::AlgorithmMismatch,
        Reason::SignatureMalformed,
        Reason::SignatureInvalid,
        Reason::UeidMismatch,
        Reason::Empty,
    ];
    assert_eq!(columns.reasons(), codes(&expected));
    assert_eq!(column(&columns, "key_row"), Column::I64(vec![0, -1, -1, 0, 0, 0, 0, -1]));
    assert_eq!(column(&columns, "algorithm"), Column::I32(vec![-19, 0, -19, -7, -19, -19, -8, 0]));
}

#[test]
fn columns_hold_what_was_signed() {
    let chip = Chip::new(1);
    let columns = verified(&table(std::slice::from_ref(&chip)), &[chip.evidence(&NONCE), vec![0xD2]], 1);
    assert_eq!(column(&columns, "nonce"), Column::Bytes([NONCE, [0; 32]].concat(), 32));
    assert_eq!(column(&columns, "ueid"), Column::Bytes([chip.ueid, [0; 17]].concat(), 17));
    assert_eq!(column(&columns, "cycles"), Column::U64(vec![u64::MAX, 0]));
    assert_eq!(column(&columns, "longitude"), Column::F64(vec![1.1, 0.0]));
    assert_eq!(column(&columns, "latitude"), Column::F64(vec![20.0, 0.0]));
    assert_eq!(column(&columns, "has_grant"), Column::Bool(vec![true, false]));
    assert_eq!(column(&columns, "grant_remaining"), Column::U64(vec![11, 0]));
    let (_, strings) = columns.clone().into_named();
    let string = |name: &str, row: usize| match column(&columns, name) {
        Column::U32(codes) => strings[codes[row] as usize].to_vec(),
        other => panic!("{other:?}"),
    };
    assert_eq!((string("hwmodel", 0), string("hwmodel", 1)), (b"model".to_vec(), vec![]));
    assert_eq!((string("purpose", 0), string("swversion", 0)), (b"training".to_vec(), b"1.0".to_vec()));
    assert_eq!(string("ranging", 0).len(), 88);
}

#[test]
fn a_row_does_not_depend_on_threads_position_or_neighbors() {
    let chips: Vec<Chip> = (1..=20).map(Chip::new).collect();
    let table = table(&chips[..18]);
    let mut numbers = Numbers(3);
    let rows: Vec<Vec<u8>> = (0..1_000)
        .map(|row| {
            let mut evidence = chips[row % chips.len()].evidence(&numbers.bytes());
            if row % 7 == 0 {
                let at = numbers.below(evidence.len());
                evidence[at] ^= 1 << numbers.below(8);
            }
            evidence
        })
        .collect();
    let one = verified(&table, &rows, 1);
    let whole = format!("{:?}", one.clone().into_named());
    assert!(one.reasons().contains(&Reason::SignatureInvalid.code()));
    for threads in [2, 0, 7] {
        assert_eq!(format!("{:?}", verified(&table, &rows, threads).into_named()), whole);
    }
    let alone: Vec<u16> =
        rows.iter().flat_map(|row| verified(&table, std::slice::from_ref(row), 2).reasons().to_vec()).collect();
    assert_eq!(one.reasons(), alone);
    let backward: Vec<Vec<u8>> = rows.iter().rev().cloned().collect();
    assert!(verified(&table, &backward, 1).reasons().iter().eq(alone.iter().rev()));
}

#[test]
fn a_fault_of_the_encoding_wins_over_any_claim() {
    let half = |high: u8| vec![0xF9, high, 0];
    for (key, value, reason) in [
        (264, map(&[(2, half(0x3C)), (1, half(0x3C))]), Reason::UnsortedKeys),
        (264, map(&[(1, half(0x3C)), (1, half(0x3C))]), Reason::DuplicateKey),
        (264, map(&[(1, b"\xFA\x3F\x80\x00\x00".to_vec()), (2, half(0x3C))]), Reason::NotShortest),
        (264, map(&[(1, b"\xFB\x7F\xF8\0\0\0\0\0\0".to_vec()), (2, half(0x3C))]), Reason::NotShortest),
        (270, b"\x61\xFF".to_vec(), Reason::BadUtf8),
        (271, b"\x81\x61\xFF".to_vec(), Reason::BadUtf8),
        (-80_003, array(&[array(&[b"\x61\xFF".to_vec(), bytes(&[0; 32]), int(1)])]), Reason::BadUtf8),
        (-80_009, b"\x18\x17".to_vec(), Reason::NotShortest),
        (-80_009, b"\xC0\x00".to_vec(), Reason::WrongType),
        (-80_009, b"\x00\x00".to_vec(), Reason::TrailingBytes),
    ] {
        assert_eq!(replaced(key, value.clone()), reason, "{key}: {value:02x?}");
        // The claim before it is not what it should be, and comes first.
        let earlier = |pairs: &mut Vec<(i64, Vec<u8>)>| {
            pairs[0].1 = text("nonce");
            pairs.iter_mut().find(|(at, _)| *at == key).unwrap().1.clone_from(&value);
        };
        assert_eq!(decoded(earlier), reason, "{key}: {value:02x?}");
    }
    assert_eq!(decoded(|pairs| pairs.swap(0, 1)), Reason::UnsortedKeys);
    assert_eq!(decoded(|pairs| pairs.swap(18, 19)), Reason::UnsortedKeys);
    assert_eq!(decoded(|pairs| pairs.insert(21, pairs[20].clone())), Reason::DuplicateKey);
    assert_eq!(decoded(|pairs| pairs.insert(0, (11, int(0)))), Reason::UnsortedKeys);
}

#[test]
fn what_reads_without_a_fault_has_none_as_an_item() {
    let mut numbers = Numbers(11);
    let good = Chip::new(1).evidence(&NONCE);
    let (mut read, mut refused) = (0, 0);
    for _ in 0..200_000 {
        let mut row = good.clone();
        for _ in 0..=numbers.below(2) {
            let (at, with) = (numbers.below(row.len()), numbers.next().to_le_bytes()[0]);
            match numbers.below(4) {
                0 => row[at] ^= 1 << (with % 8),
                1 => row.insert(at, with),
                2 => drop(row.remove(at)),
                _ => row[at] = with,
            }
        }
        match cose::open(&row) {
            Ok(sign1) => {
                let header = &sign1.signed[1][2..]; // behind the head of a string of 24 to 255 bytes
                assert_eq!((cbor::check(&row), cbor::check(header)), (Ok(()), Ok(())), "{row:02x?}");
                let claims = claims::read(sign1.payload);
                assert!(claims.is_err() || cbor::check(sign1.payload).is_ok(), "{row:02x?}");
                read += usize::from(claims.is_ok());
            }
            Err(reason) => {
                assert!(cbor::check(&row).err().is_none_or(|fault| fault == reason), "{row:02x?}");
                refused += 1;
            }
        }
    }
    assert!(read > 10_000 && refused > 10_000, "{read} {refused}");
}

#[test]
fn parts_get_the_verdict_of_their_signature() {
    let chips: Vec<Chip> = (1..=3).map(Chip::new).collect();
    let table = table(&chips);
    let messages: Vec<Vec<u8>> = (0..600_usize).map(|row| vec![7; row % 90]).collect();
    let sign = |(row, message): (usize, &Vec<u8>)| chips[row % 3].key.sign(message).to_bytes().to_vec();
    let mut signatures: Vec<Vec<u8>> = messages.iter().enumerate().map(sign).collect();
    signatures[300][40] ^= 1;
    let mut key_rows: Vec<i64> = (0..600).map(|row| row % 3).collect();
    (key_rows[1], key_rows[599]) = (3, -1);
    let expected = |row| match row {
        1 | 599 => Reason::KeyUnknown,
        300 => Reason::SignatureInvalid,
        _ => Reason::Met,
    };
    let (data, spans) = join(&messages);
    let (more, others) = join(&signatures);
    let (messages, signatures) = (Spans::new(&data, spans).unwrap(), Spans::new(&more, others).unwrap());
    assert!(Parts::new(key_rows[1..].to_vec(), messages.clone(), signatures.clone()).is_none());
    let parts = Parts::new(key_rows, messages, signatures).unwrap();
    for threads in [1, 2, 0] {
        let reasons = verify_signed(&table, &parts, Mode::Exact, threads).unwrap();
        assert_eq!(reasons, codes(&(0..600).map(expected).collect::<Vec<Reason>>()));
    }
}

#[test]
fn enrollment_adds_a_row_or_nothing() {
    let (first, second) = (Chip::new(1), Chip::new(2));
    let mut table = table(std::slice::from_ref(&first));
    assert_eq!(table.enroll(-8, &second.public(), first.kid, second.ueid), Reason::KeyTwice);
    assert_eq!(table.enroll(-8, &second.public(), second.kid, first.ueid), Reason::KeyTwice);
    assert_eq!(table.enroll(-1, &second.public(), second.kid, second.ueid), Reason::UnknownAlgorithm);
    assert_eq!(table.enroll(-8, &[0; 32], second.kid, second.ueid), Reason::KeyWeak);
    for (algorithm, size) in [(-7, 65), (-35, 97)] {
        assert_eq!(table.enroll(algorithm, &vec![4; size], second.kid, second.ueid), Reason::KeyMalformed);
        assert_eq!(table.enroll(algorithm, &vec![4; size - 1], second.kid, second.ueid), Reason::KeyMalformed);
    }
    assert_eq!(table.enroll(-49, &[0; 1_951], second.kid, second.ueid), Reason::KeyMalformed);
    assert_eq!(table.len(), 1);
    assert_eq!(table.enroll(-19, &second.public(), second.kid, second.ueid), Reason::Met);
    assert_eq!(table.find(&second.kid).map(|(row, enrolled)| (row, enrolled.ueid)), Some((1, second.ueid)));
}

#[test]
fn spans_outside_the_data_are_named() {
    for (spans, row) in [(vec![(0, 3), (2, 4)], 1), (vec![(2, 1)], 0), (vec![(usize::MAX, usize::MAX)], 0)] {
        assert_eq!(Spans::new(b"abc", spans).err(), Some(row));
    }
    assert!(Spans::new(b"abc", vec![(0, 3), (3, 3), (0, 0)]).is_ok());
    let whole = split(&[head(2, 3), b"abc".to_vec()].concat(), 0, 9, true);
    assert_eq!(whole, Split { rows: vec![(1, 4)], reason: Reason::Met, next: 4 });
}
