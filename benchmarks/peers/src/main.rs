//! Times the Rust peers of hem's signature core, one request a line, so that a caller can take turns with them.
//!
//! `hem-peers NAME=FILE...` reads sets of rows (see [`rows`]), says on one line what it has, and then answers each
//! line `SET PEER N TIMES` of its standard input with the seconds of TIMES runs over the first N rows of that set.
//! Every answer is one JSON object. It ends with its input, or with exit code 1 and an `error` when a peer refuses.

#![forbid(unsafe_code)]
#![deny(missing_docs, clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing)]

mod peers;
mod rows;

use std::collections::BTreeMap;
use std::env::args;
use std::io::{Write as _, stdin, stdout};
use std::process::ExitCode;
use std::time::Instant;

use rows::Set;

type Sets = BTreeMap<String, Set>;

fn main() -> ExitCode {
    match serve() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            // `Debug` of a string escapes quotes as JSON does; our own messages hold nothing else to escape.
            println!("{{\"error\": {error:?}}}");
            ExitCode::FAILURE
        }
    }
}

fn serve() -> Result<(), String> {
    let sets = args().skip(1).map(|argument| load(&argument)).collect::<Result<Sets, _>>()?;
    let counts: Vec<String> = sets.iter().map(|(name, set)| format!("{name:?}: {}", set.len())).collect();
    say(&format!("{{\"rows\": {{{}}}, \"compiled_for\": \"{}\"}}", counts.join(", "), compiled_for()))?;
    for line in stdin().lines() {
        let line = line.map_err(|error| format!("standard input: {error}"))?;
        let seconds = answer(&sets, &line)?;
        say(&format!("{{\"seconds\": {seconds:e}}}"))?;
    }
    Ok(())
}

fn load(argument: &str) -> Result<(String, Set), String> {
    let (name, file) = argument.split_once('=').ok_or_else(|| format!("{argument}: expected NAME=FILE"))?;
    let data = std::fs::read(file).map_err(|error| format!("{name}: {error}"))?;
    Ok((name.to_owned(), Set::read(&data).map_err(|error| format!("{name}: {error}"))?))
}

fn say(line: &str) -> Result<(), String> {
    // The caller waits for each line, and a pipe would hold it back.
    let mut out = stdout().lock();
    writeln!(out, "{line}").and_then(|()| out.flush()).map_err(|error| format!("standard output: {error}"))
}

fn answer(sets: &Sets, line: &str) -> Result<f64, String> {
    let words: Vec<&str> = line.split_whitespace().collect();
    let &[set, peer, n, times] = words.as_slice() else {
        return Err(format!("{line}: expected SET PEER N TIMES"));
    };
    let run = peers::by_name(peer).ok_or_else(|| format!("{peer}: no such peer"))?;
    let times: u32 = times.parse().map_err(|_| format!("{times}: not a number of runs"))?;
    let rows =
        n.parse().ok().and_then(|n| sets.get(set)?.first(n)).ok_or_else(|| format!("{set} {n}: no such rows"))?;
    let start = Instant::now();
    for _ in 0..times {
        if !run(&rows) {
            return Err(format!("{peer} refused one of the first {n} rows of {set}"));
        }
    }
    Ok(start.elapsed().as_secs_f64())
}

/// Returns the vector unit that the peers may use without asking at run time; they ask for AVX2 in any case.
const fn compiled_for() -> &'static str {
    if cfg!(all(target_feature = "avx512ifma", target_feature = "avx512vl")) {
        "AVX-512 IFMA"
    } else if cfg!(target_feature = "avx2") {
        "AVX2"
    } else {
        "baseline"
    }
}
