//! The kernel in lanes: hash, digits, sums of table entries, one inversion for all rows, byte compare.

use std::collections::HashMap;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, Ordering};

use curve25519_dalek::scalar::Scalar;

use super::digits::{self, SPAN};
use super::entry::{Digit, Entry, index, numbers, transposed};
use super::fe::{Fe4, Field as _};
use super::point::{Point, inverted};
use super::tables::{
    self, BASE_DIGITS, BASE_TABLE, BASE_WIDTH, BLOCK_BITS, COMB, STEP, Stored, WIDE_DIGITS, WIDE_WIDTH,
};
use super::{Kernel, Portable, Row, sha512};
use crate::ed25519::Key;

/// Signatures of one key after which a larger table is built for it: about what building it costs.
const MANY: u32 = 256;

/// The multiples of one key, as far as they have been built. A clone starts with none.
#[derive(Debug, Default)]
pub(crate) struct Tables {
    comb: OnceLock<Stored>,
    wide: OnceLock<Stored>,
    seen: AtomicU32,
}

impl Clone for Tables {
    fn clone(&self) -> Self {
        Self::default()
    }
}

/// Proof that this processor has AVX2 and FMA: only `detect` makes one.
#[derive(Clone, Copy, Debug)]
pub(super) struct Lanes(());

impl Lanes {
    /// Returns the kernel if this processor can run it.
    pub(super) fn detect() -> Option<Self> {
        (is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma")).then_some(Self(()))
    }
}

impl Kernel for Lanes {
    fn name(&self) -> &'static str {
        "lanes"
    }

