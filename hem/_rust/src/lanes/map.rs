//! A file as memory.

use std::fs::File;
use std::io;

use memmap2::Mmap;

/// Maps a file that is never written to, only replaced.
///
/// # Errors
/// The system's.
pub(crate) fn map(file: &File) -> io::Result<Mmap> {
    // SAFETY: hem itself writes such a file under another name and then moves it here, so what is mapped never changes.
    // Whoever else has the rights of this user can change it, as he can change this process; even then no byte leads to
    // an answer before it has been copied and checked.
    unsafe { Mmap::map(file) }
}
