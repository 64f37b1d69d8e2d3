//! The file of a key table: what the checks of enrollment found, so that they need not be made again.
//!
//! A head of 32 bytes (`hem-keys`, the form of the kernel, the version and the number of rows, each of 8 bytes, numbers
//! little-endian), the rows, and the SHA-256 of all that. A row is the algorithm (1 byte, its place in
//! `Algorithm::ALL`), kid (16), ueid (17), public key, and for Ed25519 the eighth of the key (64).
//!
//! No byte of a file is believed. Its rows are compared with the keys that are to be enrolled anyhow, and an eighth is a
//! proof that is checked. Whoever writes such a file can make enrollment slower, and nothing else.

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::Path;

use memmap2::Mmap;
use sha2::{Digest as _, Sha256};

use crate::ed25519;
use crate::keys::{Candidate, Enrolled};
use crate::lanes::{self, Eighth};
use crate::signatures::Algorithm;

const MAGIC: &[u8; 8] = b"hem-keys";
const VERSION: u64 = 1;
const HEAD: usize = 32;
const DIGEST: usize = 32;
/// Rows whose eighths are computed together.
const BLOCK: usize = 4_096;

/// The bytes of a file.
#[derive(Debug)]
pub(crate) enum Bytes {
    Owned(Vec<u8>),
    Mapped(Mmap),
}

impl From<Vec<u8>> for Bytes {
    fn from(bytes: Vec<u8>) -> Self {
        Self::Owned(bytes)
    }
}

impl AsRef<[u8]> for Bytes {
    fn as_ref(&self) -> &[u8] {
        match self {
            Self::Owned(bytes) => bytes,
            Self::Mapped(bytes) => bytes,
        }
    }
}

/// One row of a file.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Record<'a> {
    pub(crate) algorithm: Algorithm,
    pub(crate) public_key: &'a [u8],
    pub(crate) eighth: Option<&'a Eighth>,
    /// Where in the file it ends.
    pub(crate) end: usize,
    kid: &'a [u8; 16],
    ueid: &'a [u8; 17],
}

impl<'a> Record<'a> {
    /// Reads the row at a place; a text says what is wrong with it.
    fn read(bytes: &'a [u8], at: usize) -> Result<Self, String> {
        let short = || "the rows end inside it".to_owned();
        let (&code, rest) = bytes.get(at..).and_then(<[u8]>::split_first).ok_or_else(short)?;
        let last = Algorithm::ALL.len() - 1;
        let known = Algorithm::ALL.get(usize::from(code));
        let &algorithm = known.ok_or_else(|| format!("algorithm {code}, expected 0 to {last}"))?;
        Self::cut(algorithm, rest, bytes.len()).ok_or_else(short)
    }

    /// The row of an algorithm that these bytes begin with, after which come the last of `size` bytes.
    fn cut(algorithm: Algorithm, bytes: &'a [u8], size: usize) -> Option<Self> {
        let (kid, rest) = bytes.split_first_chunk()?;
        let (ueid, rest) = rest.split_first_chunk()?;
        let (public_key, mut rest) = rest.split_at_checked(algorithm.key_bytes())?;
        let mut eighth = None;
        if algorithm == Algorithm::Ed25519 {
            let (found, after) = rest.split_first_chunk()?;
            (eighth, rest) = (Some(found), after);
        }
        Some(Self { algorithm, public_key, eighth, end: size - rest.len(), kid, ueid })
    }

    /// Whether this is the row of a candidate, byte by byte.
    pub(crate) fn is(&self, candidate: &Candidate<'_>) -> bool {
        Algorithm::from_cose(candidate.algorithm) == Some(self.algorithm)
            && (self.public_key, self.kid, self.ueid) == (candidate.public_key, &candidate.kid, &candidate.ueid)
    }

    fn candidate(&self) -> Candidate<'a> {
        let (kid, ueid) = (*self.kid, *self.ueid);
        Candidate { algorithm: self.algorithm.cose(), public_key: self.public_key, kid, ueid }
    }
}

/// A file whose first rows are the first rows of a table, and whose other rows may come to be.
#[derive(Debug)]
pub(crate) struct Prepared {
    bytes: Bytes,
    /// How many rows of the table are its first rows, and where they end.
    rows: usize,
    at: usize,
    /// How many rows may still come to be.
    left: usize,
}

impl Default for Prepared {
    fn default() -> Self {
        Self { bytes: Vec::new().into(), rows: 0, at: HEAD, left: 0 }
    }
}

impl Prepared {
    /// Takes a whole file.
    ///
    /// # Errors
    /// `InvalidData`: what is wrong, and where.
    pub(crate) fn new(bytes: Bytes) -> io::Result<Self> {
        let left = check(bytes.as_ref()).map_err(|text| io::Error::new(io::ErrorKind::InvalidData, text))?;
        Ok(Self { bytes, left, ..Self::default() })
    }

    /// The file that a table of so many rows has just been saved to.
    pub(crate) fn passed(bytes: Bytes, rows: usize) -> Self {
        let at = bytes.as_ref().len().saturating_sub(DIGEST);
        Self { bytes, rows, at, left: 0 }
    }

    /// The rows that may come to be.
    pub(crate) fn records(&self) -> impl Iterator<Item = Record<'_>> {
        let mut at = self.at;
        (0..self.left).map_while(move |_| {
            let record = Record::read(self.bytes.as_ref(), at).ok()?;
            at = record.end;
            Some(record)
        })
    }

    /// How many rows of the table this file has.
    pub(crate) const fn rows(&self) -> usize {
        self.rows
    }

    /// How many rows may still come to be.
    pub(crate) const fn left(&self) -> usize {
        self.left
    }

    /// Takes note that the next row, which ends there, is now a row of the table.
    pub(crate) const fn pass(&mut self, end: usize) {
        if self.left > 0 {
            (self.rows, self.at, self.left) = (self.rows + 1, end, self.left - 1);
        }
    }

    /// Forgets the rows that have not come to be: the table has gone another way.
    pub(crate) const fn close(&mut self) {
        self.left = 0;
    }
}

