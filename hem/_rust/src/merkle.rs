//! Hashes of the log's tree (RFC 6962, section 2.1). Leaves and nodes hash under different prefixes, so that no entry
//! can pass for a node.

use sha2::{Digest as _, Sha256};

/// Returns the hash of a leaf: SHA-256 of 0x00 and the entry.
#[must_use]
pub fn leaf(entry: &[u8]) -> [u8; 32] {
    Sha256::new_with_prefix([0]).chain_update(entry).finalize().into()
}

/// Returns the hash of a node: SHA-256 of 0x01, the left and the right child.
#[must_use]
pub fn node(left: &[u8; 32], right: &[u8; 32]) -> [u8; 32] {
    Sha256::new_with_prefix([1]).chain_update(left).chain_update(right).finalize().into()
}

/// Returns the parents of `nodes`, in pairs from the left; None for an odd count.
#[must_use]
pub fn level(nodes: &[[u8; 32]]) -> Option<Vec<[u8; 32]>> {
    let (pairs, odd) = nodes.as_chunks::<2>();
    odd.is_empty().then(|| pairs.iter().map(|[left, right]| node(left, right)).collect())
}

#[cfg(test)]
mod tests {
    use super::{leaf, level, node};

    #[test]
    fn the_empty_leaf_of_rfc_6962() {
        let expected = "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d";
        let got: String = leaf(b"").iter().map(|byte| format!("{byte:02x}")).collect();
        assert_eq!(got, expected);
    }

    #[test]
    fn levels_pair_from_the_left() {
        let nodes = [[1; 32], [2; 32], [3; 32], [4; 32]];
        assert_eq!(level(&nodes), Some(vec![node(&[1; 32], &[2; 32]), node(&[3; 32], &[4; 32])]));
        assert_eq!(level(&nodes[..3]), None);
        assert_eq!(level(&[]), Some(vec![]));
    }
}
