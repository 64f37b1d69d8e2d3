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

        impl Fixed {
            fn with_capacity(rows: usize) -> Self {
                Self { $($name: Vec::with_capacity(rows),)* }
            }

            fn push(&mut self, row: &Row) {
                $(self.$name.push(row.$name);)*
            }

            fn append(&mut self, mut later: Self) {
                $(self.$name.append(&mut later.$name);)*
            }

            fn into_named(self) -> Named {
                vec![$((stringify!($name), self.$name.into()),)*]
            }
        }
    };
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

        impl Codes {
            fn push(&mut self, texts: &Texts<'_>, strings: &mut Strings) {
                $(self.$name.push(strings.code(texts.$name));)*
            }

            fn append(&mut self, later: &Self, map: &[u32]) {
                let renamed = |code: &u32| map.get(*code as usize).copied().unwrap_or_default();
                $(self.$name.extend(later.$name.iter().map(renamed));)*
            }

            fn into_named(self) -> Named {
                vec![$((stringify!($name), self.$name.into()),)*]
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

/// A list of distinct strings; number 0 is the empty one. The map is keyed with random state, so that no choice of
/// strings makes it slow.
#[derive(Clone, Debug)]
struct Strings {
    codes: HashMap<Box<[u8]>, u32>,
    list: Vec<Box<[u8]>>,
}

impl Default for Strings {
    fn default() -> Self {
        Self { codes: HashMap::new(), list: vec![Box::default()] }
    }
}

impl Strings {
    fn code(&mut self, string: &[u8]) -> u32 {
        if string.is_empty() {
            return 0;
        }
        if let Some(&code) = self.codes.get(string) {
            return code;
        }
        // A row has eight strings, and memory holds fewer than 2^29 rows.
        let code = u32::try_from(self.list.len()).unwrap_or(u32::MAX);
        self.codes.insert(string.into(), code);
        self.list.push(string.into());
        code
    }
}

/// What came of N rows: every column has N cells. Strings are numbered by first use, in row order.
#[derive(Clone, Debug, Default)]
pub struct Columns {
    fixed: Fixed,
    codes: Codes,
    strings: Strings,
}

impl Columns {
    /// No rows yet, and room for `rows`.
    #[must_use]
    pub fn with_capacity(rows: usize) -> Self {
        Self { fixed: Fixed::with_capacity(rows), ..Self::default() }
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

    /// Adds a row.
    pub fn push(&mut self, row: &Row, texts: &Texts<'_>) {
        self.fixed.push(row);
        self.codes.push(texts, &mut self.strings);
    }

    /// Adds a row of which nothing but its bytes is known.
    pub fn push_refused(&mut self, reason: Reason, digest: [u8; 32]) {
        self.push(&Row { reason: reason.code(), digest, key_row: -1, ..Row::default() }, &Texts::default());
    }

    /// Adds the rows of `later` after those that are here.
    pub fn append(&mut self, later: Self) {
        let map: Vec<u32> = later.strings.list.iter().map(|string| self.strings.code(string)).collect();
        self.codes.append(&later.codes, &map);
        self.fixed.append(later.fixed);
    }

    /// The columns by name, and the list that the codes point into.
    #[must_use]
    pub fn into_named(self) -> (Named, Vec<Box<[u8]>>) {
        let mut named = self.fixed.into_named();
        named.extend(self.codes.into_named());
        (named, self.strings.list)
    }
}
