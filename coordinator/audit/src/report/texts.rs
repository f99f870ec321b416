//! What a report says that no number can: the boundaries of the claim.

/// A heading and one paragraph.
pub(crate) type Note = (&'static str, &'static str);

/// What the claim assumes. Arithmetic is verified; these are not.
pub(crate) const ASSUMED: [Note; 4] = [
    (
        "Noise was added",
        "Every honest device added its share of noise as its ticket says. Numbers in a ledger \
         cannot show it.",
    ),
    (
        "The parties are separate",
        "Coordinator and helper did not put their knowledge together, and the coordinator was at \
         most curious: it did not invent devices to surround one (with helper noise in every round \
         this need not be assumed). When both run on one machine, as in a demonstration, this \
         export shows the mechanics and not the separation.",
    ),
    (
        "Few dishonest devices",
        "In every sum, no more than the stated share of the contributions came from devices that \
         left out their noise.",
    ),
    (
        "Cryptography holds",
        "The claim is up to the advantage of breaking ChaCha20, HPKE, TLS, SHA-256 and Ed25519.",
    ),
];

/// Side channels the design considers. Properties of an honest build, not shown by the ledger.
pub(crate) const SIDE_CHANNELS: [Note; 5] = [
    (
        "Size",
        "A message's size, number and shape follow from the ticket alone.",
    ),
    (
        "Silence",
        "A device that reserved its spend always sends: any failure, or nothing to say, becomes \
         the noised zero vector.",
    ),
    (
        "Sampling time",
        "A noise draw costs the same work whatever it draws, because time that follows the size of \
         the noise would reveal it.",
    ),
    (
        "Retries",
        "A retry sends the same bytes; noise is drawn once per round and never again.",
    ),
    (
        "Sending time",
        "A device sends as soon as its bytes are made. How long that took depends a little on its \
         data (how long the history is, how often rounding was drawn again), and the coordinator \
         can time it as well as the network allows. Nothing hides this.",
    ),
];

/// What is not protected.
pub(crate) const KNOWN_GAPS: [Note; 9] = [
    (
        "Presence",
        "The coordinator sees which devices take part, when, and from which address.",
    ),
    (
        "Copied installations",
        "An installation that was copied or restored whole carries an old budget with it. Only the \
         coordinator's own count corrects that, at the next check-in; a coordinator that hides its \
         count could ask both copies.",
    ),
    (
        "The newest answers",
        "A coordinator can leave the helper's newest lines out of an export. Compare the number of \
         helper lines with what the helper itself says.",
    ),
    (
        "Wiped installations",
        "The protected unit is one installation. Wiping it or enrolling again starts a new budget, \
         unless the platform keeps a counter; deleting data while keeping the identity leaves the \
         budget exhausted.",
    ),
    (
        "Spoiled sums",
        "A modified device or a dishonest helper can replace a sum, and no single update can be \
         taken out again. Bounds on one device's influence hold for honest builds; plausibility \
         checks can only abandon the round, which stays charged.",
    ),
    (
        "Collusion",
        "Coordinator and helper together see every update, protected by that device's own noise \
         share only.",
    ),
    (
        "Stored bytes",
        "Masked updates at rest are as safe as the erasure of each round's sealing key.",
    ),
    (
        "No amplification",
        "Nothing is claimed for sampling or shuffling: devices choose when to check in, and who \
         took part is known.",
    ),
    (
        "Other tasks",
        "This ledger speaks of one task. A device that takes part in several loses the sum; its \
         own ledger bounds that sum. Under another name a task begins anew, and with it the \
         participation limit and what devices remember of forks and rollbacks; the budget does \
         not.",
    ),
];
