//! What the helper refuses. A refusal changes nothing: the round can still be answered as it
//! should.

use tacit_privacy::record::TreeHead;
use tacit_privacy::{canonical, merkle};
use tacit_proto::v2;
use tacit_round::keys::{Context, SignatureBytes};
use tacit_round::ticket::Ticket;
use tacit_types::Digest;
use tonic::Code;

use crate::support::*;

/// What a client makes of a closed connection, depending on when it notices.
const CUT_OFF: [Code; 4] = [
    Code::Unavailable,
    Code::Unknown,
    Code::Internal,
    Code::Cancelled,
];

#[tokio::test(flavor = "multi_thread")]
async fn a_second_ticket_for_a_round_is_refused_whatever_became_of_the_first() {
    let deployment = Deployment::new();
    let helper = deployment.start().await;
    let mut client = deployment.coordinator(&helper).await;
    let round = countersign(&mut client, &draft(1)).await.unwrap();
    let mut other = draft(1);
    other.deadline = other.deadline.plus_millis(7);
    refused_with(
        countersign(&mut client, &other).await.map(|_| ()),
        Code::AlreadyExists,
        "another ticket",
    );
    release(&mut client, &round, seeds(&cohort(&round, 4)))
        .await
        .unwrap();
    refused_with(
        countersign(&mut client, &other).await.map(|_| ()),
        Code::AlreadyExists,
        "another ticket",
    );
    let abandoned = countersign(&mut client, &draft(2)).await.unwrap();
    let request = v2::AbandonRequest {
        ticket_hash: abandoned.hash.0.to_vec().into(),
        certify: false,
    };
    client.abandon(request.clone()).await.unwrap();
    client.abandon(request).await.unwrap();
    assert_eq!(deployment.key_files(), 0);
    let mut other = draft(2);
    other.deadline = other.deadline.plus_millis(7);
    refused_with(
        countersign(&mut client, &other).await.map(|_| ()),
        Code::AlreadyExists,
        "another ticket",
    );
    let set = seeds(&cohort(&abandoned, 4));
    refused_with(
        release(&mut client, &abandoned, set).await,
        Code::NotFound,
        "abandoned",
    );
    helper.stop().await;
}

