//! Enrolled keys as Python has them.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::{PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

use numpy::{IntoPyArray, PyArray1};
use pyo3::exceptions::{PyOSError, PyValueError};
use pyo3::prelude::*;
use pyo3::pybacked::PyBackedBytes;

use crate::ed25519::Budget;
use crate::keys::{self, Candidate};
use crate::reason::Reason;

/// Enrolled attestation keys; the row number of a key is its chip's row number.
///
/// `table_bytes` is what tables of multiples of the keys may take in memory: with less, rows take longer, and no answer
/// changes.
#[pyclass(frozen, module = "hem._core")]
pub(super) struct KeyTable {
    // A lock, not a borrow: one thread may enroll while another verifies without the interpreter.
    table: RwLock<keys::KeyTable>,
}

impl KeyTable {
    pub(super) fn read(&self) -> RwLockReadGuard<'_, keys::KeyTable> {
        self.table.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self) -> RwLockWriteGuard<'_, keys::KeyTable> {
        self.table.write().unwrap_or_else(PoisonError::into_inner)
    }
}

#[pymethods]
impl KeyTable {
    #[new]
    #[pyo3(signature = (*, table_bytes=Budget::DEFAULT))]
    fn new(table_bytes: usize) -> Self {
        Self { table: RwLock::new(keys::KeyTable::new(table_bytes)) }
    }

    /// Return an empty table that knows a file made by `save`.
    ///
    /// As long as the keys that the file was saved with are enrolled in the same order, most of the work of checking
    /// them is saved. No key comes out of the file, and none passes that would not pass without it.
    ///
    /// Raises:
    ///     OSError: the file cannot be read.
    ///     ValueError: it is damaged, of another version, or of another kernel.
    #[staticmethod]
    #[pyo3(signature = (path, *, table_bytes=Budget::DEFAULT))]
    fn open(py: Python<'_>, path: PathBuf, table_bytes: usize) -> PyResult<Self> {
        let table = py.detach(|| keys::KeyTable::open(&path, table_bytes)).map_err(|error| at(&path, &error))?;
        Ok(Self { table: RwLock::new(table) })
    }

    fn __len__(&self) -> usize {
        self.read().len()
    }

    /// How many of the last rows are in no file that this table was opened from or saved to.
    #[getter]
    fn unsaved(&self) -> usize {
        self.read().unsaved()
    }

    /// Append a key as the next row and return 0, or return the code of a reason and append nothing.
    ///
    /// `public_key` is raw: 32 bytes for Ed25519, an uncompressed SEC 1 point for ES256 and ES384, the encoding of
    /// FIPS 204 for ML-DSA. `kid` has 16 bytes and is taken as given, `ueid` has 17.
    ///
    /// Raises:
    ///     ValueError: `kid` or `ueid` has another length.
    fn enroll(&self, py: Python<'_>, algorithm: i64, public_key: &[u8], kid: &[u8], ueid: &[u8]) -> PyResult<u16> {
        let candidate = candidate(algorithm, public_key, kid, ueid)?;
        // Waiting for a running verify must not stop every other thread of the interpreter.
        let reasons = py.detach(|| self.write().enroll_many(&[candidate]));
        Ok(reasons.first().copied().unwrap_or_default().code())
    }

    /// Do what `enroll` does for each row of four columns in order, sooner, and return the column of codes.
    ///
    /// Raises:
    ///     ValueError: a `kid` or `ueid` has another length, or a column another number of rows; nothing is enrolled.
    fn enroll_many<'py>(
        &self,
        py: Python<'py>,
        algorithms: Vec<i64>,
        public_keys: Vec<PyBackedBytes>,
        kids: Vec<PyBackedBytes>,
        ueids: Vec<PyBackedBytes>,
    ) -> PyResult<Bound<'py, PyArray1<u16>>> {
        let lengths = [public_keys.len(), kids.len(), ueids.len()];
        if lengths != [algorithms.len(); 3] {
            let rows = algorithms.len();
            return Err(PyValueError::new_err(format!("columns of {rows} and {lengths:?} rows, expected as many")));
        }
        let candidates: Vec<Candidate<'_>> = algorithms
            .iter()
            .zip(&public_keys)
            .zip(kids.iter().zip(&ueids))
            .map(|((algorithm, key), (kid, ueid))| candidate(*algorithm, key, kid, ueid))
            .collect::<PyResult<_>>()?;
        let reasons = py.detach(|| self.write().enroll_many(&candidates));
        Ok(reasons.into_iter().map(Reason::code).collect::<Vec<u16>>().into_pyarray(py))
    }

    /// Make `path` the file of this table, whole or not at all, durably.
    ///
    /// Raises:
    ///     OSError: the system does not do it; a file that was there is as it was.
    fn save(&self, py: Python<'_>, path: PathBuf) -> PyResult<()> {
        py.detach(|| self.write().save(&path)).map_err(|error| at(&path, &error))
    }
}

/// A candidate; a number that no algorithm can have becomes one that none has.
fn candidate<'a>(algorithm: i64, public_key: &'a [u8], kid: &[u8], ueid: &[u8]) -> PyResult<Candidate<'a>> {
    let kid = kid.try_into().map_err(|_| wrong_length("kid", kid, 16))?;
    let ueid = ueid.try_into().map_err(|_| wrong_length("ueid", ueid, 17))?;
    Ok(Candidate { algorithm: i32::try_from(algorithm).unwrap_or_default(), public_key, kid, ueid })
}

fn wrong_length(name: &str, got: &[u8], expected: usize) -> PyErr {
    PyValueError::new_err(format!("{name} has {} bytes, expected {expected}", got.len()))
}

/// What is wrong with a file, as Python has it: damage is a wrong value, all else is of the system.
fn at(path: &Path, error: &io::Error) -> PyErr {
    let text = error.to_string();
    if error.kind() == io::ErrorKind::InvalidData {
        return PyValueError::new_err(format!("{}: {text}", path.display()));
    }
    let text = text.split_once(" (os error").map_or(&*text, |(text, _)| text).to_owned();
    PyOSError::new_err((error.raw_os_error().unwrap_or_default(), text, path.display().to_string()))
}
