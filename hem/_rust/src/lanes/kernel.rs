//! The kernel in lanes: hash, digits, sums of table entries, one inversion for all rows, byte compare.

use std::collections::HashMap;
use std::marker::PhantomData;
use std::sync::atomic::{AtomicU64, Ordering};

use curve25519_dalek::scalar::Scalar;

use super::entry::{numbers, transposed};
use super::field::Element;
use super::plan::{Plan, Table};
use super::point::{Point, inverted};
use super::tables::{self, Few, base_table};
use super::{Eighth, Entry, Kernel, Mode, Portable, Row, cofactored, enroll, sha512};
use crate::ed25519::Key;
use crate::reason::Reason;

/// Signatures of one key that pay for a larger table, if they come within so many times as many rows: not so the rows of
/// a fleet, in which no key is much more frequent than another.
const MANY: u32 = 256;
const AMONG: u64 = 1_024;

/// Keys whose odd multiples share an inversion, so few that these stay in the second-level cache.
const SHARING: usize = 64;

/// Rows that this process has seen.
static ROWS: AtomicU64 = AtomicU64::new(0);

/// Proof that this processor has the instructions of a field: only `detect` makes one.
#[derive(Clone, Copy, Debug)]
pub(super) struct Lanes<E>(PhantomData<E>);

impl<E: Element> Lanes<E> {
    /// Returns the kernel if this processor can run it.
    pub(super) fn detect() -> Option<Self> {
        E::is_here().then_some(Self(PhantomData))
    }
}

impl<E: Element> Kernel for Lanes<E> {
    fn name(&self) -> &'static str {
        E::NAME
    }

    fn form(&self) -> &'static str {
        "lanes"
    }

    fn verify(&self, rows: &[Row<'_>], mode: Mode) -> Vec<bool> {
        if rows.is_empty() {
            return Vec::new();
        }
        // A key has no entry if it was enrolled by the portable kernel.
        if !E::is_exact() || rows.iter().any(|row| row.key.entry() == Entry::NONE) {
            return Portable.verify(rows, mode);
        }
        // SAFETY: `Lanes` exists only where the instructions of its field were found, AVX2 and FMA among them.
        unsafe {
            match mode {
                Mode::Exact => verify::<E>(rows, mode),
                Mode::Cofactored => cofactored::verify::<E>(rows),
            }
        }
    }

    fn enroll(&self, keys: &[[u8; 32]]) -> Vec<Result<Entry, Reason>> {
        if !E::is_exact() {
            return Portable.enroll(keys);
        }
        // SAFETY: as above.
        unsafe { enroll::enrolled::<E>(keys) }
    }

    fn eighths(&self, keys: &[[u8; 32]]) -> Vec<Eighth> {
        if !E::is_exact() {
            // Zeros are no eighth of any key: whoever opens the file will check these keys by themselves.
            return vec![[0; 64]; keys.len()];
        }
        // SAFETY: as above.
        unsafe { enroll::eighths::<E>(keys) }
    }

    fn admit(&self, keys: &[([u8; 32], Eighth)]) -> Vec<Option<Entry>> {
        if !E::is_exact() {
            return vec![None; keys.len()];
        }
        // SAFETY: as above.
        unsafe { enroll::admitted::<E>(keys) }
    }
}

/// What keys without a table have for one call.
type Fresh = HashMap<*const Key, Few>;

