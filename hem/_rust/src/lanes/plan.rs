//! What is to be added up for four signatures, as a list of steps. A list is made while the one before is worked off,
//! so that its entries are on their way from memory when they are wanted: a table of a fleet's keys fits no cache.

use super::Entry;
use super::digits::{self, SPAN};
use super::entry::{Digit, index};
use super::field::Element;
use super::point::{Affine, Point, Spare};
use super::tables::{
    BASE_DIGITS, BASE_WIDTH, BLOCK_BITS, Comb, FEW_DIGITS, FEW_WIDTH, Few, STEP, WIDE_DIGITS, WIDE_WIDTH, Wide,
};

/// The table that a key is multiplied with.
#[derive(Clone, Copy, Debug)]
pub(super) enum Table<'a> {
    /// Sums of teeth.
    Comb(&'a Comb),
    /// Odd multiples for every digit.
    Wide(&'a Wide),
    /// Odd multiples for one digit: the sum is doubled between the digits.
    Few(&'a Few),
}

impl Table<'_> {
    /// Tables of the same kind have the same.
    pub(super) const fn kind(&self) -> u8 {
        match self {
            Self::Comb(_) => 0,
            Self::Wide(_) => 1,
            Self::Few(_) => 2,
        }
    }
}

/// One addition in four lanes.
#[derive(Clone, Copy, Debug)]
pub(super) struct Step<'a> {
    pub(super) entries: [&'a Entry; 4],
    pub(super) digits: [Digit; 4],
    /// How often the sum is doubled before.
    pub(super) doublings: u32,
}

/// The steps of four signatures.
#[derive(Clone, Debug, Default)]
pub(super) struct Plan<'a>(Vec<Step<'a>>);

impl<'a> Plan<'a> {
    /// Makes this the plan for [s]B - [k]A in each lane. All four tables must be of one kind.
    pub(super) fn set(&mut self, tables: [Table<'a>; 4], ks: [&[u8; 32]; 4], ss: [&[u8; 32]; 4], base: &'a [Entry]) {
        self.0.clear();
        match tables {
            [Table::Comb(a), Table::Comb(b), Table::Comb(c), Table::Comb(d)] => self.comb([a, b, c, d], ks),
            [Table::Few(a), Table::Few(b), Table::Few(c), Table::Few(d)] => self.few([a, b, c, d], ks),
            tables => self.wide(tables, ks),
        }
        let mut columns = [[0; 4]; BASE_DIGITS];
        ss.into_iter().enumerate().for_each(|(lane, s)| digits::windows(s, BASE_WIDTH, lane, &mut columns));
        for (at, digits) in columns.into_iter().enumerate() {
            let entries = digits.map(|digit| &base[at << (BASE_WIDTH - 1) | index(digit)]);
            self.0.push(Step { entries, digits, doublings: 0 });
        }
    }

    /// Makes this the plan of nothing.
    pub(super) fn clear(&mut self) {
        self.0.clear();
    }

    fn comb(&mut self, combs: [&'a Comb; 4], ks: [&[u8; 32]; 4]) {
        let mut columns = [[0; 4]; SPAN];
        ks.into_iter().enumerate().for_each(|(lane, k)| digits::comb(k, lane, &mut columns));
        for at in (0..STEP).rev() {
            for (block, column) in [(0, at), (1, STEP + at)].into_iter().filter(|&(_, column)| column < SPAN) {
                let digits = columns[column];
                let entries = std::array::from_fn(|lane| &combs[lane][block << BLOCK_BITS | index(digits[lane])]);
                self.0.push(Step { entries, digits, doublings: u32::from(block == 0) });
            }
        }
    }

    fn wide(&mut self, tables: [Table<'a>; 4], ks: [&[u8; 32]; 4]) {
        let mut columns = [[0; 4]; WIDE_DIGITS];
        ks.into_iter().enumerate().for_each(|(lane, k)| digits::windows(k, WIDE_WIDTH, lane, &mut columns));
        let entry = |table: Table<'a>, at: usize, digit: Digit| match table {
            Table::Wide(wide) => &wide[at << (WIDE_WIDTH - 1) | index(digit)],
            Table::Comb(comb) => &comb[0],
            Table::Few(few) => &few[0],
        };
        for (at, digits) in columns.into_iter().enumerate() {
            let entries = std::array::from_fn(|lane| entry(tables[lane], at, digits[lane]));
            self.0.push(Step { entries, digits, doublings: 0 });
        }
    }

    fn few(&mut self, tables: [&'a Few; 4], ks: [&[u8; 32]; 4]) {
        let mut columns = [[0; 4]; FEW_DIGITS];
        ks.into_iter().enumerate().for_each(|(lane, k)| digits::windows(k, FEW_WIDTH, lane, &mut columns));
        for digits in columns.into_iter().rev() {
            let entries = std::array::from_fn(|lane| &tables[lane][index(digits[lane])]);
            self.0.push(Step { entries, digits, doublings: FEW_WIDTH });
        }
    }

    pub(super) fn steps(&self) -> &[Step<'a>] {
        &self.0
    }

    /// Asks for all entries: for a plan that has none before it.
    pub(super) fn prefetch(&self) {
        self.0.iter().flat_map(|step| step.entries).for_each(Entry::prefetch);
    }

    /// Works the steps off, and asks for the entries of the next plan along the way.
    #[target_feature(enable = "avx2,fma")]
    pub(super) fn sum<E: Element>(&self, next: &Self, one: E) -> Point<E> {
        let (mut sum, mut spare) = (Point::identity(one), Spare([one; 4]));
        for (at, step) in self.0.iter().enumerate() {
            if let Some(step) = next.0.get(at) {
                step.entries.iter().for_each(|entry| entry.prefetch());
            }
            let entry = Entry::gathered(step.entries, step.digits);
            if at == 0 {
                sum = Point::from_affine(&entry, one);
                continue;
            }
            for _ in 0..step.doublings {
                double(&mut sum);
            }
            add(&mut sum, &entry, &mut spare);
        }
        sum
    }
}

// Two routines, each once in the program: together they stay in the first cache of instructions.

#[target_feature(enable = "avx2,fma")]
#[inline(never)]
fn add<E: Element>(sum: &mut Point<E>, entry: &Affine<E>, spare: &mut Spare<E>) {
    sum.add_affine(entry, spare);
}

#[target_feature(enable = "avx2,fma")]
#[inline(never)]
fn double<E: Element>(sum: &mut Point<E>) {
    sum.double();
}
