//! The enrolled keys: which key a kid names, and which chip it speaks for.

use std::hash::{BuildHasher as _, RandomState};
use std::io;
use std::path::Path;
use std::sync::Arc;

use hashbrown::HashTable;

use crate::ed25519::Budget;
use crate::reason::Reason;
use crate::reason::Reason::{KeyMalformed, KeyTwice, Met, TooManyItems, UnknownAlgorithm};
use crate::signatures::{Algorithm, Key};
use crate::store::{self, Prepared, Record};

/// A key that asks to be enrolled, and its chip.
#[derive(Clone, Copy, Debug)]
pub struct Candidate<'a> {
    /// A COSE number.
    pub algorithm: i32,
    /// Raw, or an uncompressed SEC 1 point for ES256 and ES384.
    pub public_key: &'a [u8],
    /// Taken as given: whoever calls has computed it from the key.
    pub kid: [u8; 16],
    /// The one chip that may sign with the key.
    pub ueid: [u8; 17],
}

/// An enrolled key and its chip: a row of 200 bytes, 128 of them an Ed25519 key without its tables.
#[derive(Clone, Debug)]
pub struct Enrolled {
    /// The checked key.
    pub key: Key,
    /// What messages call the key.
    pub kid: [u8; 16],
    /// The one chip that may sign with it.
    pub ueid: [u8; 17],
}

/// Enrolled keys in the order of enrollment. Rows are only ever added, so a row number stays true.
///
/// A table that was opened from a file has no row. The file holds what the checks of its keys found, in a form that can
/// be checked again in less time: as long as the same keys are enrolled in the same order, that is what happens.
#[derive(Debug, Default)]
pub struct KeyTable {
    rows: Vec<Enrolled>,
    by_kid: Index,
    by_ueid: Index,
    budget: Arc<Budget>,
    prepared: Prepared,
}

impl KeyTable {
    /// Returns a table whose keys may have tables of multiples of `table_bytes` together.
    ///
    /// With less memory rows take longer; no answer changes.
    #[must_use]
    pub fn new(table_bytes: usize) -> Self {
        Self { budget: Arc::new(Budget::new(table_bytes)), ..Self::default() }
    }

    /// Returns a table without rows, prepared with the bytes of a file.
    ///
    /// # Errors
    /// `InvalidData`: what is wrong with the bytes, and where.
    pub fn prepared(bytes: Vec<u8>, table_bytes: usize) -> io::Result<Self> {
        Ok(Self::expecting(Prepared::new(bytes.into())?, table_bytes))
    }

    /// Returns a table without rows, prepared with a file, which is mapped and must from now on only be replaced.
    ///
    /// # Errors
    /// The system's; `InvalidData` as in `prepared`.
    pub fn open(path: &Path, table_bytes: usize) -> io::Result<Self> {
        Ok(Self::expecting(Prepared::new(store::mapped(path)?)?, table_bytes))
    }

    /// With room for all rows of a file, so that none is moved and no name is hashed twice.
    fn expecting(prepared: Prepared, table_bytes: usize) -> Self {
        let mut table = Self { prepared, ..Self::new(table_bytes) };
        let rows = table.prepared.left();
        table.rows.reserve(rows);
        table.by_kid.rows.reserve(rows, |_| 0);
        table.by_ueid.rows.reserve(rows, |_| 0);
        table
    }

    /// How many keys are enrolled.
    #[must_use]
    pub fn len(&self) -> usize {
        self.rows.len()
    }

    /// Whether no key is enrolled.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    /// How many of the last rows no file has that this table was opened from or saved to.
    #[must_use]
    pub fn unsaved(&self) -> usize {
        self.rows.len() - self.prepared.rows()
    }

    /// Appends a key as the next row and returns `Met`; after any other reason the table is as it was.
    ///
    /// `kid` is taken as given: its caller computes it from the key.
    pub fn enroll(&mut self, algorithm: i32, public_key: &[u8], kid: [u8; 16], ueid: [u8; 17]) -> Reason {
        self.enroll_many(&[Candidate { algorithm, public_key, kid, ueid }]).pop().unwrap_or(KeyMalformed)
    }

