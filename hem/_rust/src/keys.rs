//! The enrolled keys: which key a kid names, and which chip it speaks for.

use std::collections::{HashMap, HashSet};

use crate::reason::Reason;
use crate::reason::Reason::{KeyTwice, Met, UnknownAlgorithm};
use crate::signatures::{Algorithm, Key};

/// An enrolled key and its chip.
#[derive(Clone, Debug)]
pub struct Enrolled {
    /// The checked key.
    pub key: Key,
    /// The one chip that may sign with it.
    pub ueid: [u8; 17],
}

/// Enrolled keys in the order of enrollment. Rows are only ever added, so a row number stays true.
#[derive(Clone, Debug, Default)]
pub struct KeyTable {
    rows: Vec<Enrolled>,
    by_kid: HashMap<[u8; 16], usize>,
    ueids: HashSet<[u8; 17]>,
}

impl KeyTable {
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

    /// Appends a key as the next row and returns `Met`; after any other reason the table is as it was.
    ///
    /// `kid` is taken as given: its caller computes it from the key.
    pub fn enroll(&mut self, algorithm: i32, public_key: &[u8], kid: [u8; 16], ueid: [u8; 17]) -> Reason {
        let Some(algorithm) = Algorithm::from_cose(algorithm) else {
            return UnknownAlgorithm;
        };
        match Key::new(algorithm, public_key) {
            Err(reason) => reason,
            Ok(_) if self.by_kid.contains_key(&kid) || self.ueids.contains(&ueid) => KeyTwice,
            Ok(key) => {
                self.by_kid.insert(kid, self.rows.len());
                self.ueids.insert(ueid);
                self.rows.push(Enrolled { key, ueid });
                Met
            }
        }
    }

    /// Returns the row of the key that `kid` names, and the key.
    #[must_use]
    pub fn find(&self, kid: &[u8; 16]) -> Option<(usize, &Enrolled)> {
        let &row = self.by_kid.get(kid)?;
        self.rows.get(row).map(|enrolled| (row, enrolled))
    }

    /// Returns the key of a row.
    #[must_use]
    pub fn row(&self, row: usize) -> Option<&Enrolled> {
        self.rows.get(row)
    }
}
