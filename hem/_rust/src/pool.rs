//! Threads, kept from call to call: the system starts a new one on the core of its maker and takes many milliseconds to
//! move it to another.

use std::process;
use std::sync::{Arc, Mutex, PoisonError};

use rayon::{ThreadPool, ThreadPoolBuildError, ThreadPoolBuilder};

/// The threads of the last call, and the process that they run in.
struct Kept {
    process: u32,
    threads: usize,
    pool: Arc<ThreadPool>,
}

static KEPT: Mutex<Option<Kept>> = Mutex::new(None);

/// Does the work on every piece, on no more threads than there are pieces.
///
/// # Errors
/// The system gave no thread; then nothing has been done.
pub(crate) fn each<T: Send>(
    pieces: Vec<T>,
    threads: usize,
    work: impl Fn(T) + Sync + Send,
) -> Result<(), ThreadPoolBuildError> {
    // The caller's thread does what is not worth another one, and its share of what is.
    let others = threads.min(pieces.len()).saturating_sub(1);
    if others == 0 {
        pieces.into_iter().for_each(work);
        return Ok(());
    }
    let pool = kept(others)?;
    let pieces = Mutex::new(pieces.into_iter());
    let next = || pieces.lock().unwrap_or_else(PoisonError::into_inner).next();
    let run = || std::iter::from_fn(next).for_each(&work);
    pool.in_place_scope(|scope| {
        (0..others).for_each(|_| scope.spawn(|_| run()));
        run();
    });
    Ok(())
}

fn kept(threads: usize) -> Result<Arc<ThreadPool>, ThreadPoolBuildError> {
    let new = || ThreadPoolBuilder::new().num_threads(threads).build().map(Arc::new);
    // A process that was forked while a thread of its parent held the lock would wait for it forever.
    let Ok(mut kept) = KEPT.try_lock() else { return new() };
    let here = process::id();
    if let Some(kept) = kept.as_ref().filter(|kept| kept.process == here && kept.threads == threads) {
        return Ok(Arc::clone(&kept.pool));
    }
    let pool = new()?;
    let old = kept.replace(Kept { process: here, threads, pool: Arc::clone(&pool) });
    if let Some(old) = old.filter(|old| old.process != here) {
        // Its threads are the parent's, and whoever waits for them to end here waits forever.
        std::mem::forget(old);
    }
    Ok(pool)
}