    /// Does for each candidate in order what `enroll` does, sooner, and returns the reasons.
    pub fn enroll_many(&mut self, candidates: &[Candidate<'_>]) -> Vec<Reason> {
        let (mut keys, ends) = self.admitted(candidates);
        keys.extend(checked(candidates.get(keys.len()..).unwrap_or_default(), &self.budget));
        let mut ends = ends.into_iter();
        candidates
            .iter()
            .zip(keys)
            .map(|(candidate, key)| {
                let reason = key.map_or_else(|reason| reason, |key| self.push(candidate, key));
                match (ends.next(), reason) {
                    (Some(end), Met) => self.prepared.pass(end),
                    _ => self.prepared.close(),
                }
                reason
            })
            .collect()
    }

    /// The keys of the first candidates, as far as the file has them and shows that they are keys; and where in the file
    /// the row of each ends.
    fn admitted(&self, candidates: &[Candidate<'_>]) -> (Vec<Result<Key, Reason>>, Vec<usize>) {
        let same = |(record, candidate): &(Record<'_>, &Candidate<'_>)| record.is(candidate);
        let records = self.prepared.records().zip(candidates).take_while(same);
        let (known, mut ends): (Vec<_>, Vec<usize>) =
            records.map(|(record, _)| ((record.algorithm, record.public_key, record.eighth), record.end)).unzip();
        let admitted = Key::admitted(&known, &self.budget).into_iter();
        let keys: Vec<Result<Key, Reason>> = admitted.map_while(|key| key.map(Ok)).collect();
        ends.truncate(keys.len());
        (keys, ends)
    }

    fn push(&mut self, candidate: &Candidate<'_>, key: Key) -> Reason {
        let Candidate { kid, ueid, .. } = *candidate;
        let Ok(row) = u32::try_from(self.rows.len()) else { return TooManyItems };
        let (rows, by_kid, by_ueid) = (&self.rows, &mut self.by_kid, &mut self.by_ueid);
        let kid_of = |row: usize| rows.get(row).map(|enrolled| &enrolled.kid[..]);
        let ueid_of = |row: usize| rows.get(row).map(|enrolled| &enrolled.ueid[..]);
        if by_kid.find(&kid, kid_of).is_some() || by_ueid.find(&ueid, ueid_of).is_some() {
            return KeyTwice;
        }
        by_kid.insert(&kid, row, kid_of);
        by_ueid.insert(&ueid, row, ueid_of);
        self.rows.push(Enrolled { key, kid, ueid });
        Met
    }

    /// Returns the row of the key that `kid` names, and the key.
    #[must_use]
    pub fn find(&self, kid: &[u8; 16]) -> Option<(usize, &Enrolled)> {
        let row = self.by_kid.find(kid, |row| self.rows.get(row).map(|enrolled| &enrolled.kid[..]))?;
        self.rows.get(row).map(|enrolled| (row, enrolled))
    }

    /// Returns the key of a row.
    #[must_use]
    pub fn row(&self, row: usize) -> Option<&Enrolled> {
        self.rows.get(row)
    }

    /// Writes the file of this table to `out`.
    ///
    /// # Errors
    /// Those of `out`.
    pub fn write_to(&self, out: impl io::Write) -> io::Result<()> {
        let unsaved = self.rows.get(self.prepared.rows()..).unwrap_or_default();
        store::write(out, &self.prepared, unsaved)
    }

    /// Makes `path` the file of this table, whole or not at all, and durably.
    ///
    /// # Errors
    /// The system's; then the file is as it was.
    pub fn save(&mut self, path: &Path) -> io::Result<()> {
        store::replace(path, |file| self.write_to(file))?;
        self.prepared = Prepared::passed(store::mapped(path)?, self.rows.len());
        Ok(())
    }
}

/// The keys of candidates, each checked by the rule of its algorithm.
fn checked(candidates: &[Candidate<'_>], budget: &Arc<Budget>) -> Vec<Result<Key, Reason>> {
    let known: Vec<Option<(Algorithm, &[u8])>> = candidates
        .iter()
        .map(|candidate| Some((Algorithm::from_cose(candidate.algorithm)?, candidate.public_key)))
        .collect();
    let keys: Vec<(Algorithm, &[u8])> = known.iter().copied().flatten().collect();
    let mut keys = Key::new_many(&keys, budget).into_iter();
    known.iter().map(|known| known.and_then(|_| keys.next()).unwrap_or(Err(UnknownAlgorithm))).collect()
}

/// Row numbers by a name that the row itself holds. The hash is seeded at random, so nobody can look for names that meet.
#[derive(Debug, Default)]
struct Index {
    rows: HashTable<u32>,
    hasher: RandomState,
}

impl Index {
    /// The row with this name, where `name_of` has the name of each row.
    fn find<'a>(&self, name: &[u8], name_of: impl Fn(usize) -> Option<&'a [u8]>) -> Option<usize> {
        let is_named = |&row: &u32| name_of(row as usize) == Some(name);
        self.rows.find(self.hasher.hash_one(name), is_named).map(|&row| row as usize)
    }

    /// Adds a row whose name no other row has.
    fn insert<'a>(&mut self, name: &[u8], row: u32, name_of: impl Fn(usize) -> Option<&'a [u8]>) {
        let again = |&row: &u32| self.hasher.hash_one(name_of(row as usize).unwrap_or_default());
        self.rows.insert_unique(self.hasher.hash_one(name), row, again);
    }
}
