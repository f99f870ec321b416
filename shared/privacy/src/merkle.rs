//! Merkle tree over ledger lines: the tree of RFC 6962, section 2.
//!
//! A signed (size, root) commits to every line before it; an inclusion proof shows that one line is among them.

use sha2::{Digest as _, Sha256};
use tacit_types::Digest;

/// Leaf hash of one line's exact bytes.
pub fn leaf(line: &[u8]) -> Digest {
    let mut hash = Sha256::new();
    hash.update([0]);
    hash.update(line);
    Digest(hash.finalize().into())
}

fn node(left: Digest, right: Digest) -> Digest {
    let mut hash = Sha256::new();
    hash.update([1]);
    hash.update(left.0);
    hash.update(right.0);
    Digest(hash.finalize().into())
}

/// Root over leaf hashes; of no leaves, the hash of nothing.
pub fn root(leaves: &[Digest]) -> Digest {
    match leaves {
        [] => Digest(Sha256::digest([]).into()),
        [only] => *only,
        _ => {
            let (left, right) = leaves.split_at(split(leaves.len()));
            node(root(left), root(right))
        }
    }
}

/// Largest power of two below `len` (at least 2).
fn split(len: usize) -> usize {
    len.next_power_of_two() / 2
}

/// Sibling hashes from leaf `index` to the root, lowest first; `None` when there is no such leaf.
pub fn inclusion_proof(leaves: &[Digest], index: usize) -> Option<Vec<Digest>> {
    if index >= leaves.len() {
        return None;
    }
    if leaves.len() == 1 {
        return Some(Vec::new());
    }
    let k = split(leaves.len());
    let (left, right) = leaves.split_at(k);
    let (mut proof, sibling) = if index < k {
        (inclusion_proof(left, index)?, root(right))
    } else {
        (inclusion_proof(right, index - k)?, root(left))
    };
    proof.push(sibling);
    Some(proof)
}

/// Whether `proof` shows that `leaf` stands at `index` in the tree of `size` leaves with this `root`.
pub fn verify_inclusion(leaf: Digest, index: u64, size: u64, proof: &[Digest], root: Digest) -> bool {
    if index >= size {
        return false;
    }
    let (mut node_index, mut last, mut hash) = (index, size - 1, leaf);
    for sibling in proof {
        if last == 0 {
            return false;
        }
        if node_index % 2 == 1 || node_index == last {
            hash = node(*sibling, hash);
            while node_index % 2 == 0 && node_index != 0 {
                node_index /= 2;
                last /= 2;
            }
        } else {
            hash = node(hash, *sibling);
        }
        node_index /= 2;
        last /= 2;
    }
    last == 0 && hash == root
}

#[cfg(test)]
mod tests {
    use super::*;

    fn leaves(count: u8) -> Vec<Digest> {
        (0..count).map(|i| leaf(&[i])).collect()
    }

    #[test]
    fn every_leaf_of_every_size_has_a_proof_that_verifies_and_no_other_does() {
        for size in 1..=20u8 {
            let leaves = leaves(size);
            let root = root(&leaves);
            for index in 0..size {
                let proof = inclusion_proof(&leaves, usize::from(index)).unwrap();
                let check = |leaf, index: u8, size: u8, proof: &[Digest]| {
                    verify_inclusion(leaf, u64::from(index), u64::from(size), proof, root)
                };
                let own = leaves[usize::from(index)];
                assert!(check(own, index, size, &proof), "{size} {index}");
                assert!(!check(leaf(b"other"), index, size, &proof));
                assert!(!check(own, index, size, &[&proof[..], &[own]].concat()));
                assert!(proof.is_empty() || !check(own, index, size, &proof[1..]));
                assert!(!check(own, size, size, &proof));
            }
        }
    }

    #[test]
    fn the_empty_tree_and_a_known_root() {
        assert_eq!(root(&[]).to_string(), "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
        // RFC 6962 test vector: one empty leaf.
        assert_eq!(leaf(b"").to_string(), "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d");
    }
}
