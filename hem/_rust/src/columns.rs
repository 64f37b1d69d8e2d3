//! Rows as columns: one vector per value, and one shared list for strings.

use std::collections::HashMap;

use crate::reason::Reason;

/// One column, ready to leave the crate.
#[derive(Clone, Debug, PartialEq)]
pub enum Column {
    /// Flags.
    Bool(Vec<bool>),
    /// Small numbers.
    U8(Vec<u8>),
    /// Reasons.
    U16(Vec<u16>),
    /// Codes into the list of strings.
    U32(Vec<u32>),
    /// Counters.
    U64(Vec<u64>),
    /// Algorithms.
    I32(Vec<i32>),
    /// Row numbers of keys.
    I64(Vec<i64>),
    /// Places.
    F64(Vec<f64>),
    /// Byte strings of one width, end to end.
    Bytes(Vec<u8>, usize),
}

/// Columns with their names.
pub type Named = Vec<(&'static str, Column)>;

macro_rules! cell {
    ($($cell:ty => $variant:ident),*) => {
        $(impl From<Vec<$cell>> for Column {
            fn from(cells: Vec<$cell>) -> Self {
                Self::$variant(cells)
            }
        })*
    };
}
cell!(bool => Bool, u8 => U8, u16 => U16, u32 => U32, u64 => U64, i32 => I32, i64 => I64, f64 => F64);

impl<const N: usize> From<Vec<[u8; N]>> for Column {
    fn from(cells: Vec<[u8; N]>) -> Self {
        Self::Bytes(cells.into_flattened(), N)
    }
}

macro_rules! table {
    ($($(#[$doc:meta])* $name:ident: $cell:ty,)*) => {
        /// The values of fixed size of one row; all zero until read.
        #[derive(Clone, Copy, Debug, Default)]
        pub struct Row {
            $($(#[$doc])* pub $name: $cell,)*
        }

        /// The values of fixed size of all rows.
        #[derive(Clone, Debug, Default)]
        struct Fixed {
            $($name: Vec<$cell>,)*
        }

        /// The same of some rows, to be written.
        #[derive(Debug)]
        struct FixedCells<'c> {
            $($name: &'c mut [$cell],)*
        }

        impl Fixed {
            fn zeros(rows: usize) -> Self {
                Self { $($name: vec![Default::default(); rows],)* }
            }

            fn chunks(&mut self, rows: usize) -> impl Iterator<Item = FixedCells<'_>> {
                $(let mut $name = self.$name.chunks_mut(rows);)*
                std::iter::from_fn(move || Some(FixedCells { $($name: $name.next()?,)* }))
            }

            fn into_named(self) -> Named {
                vec![$((stringify!($name), self.$name.into()),)*]
            }
        }

        impl FixedCells<'_> {
            fn put(&mut self, at: usize, row: &Row) {
                $(set(self.$name, at, row.$name);)*
            }
        }
    };
}

fn set<T>(cells: &mut [T], at: usize, value: T) {
    if let Some(cell) = cells.get_mut(at) {
        *cell = value;
    }
}

table! {
    /// Code of the reason.
    reason: u16,
    /// SHA-256 of the row's bytes.
    digest: [u8; 32],
    /// Row of the key in the table; -1 for none.
    key_row: i64,
    /// `alg` of the header.
    algorithm: i32,
    /// `kid` of the header.
    kid: [u8; 16],
    /// Claim 10.
    nonce: [u8; 32],
    /// Claim 256.
    ueid: [u8; 17],
    /// Claim 258.
    oemid: [u8; 3],
    /// Claim 261, seconds.
    uptime: u64,
    /// Claim 267.
    bootcount: u64,
    /// Claim -80001.
    sequence: u64,
    /// Claim -80004, clock cycles.
    cycles: u64,
    /// Claim -80004, units of 10^6 FLOP.
    mflop: u64,
    /// Claim -80004, joules.
    joules: u64,
    /// Claim -80004, units of 1,024 bytes.
    link_kib: u64,
    /// Claim -80005.
    grant_sequence: u64,
    /// Claim -80005, clock cycles.
    grant_spent: u64,
    /// Claim -80005, clock cycles.
    grant_remaining: u64,
    /// Claim -80009, flags.
    tamper: u64,
    /// Claim 262: 0 when absent, 1 false, 2 true.
    oemboot: u8,
    /// Claim 263.
    dbgstat: u8,
    /// Claim 264, degrees; NaN when absent.
    latitude: f64,
    /// Claim 264, degrees; NaN when absent.
    longitude: f64,
    /// Claim 264, meters; NaN when absent.
    accuracy: f64,
    /// Claim 268.
    bootseed: [u8; 32],
    /// Claim -80002.
    previous: [u8; 32],
    /// Claim -80005.
    grant_digest: [u8; 32],
    /// Claim -80005.
    grant_license: [u8; 16],
    /// Whether claim -80005 is there.
    has_grant: bool,
}

macro_rules! texts {
    ($($(#[$doc:meta])* $name:ident,)*) => {
        /// The values of variable size of one row, where they stand in the message; empty when absent.
        #[derive(Clone, Copy, Debug, Default)]
        pub struct Texts<'a> {
            $($(#[$doc])* pub $name: &'a [u8],)*
        }

        /// Codes of the strings of all rows.
        #[derive(Clone, Debug, Default)]
        struct Codes {
            $($name: Vec<u32>,)*
        }

        /// The same of some rows, to be written, and the last string of each column with its code.
        #[derive(Debug)]
        struct CodeCells<'c, 'a> {
            $($name: (&'c mut [u32], &'a [u8], u32),)*
        }

        impl Codes {
            fn zeros(rows: usize) -> Self {
                Self { $($name: vec![0; rows],)* }
            }

            fn chunks<'a>(&mut self, rows: usize) -> impl Iterator<Item = CodeCells<'_, 'a>> {
                $(let mut $name = self.$name.chunks_mut(rows);)*
                std::iter::from_fn(move || Some(CodeCells { $($name: ($name.next()?, b"", 0),)* }))
            }

            fn into_named(self) -> Named {
                vec![$((stringify!($name), self.$name.into()),)*]
            }
        }

        impl<'a> CodeCells<'_, 'a> {
            /// Most rows say what the row before them said, and then nothing is hashed.
            fn put(&mut self, at: usize, texts: &Texts<'a>, strings: &mut Strings<'a>) {
                $({
                    let (cells, last, code) = &mut self.$name;
                    if !same(last, texts.$name) {
                        (*last, *code) = (texts.$name, strings.code(texts.$name));
                    }
                    set(cells, at, *code);
                })*
            }

            fn rename(&mut self, map: &[u32]) {
                let renamed = |code: &mut u32| *code = map.get(*code as usize).copied().unwrap_or_default();
                $(self.$name.0.iter_mut().for_each(renamed);)*
            }
        }
    };
}

texts! {
    /// Claim 259, content.
    hwmodel,
    /// Claim 260, UTF-8 content.
    hwversion,
    /// Claim 270, UTF-8 content.
    swname,
    /// Claim 271, UTF-8 content.
    swversion,
    /// Claim -80008, UTF-8 content.
    purpose,
    /// Claim -80003, the array as CBOR.
    components,
    /// Claim -80007, the array as CBOR.
    peers,
    /// Claim -80006, the array as CBOR.
    ranging,
}

/// Whether two strings are equal. They are of a few bytes, for which the call of memcmp that `==` makes takes longer.
fn same(one: &[u8], other: &[u8]) -> bool {
    let (words, bytes) = one.as_chunks::<8>();
    let (others, rest) = other.as_chunks::<8>();
    one.len() == other.len()
        && words.iter().zip(others).all(|(a, b)| a == b)
        && bytes.iter().zip(rest).all(|(a, b)| a == b)
}

/// A list of distinct strings; number 0 is the empty one. The map is keyed with random state, so that no choice of
/// strings makes it slow.
#[derive(Clone, Debug)]
struct Strings<'a> {
    codes: HashMap<&'a [u8], u32>,
    list: Vec<&'a [u8]>,
}

impl Default for Strings<'_> {
    fn default() -> Self {
        Self { codes: HashMap::new(), list: vec![b""] }
    }
}

impl<'a> Strings<'a> {
    fn code(&mut self, string: &'a [u8]) -> u32 {
        if string.is_empty() {
            return 0;
        }
        // A row has eight strings, and memory holds fewer than 2^29 rows.
        let next = u32::try_from(self.list.len()).unwrap_or(u32::MAX);
        let code = *self.codes.entry(string).or_insert(next);
        if code == next {
            self.list.push(string);
        }
        code
    }
}

/// What came of N rows: every column has N cells. Strings are numbered by first use, in row order.
#[derive(Clone, Debug, Default)]
pub struct Columns {
    fixed: Fixed,
    codes: Codes,
    strings: Vec<Box<[u8]>>,
}

/// The place of some rows in the columns. Places do not overlap, so each can be filled on its own thread.
#[derive(Debug)]
pub struct Place<'c, 'a> {
    fixed: FixedCells<'c>,
    codes: CodeCells<'c, 'a>,
    strings: Strings<'a>,
}

impl Columns {
    /// Returns the columns of `rows` rows, after `fill` has put them: it gets the places of each `size` rows in order.
    ///
    /// A row that it did not put is refused.
    ///
    /// # Errors
    /// That of `fill`.
    pub fn filled<'a, E>(
        rows: usize,
        size: usize,
        fill: impl FnOnce(&mut [Place<'_, 'a>]) -> Result<(), E>,
    ) -> Result<Self, E> {
        let (mut fixed, mut codes) = (Fixed::zeros(rows), Codes::zeros(rows));
        fixed.reason.fill(Reason::SignatureInvalid.code());
        let cells = fixed.chunks(size).zip(codes.chunks(size));
        let mut places: Vec<Place<'_, 'a>> =
            cells.map(|(fixed, codes)| Place { fixed, codes, strings: Strings::default() }).collect();
        fill(&mut places)?;
        let mut strings = Strings::default();
        for place in &mut places {
            let map: Vec<u32> = place.strings.list.iter().map(|string| strings.code(string)).collect();
            if map.iter().zip(0..).any(|(&to, from)| to != from) {
                place.codes.rename(&map);
            }
        }
        let strings = strings.list.into_iter().map(Box::from).collect();
        Ok(Self { fixed, codes, strings })
    }

    /// How many rows there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.fixed.reason.len()
    }

    /// Whether there are no rows.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The code of the reason of each row.
    #[must_use]
    pub fn reasons(&self) -> &[u16] {
        &self.fixed.reason
    }

    /// The columns by name, and the list that the codes point into.
    #[must_use]
    pub fn into_named(self) -> (Named, Vec<Box<[u8]>>) {
        let mut named = self.fixed.into_named();
        named.extend(self.codes.into_named());
        (named, self.strings)
    }
}