/// Looks at each row alone. What the exact rule refuses, the cofactored one has a second look at.
#[target_feature(enable = "avx2,fma")]
pub(super) fn verify<E: Element>(rows: &[Row<'_>], mode: Mode) -> Vec<bool> {
    let fresh = prepare::<E>(rows);
    let scalars = scalars(rows);
    let mut work: Vec<(usize, Table<'_>)> =
        rows.iter().enumerate().filter_map(|(at, row)| Some((at, table(row.key, &fresh)?))).collect();
    // Lanes that add together must have tables of one kind.
    work.sort_by_key(|(_, table)| table.kind());
    let kinds = work.chunk_by(|(_, one), (_, other)| one.kind() == other.kind());
    let groups: Vec<Group<'_>> = kinds.flat_map(|kind| kind.chunks(4)).map(filled).collect();
    let sums = sums::<E>(&groups, rows, &scalars);
    let mut verdicts = vec![false; rows.len()];
    let (mut doubted, mut doubtful) = (Vec::new(), Vec::new());
    for ((encodings, sum), group) in encodings(&sums).iter().zip(&sums).zip(&groups) {
        let rs = group.map(|(at, _)| rows[at].r);
        (0..4).for_each(|lane| verdicts[group[lane].0] = encodings[lane] == *rs[lane]);
        if mode == Mode::Cofactored && group.iter().any(|&(at, _)| !verdicts[at]) {
            doubted.push(group);
            doubtful.push((*sum, rs));
        }
    }
    for (group, good) in doubted.into_iter().zip(cofactored::close(&doubtful)) {
        group.iter().zip(good).for_each(|(&(at, _), good)| verdicts[at] = good);
    }
    verdicts
}

/// One value for each lane; lanes that a short group leaves over repeat its last.
pub(super) fn filled<T: Copy>(group: &[T]) -> [T; 4] {
    std::array::from_fn(|lane| group[lane.min(group.len() - 1)])
}

/// The best table of a key: beside it, or among the fresh ones, of which `prepare` has made all that are missing.
fn table<'a>(key: &'a Key, fresh: &'a Fresh) -> Option<Table<'a>> {
    let tables = key.tables();
    let kept = tables.wide().map(Table::Wide).or_else(|| tables.comb().map(Table::Comb));
    kept.or_else(|| fresh.get(&std::ptr::from_ref(key)).map(Table::Few))
}

/// Builds the tables that rows will want: larger ones for keys that have signed often, combs for keys that have signed
/// before. A comb takes longer than a row without one, and many keys are met once in a process.
#[target_feature(enable = "avx2,fma")]
fn prepare<E: Element>(rows: &[Row<'_>]) -> Fresh {
    ROWS.fetch_add(rows.len() as u64, Ordering::Relaxed);
    let mut missing: Vec<&Key> = Vec::new();
    for Row { key, .. } in rows {
        let tables = key.tables();
        if tables.wide().is_some() || widen::<E>(key) {
            continue;
        }
        if tables.comb().is_none() {
            missing.push(key);
        }
    }
    missing.sort_by_key(|key| std::ptr::from_ref(*key));
    missing.dedup_by_key(|key| std::ptr::from_ref(*key));
    let met_again = |key: &&Key| key.tables().seen.load(Ordering::Relaxed) > 1 && key.tables().has_room_for_comb();
    let again: Vec<&Key> = missing.iter().copied().filter(met_again).collect();
    for group in again.chunks(4) {
        let entries = filled(group).map(Key::entry);
        for (key, comb) in group.iter().zip(tables::combs::<E>(entries.each_ref())) {
            key.tables().keep_comb(comb);
        }
    }
    // Of the combs too, some may have found no room.
    missing.retain(|key| key.tables().comb().is_none());
    let mut fresh = Fresh::new();
    for block in missing.chunks(SHARING) {
        let groups: Vec<[Entry; 4]> = block.chunks(4).map(|group| filled(group).map(Key::entry)).collect();
        let few = tables::few::<E>(&groups);
        fresh.extend(block.iter().map(|key| std::ptr::from_ref(*key)).zip(few.into_iter().flatten()));
    }
    fresh
}

/// Counts a signature of a key, and returns whether the key now has the larger table.
#[target_feature(enable = "avx2,fma")]
fn widen<E: Element>(key: &Key) -> bool {
    let tables = key.tables();
    if tables.seen.fetch_add(1, Ordering::Relaxed) < MANY {
        return false;
    }
    let now = thousands(ROWS.load(Ordering::Relaxed));
    let since = tables.since.swap(now, Ordering::Relaxed);
    tables.seen.store(0, Ordering::Relaxed);
    if now.saturating_sub(since) > MANY || !tables.has_room_for_wide() {
        return false;
    }
    tables.keep_wide(tables::wide::<E>(&key.entry()));
    tables.wide().is_some()
}

/// Rows in units of `AMONG`, which 32 bits hold for 4 * 10^12 rows; after that no larger table is built.
fn thousands(rows: u64) -> u32 {
    u32::try_from(rows / AMONG).unwrap_or(u32::MAX)
}

pub(super) fn pieces<'a>(row: &Row<'a>) -> sha512::Pieces<'a> {
    let [a, b, c, d] = row.message;
    [row.r, row.key.bytes(), a, b, c, d]
}

/// k of each row.
#[target_feature(enable = "avx2,fma")]
fn scalars(rows: &[Row<'_>]) -> Vec<[u8; 32]> {
    let messages: Vec<sha512::Pieces<'_>> = rows.iter().map(pieces).collect();
    sha512::digests(&messages).iter().map(|hash| Scalar::from_bytes_mod_order_wide(hash).to_bytes()).collect()
}

/// Four rows, and the table of the key of each.
type Group<'a> = [(usize, Table<'a>); 4];