    fn verify(&self, rows: &[Row<'_>]) -> Vec<bool> {
        if rows.is_empty() {
            return Vec::new();
        }
        if !rounds_to_nearest() {
            return Portable.verify(rows);
        }
        // SAFETY: `Lanes` exists only where AVX2 and FMA were found.
        unsafe { verify(rows) }
    }
}

/// Whether this thread rounds to nearest and lets no floating-point exception trap. The proof of the product needs the
/// first, and programs that this library is loaded into may have changed either.
fn rounds_to_nearest() -> bool {
    const ROUNDING: u32 = 0x6000;
    const MASKED: u32 = 0x1F80;
    let mut state = 0_u32;
    // SAFETY: stores the 32 bits of MXCSR, which every x86-64 processor has, into `state`.
    unsafe { std::arch::asm!("stmxcsr [{}]", in(reg) &raw mut state, options(nostack, preserves_flags)) };
    state & (ROUNDING | MASKED) == MASKED
}

/// The table that a row's key is multiplied with.
#[derive(Clone, Copy)]
enum Table<'a> {
    Comb(&'a [Entry; COMB]),
    Wide(&'a [Entry]),
}

#[target_feature(enable = "avx2,fma")]
fn verify(rows: &[Row<'_>]) -> Vec<bool> {
    let fresh = prepare(rows);
    let scalars = scalars(rows);
    let mut work: Vec<(usize, Table<'_>)> = rows.iter().enumerate().map(|(at, row)| (at, table(row.key, &fresh))).collect();
    // Lanes that add together must have tables of one kind.
    work.sort_by_key(|(_, table)| matches!(table, Table::Wide(_)));
    let combs = work.partition_point(|(_, table)| matches!(table, Table::Comb(_)));
    let (combs, wides) = work.split_at(combs);
    let one = Fe4::splat([1, 0, 0, 0]);
    let mut sums = Vec::with_capacity(rows.len() / 4 + 2);
    let groups: Vec<[usize; 4]> = combs.chunks(4).chain(wides.chunks(4)).map(|group| lanes(group, |(at, _)| *at)).collect();
    for group in combs.chunks(4) {
        let tables = lanes(group, |(_, table)| match table { Table::Comb(comb) => *comb, Table::Wide(_) => unreachable!() });
        let ks = lanes(group, |(at, _)| &scalars[*at]);
        let ss = lanes(group, |(at, _)| rows[*at].s);
        sums.push(with_base(comb_sum(tables, ks, one), ss));
    }
    for group in wides.chunks(4) {
        let tables = lanes(group, |(_, table)| match table { Table::Wide(wide) => *wide, Table::Comb(_) => unreachable!() });
        let ks = lanes(group, |(at, _)| &scalars[*at]);
        let ss = lanes(group, |(at, _)| rows[*at].s);
        sums.push(with_base(wide_sum(tables, ks, one), ss));
    }
    let mut verdicts = vec![false; rows.len()];
    compare(&sums, &groups, rows, one, &mut verdicts);
    verdicts
}

/// One value for each lane; lanes that a short group leaves over repeat its last.
fn lanes<'a, T, U>(group: &'a [T], of: impl Fn(&'a T) -> U) -> [U; 4] {
    std::array::from_fn(|lane| of(&group[lane.min(group.len() - 1)]))
}

fn table<'a>(key: &'a Key, fresh: &'a HashMap<*const Key, Box<[Entry]>>) -> Table<'a> {
    if let Some(wide) = key.tables().wide.get() {
        return Table::Wide(wide.entries());
    }
    let stored = key.tables().comb.get().map(Stored::entries);
    let comb = stored.or_else(|| fresh.get(&std::ptr::from_ref(key)).map(|comb| &**comb)).unwrap_or_default();
    #[allow(clippy::expect_used)]
    Table::Comb(comb.try_into().expect("a comb"))
}

#[target_feature(enable = "avx2,fma")]
fn prepare(rows: &[Row<'_>]) -> HashMap<*const Key, Box<[Entry]>> {
    let mut fresh = HashMap::new();
    let mut missing: Vec<&Key> = Vec::new();
    for row in rows {
        let tables = row.key.tables();
        if tables.wide.get().is_none() {
            if tables.seen.fetch_add(1, Ordering::Relaxed) >= MANY && tables::room_for(WIDE_DIGITS << (WIDE_WIDTH - 1)) {
                if let Ok(stored) = Stored::new(tables::wide(row.key.bytes())) {
                    let _ = tables.wide.set(stored);
                    continue;
                }
            }
            if tables.comb.get().is_none() {
                missing.push(row.key);
            }
        }
    }
    missing.sort_by_key(|key| std::ptr::from_ref(*key));
    missing.dedup_by_key(|key| std::ptr::from_ref(*key));
    for group in missing.chunks(4) {
        let combs = tables::combs(lanes(group, |key| key.bytes()));
        for (key, comb) in group.iter().zip(combs) {
            match Stored::new(comb) {
                Ok(stored) => { let _ = key.tables().comb.set(stored); }
                Err(comb) => { fresh.insert(std::ptr::from_ref(*key), comb); }
            }
        }
    }
    fresh
}

#[target_feature(enable = "avx2,fma")]
fn scalars(rows: &[Row<'_>]) -> Vec<[u8; 32]> {
    let messages: Vec<sha512::Pieces<'_>> = rows
        .iter()
        .map(|row| { let [a, b, c, d] = row.message; [&row.r[..], &row.key.bytes()[..], a, b, c, d] })
        .collect();
    sha512::digests(&messages).iter().map(|hash| Scalar::from_bytes_mod_order_wide(hash).to_bytes()).collect()
}

#[target_feature(enable = "avx2,fma")]
fn comb_sum(combs: [&[Entry; COMB]; 4], ks: [&[u8; 32]; 4], one: Fe4) -> Point<Fe4> {
    let mut columns = [[0; 4]; SPAN];
    for (lane, k) in ks.into_iter().enumerate() {
        digits::comb(k, lane, &mut columns);
    }
    let pick = |block: usize, digits: [Digit; 4]| {
        Entry::gathered(std::array::from_fn(|lane| &combs[lane][block << BLOCK_BITS | index(digits[lane])]), digits)
    };
    let mut sum = Point::from_affine(&pick(0, columns[STEP - 1]), one);
    for at in (0..STEP - 1).rev() {
        sum = twice(sum);
        sum = add(sum, &pick(0, columns[at]));
        sum = add(sum, &pick(1, columns[STEP + at]));
    }
    sum
}

#[target_feature(enable = "avx2,fma")]
fn wide_sum(tables: [&[Entry]; 4], ks: [&[u8; 32]; 4], one: Fe4) -> Point<Fe4> {
    let mut columns = [[0; 4]; WIDE_DIGITS];
    for (lane, k) in ks.into_iter().enumerate() {
        digits::windows(k, WIDE_WIDTH, lane, &mut columns);
    }
    let pick = |at: usize, digits: [Digit; 4]| {
        Entry::gathered(std::array::from_fn(|lane| &tables[lane][at << (WIDE_WIDTH - 1) | index(digits[lane])]), digits)
    };
    let mut sum = Point::from_affine(&pick(0, columns[0]), one);
    for (at, digits) in columns.iter().enumerate().skip(1) {
        sum = add(sum, &pick(at, *digits));
    }
    sum
}

#[target_feature(enable = "avx2,fma")]
fn with_base(mut sum: Point<Fe4>, ss: [&[u8; 32]; 4]) -> Point<Fe4> {
    let mut columns = [[0; 4]; BASE_DIGITS];
    for (lane, s) in ss.into_iter().enumerate() {
        digits::windows(s, BASE_WIDTH, lane, &mut columns);
    }
    let table = &**BASE_TABLE;
    for (at, digits) in columns.iter().enumerate() {
        let entries = std::array::from_fn(|lane| &table[at << (BASE_WIDTH - 1) | index(digits[lane])]);
        sum = add(sum, &Entry::gathered(entries, *digits));
    }
    sum
}

#[target_feature(enable = "avx2,fma")]
#[inline(never)]
fn add(sum: Point<Fe4>, entry: &super::point::Affine<Fe4>) -> Point<Fe4> {
    sum.add_affine(entry)
}

#[target_feature(enable = "avx2,fma")]
#[inline(never)]
fn twice(sum: Point<Fe4>) -> Point<Fe4> {
    sum.double()
}

#[target_feature(enable = "avx2,fma")]
fn compare(sums: &[Point<Fe4>], groups: &[[usize; 4]], rows: &[Row<'_>], one: Fe4, verdicts: &mut [bool]) {
    let mut before = Vec::with_capacity(sums.len());
    let mut product = one;
    for sum in sums {
        before.push(product);
        product = product.mul(&sum.z);
    }
    let mut inverse = inverted(&product);
    for ((sum, before), group) in sums.iter().zip(before).zip(groups).rev() {
        let over_z = inverse.mul(&before);
        inverse = inverse.mul(&sum.z);
        let encodings = encoded(&sum.x.mul(&over_z), &sum.y.mul(&over_z));
        for (encoding, &at) in encodings.iter().zip(group) {
            verdicts[at] = encoding == rows[at].r;
        }
    }
}

#[target_feature(enable = "avx2,fma")]
fn encoded(x: &Fe4, y: &Fe4) -> [[u8; 32]; 4] {
    let odd = numbers(x.to_words()[0]);
    let words = transposed(y.to_words()).map(|words| numbers(words));
    std::array::from_fn(|lane| {
        let [a, b, c, d] = words[lane];
        let mut bytes = [0; 32];
        let words = [a, b, c, d | odd[lane] << 63];
        bytes.chunks_exact_mut(8).zip(words).for_each(|(bytes, word)| bytes.copy_from_slice(&word.to_le_bytes()));
        bytes
    })
}
