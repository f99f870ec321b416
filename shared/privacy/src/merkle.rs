//! Merkle tree over ledger lines: the tree of RFC 6962, section 2.
//!
//! A signed (size, root) commits to every line before it; an inclusion proof shows that one line is
//! among them.

use sha2::{Digest as _, Sha256};
use tacit_types::Digest;

use crate::exact::Exact;

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

/// [`root`] of the first 0, 1, 2, ... leaves and of all, in about one hash a leaf for the tree and
/// one for each subtree on the way.
pub fn prefix_roots(leaves: &[Digest]) -> Vec<Digest> {
    // Whole subtrees of falling size, with the number of leaves of each.
    let mut whole: Vec<(usize, Digest)> = Vec::new();
    let mut roots = vec![root(&[])];
    for &leaf in leaves {
        let mut grown = (1, leaf);
        while let Some((size, left)) = whole.pop_if(|(size, _)| *size == grown.0) {
            grown = (size.times(2), node(left, grown.1));
        }
        whole.push(grown);
        let joined = whole
            .iter()
            .rev()
            .map(|(_, hash)| *hash)
            .reduce(|right, left| node(left, right));
        roots.extend(joined);
    }
    roots
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
        (inclusion_proof(right, index.minus(k))?, root(left))
    };
    proof.push(sibling);
    Some(proof)
}

/// Whether `proof` shows that `leaf` stands at `index` in the tree of `size` leaves with this
/// `root`.
pub fn verify_inclusion(
    leaf: Digest,
    index: u64,
    size: u64,
    proof: &[Digest],
    root: Digest,
) -> bool {
    if index >= size {
        return false;
    }
    let (mut node_index, mut last, mut hash) = (index, size.minus(1), leaf);
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

/// Hashes that show the tree of the first `old` leaves to be a prefix of the tree of all of them
/// (RFC 6962, section 2.1.2); `None` when there are fewer leaves.
pub fn consistency_proof(leaves: &[Digest], old: usize) -> Option<Vec<Digest>> {
    fn subproof(leaves: &[Digest], old: usize, whole: bool) -> Vec<Digest> {
        if old == leaves.len() {
            return if whole {
                Vec::new()
            } else {
                vec![root(leaves)]
            };
        }
        let k = split(leaves.len());
        let (left, right) = leaves.split_at(k);
        let (mut proof, sibling) = if old <= k {
            (subproof(left, old, whole), root(right))
        } else {
            (subproof(right, old.minus(k), false), root(left))
        };
        proof.push(sibling);
        proof
    }
    match old {
        0 => Some(Vec::new()),
        _ if old <= leaves.len() => Some(subproof(leaves, old, true)),
        _ => None,
    }
}

/// Whether `proof` shows that the tree (`new_size`, `new_root`) begins with every leaf of the tree
/// (`old_size`, `old_root`).
///
/// Every tree begins with the empty one. The walk is that of RFC 9162, section 2.1.4.2.
pub fn verify_consistency(
    (old_size, old_root): (u64, Digest),
    (new_size, new_root): (u64, Digest),
    proof: &[Digest],
) -> bool {
    if old_size == 0 || old_size >= new_size {
        let same = old_size == 0 || (old_size == new_size && old_root == new_root);
        return same && proof.is_empty();
    }
    // The old tree is a whole subtree of the new one when its size is a power of two: its root then
    // stands for itself.
    let known = if old_size.is_power_of_two() {
        Some(old_root)
    } else {
        None
    };
    let mut hashes = known.into_iter().chain(proof.iter().copied());
    let Some(first) = hashes.next() else {
        return false;
    };
    let (mut old, mut new) = (first, first);
    let (old_last, new_last) = (old_size.minus(1), new_size.minus(1));
    let shift = old_last.trailing_ones();
    let at = |last: u64| last.checked_shr(shift).unwrap_or(0);
    let (mut node_index, mut last) = (at(old_last), at(new_last));
    for sibling in hashes {
        if last == 0 {
            return false;
        }
        if node_index % 2 == 1 || node_index == last {
            (old, new) = (node(sibling, old), node(sibling, new));
            while node_index.is_multiple_of(2) && node_index != 0 {
                node_index /= 2;
                last /= 2;
            }
        } else {
            new = node(new, sibling);
        }
        node_index /= 2;
        last /= 2;
    }
    last == 0 && old == old_root && new == new_root
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
    fn every_prefix_of_every_tree_is_shown_and_no_other_tree_is() {
        for size in 0..=20u8 {
            let all = leaves(size);
            for old in 0..=size {
                let proof = consistency_proof(&all, usize::from(old)).unwrap();
                let (before, after) = (root(&all[..usize::from(old)]), root(&all));
                let check = |old_root, new_root, proof: &[Digest]| {
                    verify_consistency(
                        (u64::from(old), old_root),
                        (u64::from(size), new_root),
                        proof,
                    )
                };
                assert!(check(before, after, &proof), "{old} {size}");
                let mut other = all.clone();
                if old > 0 {
                    other[0] = leaf(b"other");
                    assert!(
                        !check(before, root(&other), &proof),
                        "{old} {size}: an old leaf changed"
                    );
                    assert!(
                        !check(root(&other[..usize::from(old)]), after, &proof),
                        "{old} {size}: another past"
                    );
                }
                assert!(
                    !check(before, after, &[&proof[..], &[before]].concat()),
                    "{old} {size}: longer"
                );
                if !proof.is_empty() {
                    assert!(
                        !check(before, after, &proof[1..])
                            && !check(before, after, &proof[..proof.len() - 1])
                    );
                }
                assert!(
                    size == old
                        || !verify_consistency(
                            (u64::from(size), after),
                            (u64::from(old), before),
                            &proof
                        )
                );
            }
            assert_eq!(consistency_proof(&all, usize::from(size) + 1), None);
        }
    }

    #[test]
    fn the_roots_of_all_prefixes_are_their_roots() {
        let leaves = leaves(70);
        let expected: Vec<Digest> = (0..=leaves.len())
            .map(|size| root(&leaves[..size]))
            .collect();
        assert_eq!(prefix_roots(&leaves), expected);
    }

    #[test]
    fn the_empty_tree_and_a_known_root() {
        assert_eq!(
            root(&[]).to_string(),
            "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
        );
        // RFC 6962 test vector: one empty leaf.
        assert_eq!(
            leaf(b"").to_string(),
            "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d"
        );
    }
}