/// Returns the number of rows of a file of this version and this form that is whole; else what is wrong, and where.
fn check(bytes: &[u8]) -> Result<usize, String> {
    let (body, digest) = bytes
        .split_last_chunk::<DIGEST>()
        .filter(|(body, _)| body.len() >= HEAD)
        .ok_or_else(|| format!("{} bytes, expected at least {}", bytes.len(), HEAD + DIGEST))?;
    let rows = check_head(body)?;
    if Sha256::digest(body)[..] != digest[..] {
        return Err(format!("byte {}: not the SHA-256 of what is before it", body.len()));
    }
    let mut at = HEAD;
    for row in 0..rows {
        at = Record::read(body, at).map_err(|text| format!("byte {at}: row {row} of {rows}: {text}"))?.end;
    }
    if at != body.len() {
        return Err(format!("byte {at}: {} bytes after the last of {rows} rows, expected none", body.len() - at));
    }
    usize::try_from(rows).map_err(|_| format!("byte 24: {rows} rows, more than this machine can count"))
}

/// Returns how many rows the head says there are.
fn check_head(bytes: &[u8]) -> Result<u64, String> {
    let mut head = bytes.as_chunks::<8>().0.iter().copied();
    let mut next = || head.next().unwrap_or_default();
    let (magic, form, version, rows) = (next(), next(), u64::from_le_bytes(next()), u64::from_le_bytes(next()));
    if magic != *MAGIC {
        return Err("byte 0: not a file of keys: it does not start with \"hem-keys\"".to_owned());
    }
    if form != form_name() {
        let expected = ed25519::form();
        return Err(format!("byte 8: written by kernel \"{}\", expected \"{expected}\"", form.escape_ascii()));
    }
    if version != VERSION {
        return Err(format!("byte 16: version {version}, expected {VERSION}"));
    }
    Ok(rows)
}

/// Returns the rows of a file in order, as candidates.
///
/// # Errors
/// `InvalidData`: what is wrong, and where.
pub fn candidates(bytes: &[u8]) -> io::Result<Vec<Candidate<'_>>> {
    let rows = check(bytes).map_err(|text| io::Error::new(io::ErrorKind::InvalidData, text))?;
    let mut at = HEAD;
    let read = (0..rows).map_while(|_| {
        let record = Record::read(bytes, at).ok()?;
        at = record.end;
        Some(record.candidate())
    });
    Ok(read.collect())
}

fn form_name() -> [u8; 8] {
    let name = ed25519::form().as_bytes();
    std::array::from_fn(|at| name.get(at).copied().unwrap_or_default())
}

/// A writer that hashes what goes through it.
struct Hashed<W> {
    out: W,
    hash: Sha256,
}

impl<W: Write> Hashed<W> {
    fn put(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.hash.update(bytes);
        self.out.write_all(bytes)
    }

    fn put_rows(&mut self, rows: &[Enrolled]) -> io::Result<()> {
        let keys: Vec<[u8; 32]> = rows.iter().filter_map(|row| Some(*row.key.ed25519()?.bytes())).collect();
        let mut eighths = ed25519::Key::eighths(&keys).into_iter();
        for row in rows {
            let eighth = row.key.ed25519().and_then(|_| eighths.next());
            let proof = eighth.as_ref().map_or(&[][..], |eighth| &eighth[..]);
            self.put(&[&[row.key.algorithm() as u8], &row.kid[..], &row.ueid, row.key.bytes(), proof].concat())?;
        }
        Ok(())
    }
}

/// Writes the file of a table: the rows that `prepared` has passed, and the others.
pub(crate) fn write(out: impl Write, prepared: &Prepared, others: &[Enrolled]) -> io::Result<()> {
    let mut out = Hashed { out, hash: Sha256::new() };
    let rows = (prepared.rows + others.len()) as u64;
    out.put(&[*MAGIC, form_name(), VERSION.to_le_bytes(), rows.to_le_bytes()].concat())?;
    out.put(prepared.bytes.as_ref().get(HEAD..prepared.at).unwrap_or_default())?;
    others.chunks(BLOCK).try_for_each(|block| out.put_rows(block))?;
    out.out.write_all(&out.hash.finalize())?;
    out.out.flush()
}

/// Returns the bytes of a file.
pub(crate) fn mapped(path: &Path) -> io::Result<Bytes> {
    lanes::map::map(&File::open(path)?).map(Bytes::Mapped)
}

/// Makes `path` what `write` writes, whole or not at all: it is built beside its place and moved there once it is
/// durable. Only one process at a time may do this.
pub(crate) fn replace(path: &Path, write: impl FnOnce(&mut io::BufWriter<File>) -> io::Result<()>) -> io::Result<()> {
    let mut building = path.as_os_str().to_owned();
    building.push(".new");
    let done = File::create(&building).and_then(|file| {
        let mut out = io::BufWriter::with_capacity(1 << 20, file);
        write(&mut out)?;
        out.into_inner()?.sync_all()?;
        fs::rename(&building, path)
    });
    if done.is_err() {
        // Of two faults the first one counts.
        drop(fs::remove_file(&building));
    }
    done?;
    // A name is durable once its folder is.
    #[cfg(unix)]
    File::open(path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new(".")))?.sync_all()?;
    Ok(())
}