/// HOSTILE 168: the certificate of the coordinator's server is not its signing key.
#[tokio::test(flavor = "multi_thread")]
async fn a_draft_without_the_coordinators_signature_uses_up_no_number() {
    let deployment = Deployment::new();
    let helper = deployment.start().await;
    let mut client = deployment.coordinator(&helper).await;
    let sound = asking(draft(1).to_bytes().unwrap());
    let by_other = helper_key().sign(Context::Draft, &sound.draft);
    let as_ticket = coordinator_key().sign(Context::Ticket, &sound.draft);
    let of_another = asking(draft(2).to_bytes().unwrap()).draft_signature;
    let forgeries = [
        by_other.0.to_vec().into(),
        as_ticket.0.to_vec().into(),
        of_another,
        Vec::new().into(),
    ];
    for draft_signature in forgeries {
        let request = v2::CountersignRequest {
            draft_signature,
            ..sound.clone()
        };
        let refused = client.countersign(request).await;
        refused_with(refused.map(drop), Code::InvalidArgument, "sign");
    }
    assert_eq!(deployment.key_files(), 0);
    client.countersign(sound).await.unwrap();
    helper.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn unsound_drafts_are_refused() {
    let deployment = Deployment::new();
    let helper = deployment.start().await;
    let mut client = deployment.coordinator(&helper).await;
    type Change = fn(&mut Ticket);
    let cases: [(Change, &str); 5] = [
        (|draft| draft.schema = 1, "another version"),
        (
            |draft| draft.sealing_key = "00".into(),
            "already has a sealing key",
        ),
        (|draft| draft.mechanism.n_min = 1, "n_min is below"),
        (
            |draft| draft.dishonest_milli = 999,
            "no set can be large enough",
        ),
        (
            |draft| (draft.mechanism.cohort_max, draft.mechanism.steps) = (1 << 19, 512),
            "cohort_max",
        ),
    ];
    for (change, words) in cases {
        let mut unsound = draft(1);
        change(&mut unsound);
        refused_with(
            countersign(&mut client, &unsound).await.map(|_| ()),
            Code::InvalidArgument,
            words,
        );
    }
    // HOSTILE 1.
    for bytes in [&b""[..], b"{", b"null"] {
        let request = asking(bytes.to_vec());
        refused_with(
            client.countersign(request).await.map(|_| ()),
            Code::InvalidArgument,
            "",
        );
    }
    assert_eq!(deployment.key_files(), 0);
    countersign(&mut client, &draft(1)).await.unwrap();
    helper.stop().await;
}

/// HOSTILE 54.
#[tokio::test(flavor = "multi_thread")]
async fn sets_that_are_too_small_too_large_or_hold_a_bad_seed_are_refused() {
    let deployment = Deployment::new();
    let helper = deployment.start().await;
    let mut client = deployment.coordinator(&helper).await;
    let round = countersign(&mut client, &draft(1)).await.unwrap();
    let updates = cohort(&round, 9);
    let small = seeds(&updates[..3]);
    refused_with(
        release(&mut client, &round, small).await,
        Code::FailedPrecondition,
        "3 contributions, the ticket needs",
    );
    refused_with(
        release(&mut client, &round, seeds(&updates)).await,
        Code::FailedPrecondition,
        "more contributions",
    );
    let mut bad = seeds(&updates[..4]);
    bad[2].commitment = vec![9; 32].into();
    refused_with(
        release(&mut client, &round, bad).await,
        Code::FailedPrecondition,
        &"03".repeat(16),
    );
    let mut short = seeds(&updates[..4]);
    short[3].sealed_seed = vec![9; 32].into();
    refused_with(
        release(&mut client, &round, short).await,
        Code::FailedPrecondition,
        &"04".repeat(16),
    );
    let mut nameless = seeds(&updates[..4]);
    nameless[0].contribution_id = vec![1; 15].into();
    refused_with(
        release(&mut client, &round, nameless).await,
        Code::InvalidArgument,
        "contribution_id",
    );
    let twice = [seeds(&updates[..4]), seeds(&updates[..1])].concat();
    refused_with(
        release(&mut client, &round, twice).await,
        Code::FailedPrecondition,
        "repeated",
    );
    let answer = release(&mut client, &round, seeds(&updates[..4]))
        .await
        .unwrap();
    assert!(unmasks(&updates[..4], &answer));
    helper.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_set_and_the_set_without_one_are_never_both_answered() {
    let deployment = Deployment::new();
    let helper = deployment.start().await;
    let mut client = deployment.coordinator(&helper).await;
    let round = countersign(&mut client, &draft(1)).await.unwrap();
    let updates = cohort(&round, 5);
    let answer = release(&mut client, &round, seeds(&updates))
        .await
        .unwrap();
    refused_with(
        release(&mut client, &round, seeds(&updates[..4])).await,
        Code::AlreadyExists,
        "another set",
    );
    assert_eq!(
        release(&mut client, &round, seeds(&updates))
            .await
            .unwrap(),
        answer
    );

    // At once on two connections: exactly one wins, and stays the winner.
    let round = countersign(&mut client, &draft(2)).await.unwrap();
    let updates = cohort(&round, 5);
    let mut other = deployment.coordinator(&helper).await;
    let (all, fewer) = tokio::join!(
        release(&mut client, &round, seeds(&updates)),
        release(&mut other, &round, seeds(&updates[..4]))
    );
    assert!(
        all.is_ok() != fewer.is_ok(),
        "{:?} {:?}",
        all.is_ok(),
        fewer.is_ok()
    );
    let again = release(
        &mut other,
        &round,
        seeds(if all.is_ok() { &updates } else { &updates[..4] }),
    )
    .await
    .unwrap();
    assert_eq!(again, all.or(fewer).unwrap());
    helper.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_seed_counts_once() {
    let deployment = Deployment::new();
    let helper = deployment.start().await;
    let mut client = deployment.coordinator(&helper).await;
    let first = countersign(&mut client, &draft(1)).await.unwrap();
    release(&mut client, &first, seeds(&cohort(&first, 4)))
        .await
        .unwrap();

    let second = countersign(&mut client, &draft(2)).await.unwrap();
    let mut updates = cohort(&second, 4);
    let honest = updates.clone();
    updates[1] = contribute(&second, 2, 102);
    assert_eq!(
        admit(&mut client, &second, seeds(&updates))
            .await
            .unwrap(),
        [true, false, true, true]
    );
    let replayed = release(&mut client, &second, seeds(&updates)).await;
    refused_with(replayed, Code::FailedPrecondition, &"02".repeat(16));
    updates[1] = contribute(&second, 2, 201);
    refused_with(
        release(&mut client, &second, seeds(&updates)).await,
        Code::FailedPrecondition,
        "repeated",
    );
    assert_eq!(
        admit(&mut client, &second, seeds(&updates))
            .await
            .unwrap(),
        [true, false, true, true]
    );
    assert!(unmasks(
        &honest,
        &release(&mut client, &second, seeds(&honest))
            .await
            .unwrap()
    ));
    helper.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn seeds_that_do_not_open_are_not_admitted() {
    let deployment = Deployment::new();
    let helper = deployment.start().await;
    let mut client = deployment.coordinator(&helper).await;
    let round = countersign(&mut client, &draft(1)).await.unwrap();
    let elsewhere = countersign(&mut client, &draft(2)).await.unwrap();
    let mut asked = seeds(&cohort(&round, 6));
    asked[1] = contribute(&elsewhere, 2, 5).sealed;
    asked[2].commitment = vec![0; 31].into();
    asked[3].contribution_id = asked[4].contribution_id.clone();
    asked[5] = v2::SealedSeed::default();
    let opens = admit(&mut client, &round, asked).await.unwrap();
    assert_eq!(opens, [true, false, false, false, true, false]);
    let many = vec![v2::SealedSeed::default(); 257];
    refused_with(
        admit(&mut client, &round, many).await,
        Code::InvalidArgument,
        "256",
    );
    let unknown = Round {
        hash: Digest([0; 32]),
        ..round
    };
    refused_with(
        admit(&mut client, &unknown, vec![]).await,
        Code::NotFound,
        "unknown",
    );
    helper.stop().await;
}

/// HOSTILE 21, 26: a device is cut off right after its handshake, whatever it calls.
#[tokio::test(flavor = "multi_thread")]
async fn a_device_may_not_call_the_helper() {
    let deployment = Deployment::new();
    let helper = deployment.start().await;
    let mut device = deployment.device(&helper);
    let round = countersign(&mut deployment.coordinator(&helper).await, &draft(1))
        .await
        .unwrap();
    let updates = cohort(&round, 4);
    let abandon = v2::AbandonRequest {
        ticket_hash: round.hash.0.to_vec().into(),
        certify: false,
    };
    let head = v2::CountersignHeadRequest::default();
    let answers = [
        countersign(&mut device, &draft(2)).await.map(|_| ()),
        admit(&mut device, &round, seeds(&updates))
            .await
            .map(|_| ()),
        release(&mut device, &round, seeds(&updates))
            .await
            .map(|_| ()),
        device.abandon(abandon).await.map(|_| ()),
        device.countersign_head(head).await.map(|_| ()),
    ];
    for answer in answers {
        let cut_off = answer.unwrap_err();
        assert!(CUT_OFF.contains(&cut_off.code()), "{cut_off:?}");
    }
    helper.stop().await;
}

/// HOSTILE k18.
#[tokio::test(flavor = "multi_thread")]
async fn heads_that_go_back_fork_or_are_not_the_coordinators_are_refused() {
    let deployment = Deployment::new();
    let mut helper = deployment.start().await;
    let mut client = deployment.coordinator(&helper).await;
    let leaves = |count: u8, first: u8| -> Vec<Digest> {
        (0..count)
            .map(|line| merkle::leaf(&[if line == 0 { first } else { line }]))
            .collect()
    };
    let prove = |leaves: &[Digest], old_size: u64| {
        let size = leaves.len() as u64;
        let head = TreeHead {
            ledger_id: Digest([5; 32]),
            generation: 1,
            size,
            root: merkle::root(leaves),
            helper_size: 0,
            helper_last_hash: Digest([0; 32]),
        };
        let head = canonical::encode(&head).unwrap();
        let signature = coordinator_key().sign(Context::Head, &head);
        let proof = merkle::consistency_proof(leaves, usize::try_from(old_size).unwrap())
            .unwrap_or_default();
        let proof = proof
            .iter()
            .map(|hash| hash.0.to_vec().into())
            .collect();
        v2::CountersignHeadRequest {
            head: head.into(),
            coordinator_signature: signature.0.to_vec().into(),
            proof,
            old_size,
        }
    };
    let (three, forked) = (leaves(3, 0), leaves(3, 9));
    let signed = client
        .countersign_head(prove(&three, 0))
        .await
        .unwrap()
        .into_inner()
        .signature;
    let signature = SignatureBytes(signed[..].try_into().unwrap());
    assert!(
        helper_key()
            .public()
            .verifies(Context::Head, &prove(&three, 0).head, &signature)
    );
    for restarted in [false, true] {
        if restarted {
            helper.stop().await;
            helper = deployment.start().await;
            client = deployment.coordinator(&helper).await;
        }
        assert_eq!(
            client
                .countersign_head(prove(&three, 3))
                .await
                .unwrap()
                .into_inner()
                .signature,
            signed
        );
        refused_with(
            client.countersign_head(prove(&forked, 3)).await,
            Code::FailedPrecondition,
            "forked",
        );
        refused_with(
            client.countersign_head(prove(&leaves(2, 0), 2)).await,
            Code::FailedPrecondition,
            "newer",
        );
        // A fork that has grown since, with its own honest proof.
        let grown = client.countersign_head(prove(&leaves(5, 9), 3)).await;
        refused_with(grown, Code::FailedPrecondition, "forked");
    }
    let mut forged = prove(&leaves(4, 0), 3);
    forged.coordinator_signature = helper_key()
        .sign(Context::Head, &forged.head)
        .0
        .to_vec()
        .into();
    refused_with(
        client.countersign_head(forged).await,
        Code::FailedPrecondition,
        "not signed by the coordinator",
    );
    let mut short = prove(&leaves(4, 0), 3);
    short.coordinator_signature = vec![0; 63].into();
    refused_with(
        client.countersign_head(short).await,
        Code::InvalidArgument,
        "64 bytes",
    );
    let mut long = prove(&leaves(4, 0), 3);
    long.proof = vec![vec![0; 32].into(); 65];
    refused_with(
        client.countersign_head(long).await,
        Code::InvalidArgument,
        "64 hashes",
    );
    // A proof from elsewhere: the helper says where it must start.
    let from_two = client
        .countersign_head(prove(&leaves(4, 0), 2))
        .await
        .unwrap()
        .into_inner();
    assert!(from_two.signature.is_empty() && from_two.newest_size == 3);
    assert!(
        !client
            .countersign_head(prove(&leaves(4, 0), 3))
            .await
            .unwrap()
            .into_inner()
            .signature
            .is_empty()
    );
    helper.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_release_stream_that_breaks_the_rules_is_refused() {
    let deployment = Deployment::new();
    let helper = deployment.start().await;
    let mut client = deployment.coordinator(&helper).await;
    let round = countersign(&mut client, &draft(1)).await.unwrap();
    let part = |hash: &[u8], seeds| v2::ReleaseRequest {
        ticket_hash: hash.to_vec().into(),
        seeds,
    };
    let set = seeds(&cohort(&round, 4));
    for (parts, words) in [
        (vec![], "empty"),
        (vec![part(&[1; 31], set.clone())], "ticket_hash"),
        (
            vec![
                part(&round.hash.0, set.clone()),
                part(&round.hash.0, set.clone()),
            ],
            "later message",
        ),
        (
            vec![part(&round.hash.0, set.clone()), part(&[], vec![])],
            "later message",
        ),
        (vec![part(&round.hash.0, vec![set[0].clone(); 257])], "256"),
    ] {
        refused_with(
            client
                .release(tokio_stream::iter(parts))
                .await
                .map(|_| ()),
            Code::InvalidArgument,
            words,
        );
    }
    // HOSTILE 11.
    let huge = v2::SealedSeed {
        sealed_seed: vec![0; 1 << 20].into(),
        ..Default::default()
    };
    let refused = client
        .admit(v2::AdmitRequest {
            ticket_hash: round.hash.0.to_vec().into(),
            seeds: vec![huge],
        })
        .await;
    assert_eq!(refused.unwrap_err().code(), Code::OutOfRange);
    release(&mut client, &round, set).await.unwrap();
    helper.stop().await;
}