/// [s]B - [k]A of each row, four at a time, or as many groups of four of one kind as the field takes side by side.
#[target_feature(enable = "avx2,fma")]
fn sums<E: Element>(groups: &[Group<'_>], rows: &[Row<'_>], scalars: &[[u8; 32]]) -> Vec<Point<E>> {
    let (base, one) = (base_table::<E>(), E::splat([1, 0, 0, 0]));
    let mut sums = Vec::with_capacity(groups.len() + 1);
    let (mut plans, mut next) = (vec![Plan::default(); E::PLANS], vec![Plan::default(); E::PLANS]);
    let kinds = groups.chunk_by(|one, other| one[0].1.kind() == other[0].1.kind());
    let mut planned = 0;
    for side_by_side in kinds.flat_map(|kind| kind.chunks(E::PLANS)).map(Some).chain([None]) {
        for (at, plan) in next.iter_mut().enumerate() {
            // Plans that are left over repeat the last.
            match side_by_side.and_then(|groups| groups.get(at).or(groups.last())) {
                Some(group) => plan.set(
                    group.map(|(_, table)| table),
                    group.map(|(at, _)| &scalars[at]),
                    group.map(|(at, _)| rows[at].s),
                    base,
                ),
                None => plan.clear(),
            }
        }
        if planned == 0 {
            next.iter().for_each(Plan::prefetch);
        } else {
            E::sum(&plans, &next, one, &mut sums);
            sums.truncate(planned);
        }
        planned += side_by_side.map_or(0, <[_]>::len);
        std::mem::swap(&mut plans, &mut next);
    }
    sums
}

/// The encodings of points, all divided by their Z with one inversion.
#[target_feature(enable = "avx2,fma")]
pub(super) fn encodings<E: Element>(sums: &[Point<E>]) -> Vec<[[u8; 32]; 4]> {
    affine(sums).iter().map(|(x, y)| encoded(x, y)).collect()
}

/// X/Z and Y/Z of points, with one inversion.
#[target_feature(enable = "avx2,fma")]
pub(super) fn affine<E: Element>(points: &[Point<E>]) -> Vec<(E, E)> {
    let one = E::splat([1, 0, 0, 0]);
    let mut before = Vec::with_capacity(points.len());
    let mut product = one;
    for point in points {
        before.push(product);
        product = product.mul(&point.z);
    }
    let mut inverse = inverted(&product);
    let mut affine = vec![(one, one); points.len()];
    for ((point, before), out) in points.iter().zip(before).zip(&mut affine).rev() {
        let over_z = inverse.mul(&before);
        inverse = inverse.mul(&point.z);
        *out = (point.x.mul(&over_z), point.y.mul(&over_z));
    }
    affine
}

#[target_feature(enable = "avx2,fma")]
pub(super) fn encoded<E: Element>(x: &E, y: &E) -> [[u8; 32]; 4] {
    let odd = numbers(x.to_words()[0]);
    let words = transposed(y.to_words());
    std::array::from_fn(|lane| {
        let [a, b, c, d] = numbers(words[lane]);
        let mut bytes = [0; 32];
        let words = [a, b, c, d | odd[lane] << 63];
        bytes.chunks_exact_mut(8).zip(words).for_each(|(bytes, word)| bytes.copy_from_slice(&word.to_le_bytes()));
        bytes
    })
}