impl<'a> Place<'_, 'a> {
    /// Puts row `at` of this place: its values.
    pub fn put(&mut self, at: usize, row: &Row, texts: &Texts<'a>) {
        self.fixed.put(at, row);
        self.codes.put(at, texts, &mut self.strings);
    }

    /// Puts row `at`, of which nothing but its bytes is known.
    pub fn put_refused(&mut self, at: usize, reason: Reason, digest: [u8; 32]) {
        self.put(at, &Row { reason: reason.code(), digest, key_row: -1, ..Row::default() }, &Texts::default());
    }

    /// Says what came of the signature of row `at`, and which row of the table its key is.
    pub fn judge(&mut self, at: usize, reason: Reason, key_row: i64) {
        set(self.fixed.reason, at, reason.code());
        set(self.fixed.key_row, at, key_row);
    }

    /// The UEID that row `at` names.
    #[must_use]
    pub fn ueid(&self, at: usize) -> Option<&[u8; 17]> {
        self.fixed.ueid.get(at)
    }
}

#[cfg(test)]
mod tests {
    use super::{Column, Columns, Reason, Row, Texts};

    #[test]
    fn rows_go_where_they_belong_and_those_that_are_missing_are_refused() {
        let texts = |swname: &'static [u8], purpose: &'static [u8]| Texts { swname, purpose, ..Texts::default() };
        let filled = Columns::filled(5, 2, |places| {
            assert_eq!(places.len(), 3);
            // From the last to the first: strings are numbered in the order of rows whatever is filled first.
            for (number, place) in places.iter_mut().enumerate().rev() {
                let uptime = number as u64;
                place.put(0, &Row { uptime, ..Row::default() }, &texts(b"one", if number == 0 { b"" } else { b"two" }));
                place.put(2, &Row { uptime: 9, ..Row::default() }, &texts(b"outside", b""));
            }
            Ok::<(), ()>(())
        });
        let columns = filled.unwrap_or_default();
        let missing = Reason::SignatureInvalid.code();
        assert_eq!(columns.reasons(), [0, missing, 0, missing, 0]);
        let (named, strings) = columns.into_named();
        let column = |name| named.iter().find(|(at, _)| *at == name).map(|(_, column)| column.clone());
        assert_eq!(column("uptime"), Some(Column::U64(vec![0, 0, 1, 0, 2])));
        let name = |code: u32| strings.get(code as usize).map(|string| &**string);
        assert_eq!(column("swname"), Some(Column::U32(vec![1, 0, 1, 0, 1])));
        assert_eq!(name(1), Some(&b"one"[..]));
        let Some(Column::U32(purposes)) = column("purpose") else { panic!("no column of codes") };
        let found: Vec<_> = purposes.iter().map(|&code| name(code)).collect();
        assert_eq!(found, [Some(&b""[..]), Some(b""), Some(b"two"), Some(b""), Some(b"two")]);
    }
}
