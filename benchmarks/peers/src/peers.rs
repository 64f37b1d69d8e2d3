//! The peers. Each says whether it accepts all rows, the single ones after looking at every row.

use ed25519_dalek::{Verifier as _, verify_batch};
use ed25519_zebra::batch;

use crate::rows::Rows;

/// What a peer does with rows.
pub type Peer = fn(&Rows<'_>) -> bool;

/// Returns the peer of a name.
pub fn by_name(name: &str) -> Option<Peer> {
    Some(match name {
        "dalek_verify" => dalek,
        "dalek_batch" => dalek_batch,
        "zebra_verify" => zebra,
        "zebra_batch" => zebra_batch,
        _ => return None,
    })
}

fn dalek(rows: &Rows<'_>) -> bool {
    let signed = rows.messages.iter().zip(rows.signatures);
    let accepted = rows.dalek.iter().zip(signed).filter(|(key, (message, one))| key.verify(message, one).is_ok());
    accepted.count() == rows.messages.len()
}

fn dalek_batch(rows: &Rows<'_>) -> bool {
    verify_batch(&rows.messages, rows.signatures, rows.dalek).is_ok()
}

fn zebra(rows: &Rows<'_>) -> bool {
    let signed = rows.messages.iter().zip(rows.signatures);
    let accepted = rows.zebra.iter().zip(signed).filter(|(key, (message, one))| key.verify(one, message).is_ok());
    accepted.count() == rows.messages.len()
}

fn zebra_batch(rows: &Rows<'_>) -> bool {
    let mut batch = batch::Verifier::new();
    for (key, (message, one)) in rows.zebra_bytes.iter().zip(rows.messages.iter().zip(rows.signatures)) {
        batch.queue((*key, *one, message));
    }
    // A generator seeded by the system once a thread: asking the system for each signature would slow this peer.
    batch.verify(rand::rng()).is_ok()
}
