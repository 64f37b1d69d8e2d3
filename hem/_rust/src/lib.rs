//! The compiled heart of hem: rows of bytes in, columns of values and reasons out.
//!
//! A row is one signed message of `protocols/hem.cddl`. [`scan`] decodes rows, [`verify`] also checks each signature
//! against a [`KeyTable`]; [`verify_signed`] checks signatures of anything. All give every row its own [`Reason`] and
//! never panic, whatever the bytes are.

#![deny(missing_docs, clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing)]
// Only `lanes` may have any, and allows it to itself.
#![deny(unsafe_code)]

pub mod batch;
pub mod cbor;
pub mod claims;
pub mod columns;
pub mod cose;
pub mod cursor;
pub mod ed25519;
pub mod keys;
#[allow(unsafe_code)]
mod lanes;
pub mod merkle;
mod pool;
pub mod ranging;
pub mod reason;
pub mod signatures;
pub mod split;
pub mod store;

#[cfg(feature = "python")]
mod py;

pub use batch::{Parts, Spans, scan, verify, verify_signed};
pub use columns::Columns;
pub use keys::{Candidate, KeyTable};
pub use reason::Reason;
pub use split::{Split, split};
