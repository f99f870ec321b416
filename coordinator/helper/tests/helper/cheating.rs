//! A coordinator that cheats, and devices that want to block a round: each gets nothing, and is
//! told why.
//!
//! The coordinator's certificate and ticket key are its own here, so it may say anything it likes;
//! what it must never come by is two answers whose difference is one device, or a sum of fewer
//! devices than the ticket says.

use std::fs;

use tacit_proto::v2;
use tacit_round::continuity::Continuity;
use tacit_round::keys::{Context, SignatureBytes};
use tacit_round::policy::{LogMark, Policy, TicketRefusal};
use tacit_round::seal::OpeningKey;
use tacit_round::ticket::{ParsedTicket, SignedTicket, Ticket};
use tacit_types::{Digest, TaskId, Timestamp};
use tokio::task::JoinSet;
use tonic::Code;

use crate::support::*;

#[tokio::test(flavor = "multi_thread")]
async fn after_one_set_no_other_set_is_answered_whatever_happened_to_the_helper() {
    let deployment = Deployment::new();
    let mut helper = deployment.start().await;
    let mut client = deployment.coordinator(&helper).await;
    let round = countersign(&mut client, &draft(1)).await.unwrap();
    let updates = cohort(&round, 6);
    let database = deployment.state().join("helper.sqlite");
    helper.stop().await;
    let backup = fs::read(&database).unwrap();
    helper = deployment.start().await;
    client = deployment.coordinator(&helper).await;
    let answer = release(&mut client, &round, seeds(&updates[..5]))
        .await
        .unwrap();

    let without_one = seeds(&updates[..4]);
    let overlapping = seeds(&updates[1..]);
    let one_more = seeds(&updates);
    for restarted in [false, true] {
        if restarted {
            helper.stop().await;
            helper = deployment.start().await;
            client = deployment.coordinator(&helper).await;
        }
        for set in [&without_one, &overlapping, &one_more] {
            refused_with(
                release(&mut client, &round, set.clone()).await,
                Code::AlreadyExists,
                "another set",
            );
        }
        assert_eq!(
            release(&mut client, &round, seeds(&updates[..5]))
                .await
                .unwrap(),
            answer
        );
    }

    // HOSTILE 101: the database as it was before the answer. The key was erased with the answer and
    // is in no backup.
    helper.stop().await;
    fs::write(&database, backup).unwrap();
    helper = deployment.start().await;
    client = deployment.coordinator(&helper).await;
    for set in [without_one, overlapping, one_more, seeds(&updates[..5])] {
        refused_with(
            release(&mut client, &round, set.clone()).await,
            Code::NotFound,
            "unknown",
        );
        refused_with(
            admit(&mut client, &round, set).await,
            Code::NotFound,
            "unknown",
        );
    }
    let draft = Ticket {
        sealing_key: String::new(),
        ..round.ticket.clone()
    };
    refused_with(
        countersign(&mut client, &draft).await.map(drop),
        Code::NotFound,
        "abandoned",
    );
    // The restored helper has forgotten which seeds were used. Sealed to the erased key, they open
    // in no later round.
    let later = countersign(&mut client, &self::draft(2))
        .await
        .unwrap();
    assert_eq!(
        admit(&mut client, &later, seeds(&updates))
            .await
            .unwrap(),
        [false; 6]
    );
    refused_with(
        release(&mut client, &later, seeds(&updates)).await,
        Code::FailedPrecondition,
        "does not open",
    );
    helper.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn of_many_sets_asked_for_at_once_exactly_one_is_ever_answered() {
    let deployment = Deployment::new();
    let helper = deployment.start().await;
    let round = countersign(&mut deployment.coordinator(&helper).await, &draft(1))
        .await
        .unwrap();
    let updates = cohort(&round, 7);
    let mut closers = JoinSet::new();
    for left_out in 0..6 {
        let mut client = deployment.coordinator(&helper).await;
        let set: Vec<_> = (0..7)
            .filter(|one| *one != left_out)
            .map(|one| updates[one].clone())
            .collect();
        let (ticket, hash) = (round.ticket.clone(), round.hash);
        closers.spawn(async move {
            let answered = release(&mut client, &Round { ticket, hash }, seeds(&set)).await;
            (
                left_out,
                answered.map(|answer| (unmasks(&set, &answer), answer)),
            )
        });
    }
    let (answered, refused): (Vec<_>, Vec<_>) = closers
        .join_all()
        .await
        .into_iter()
        .partition(|(_, answered)| answered.is_ok());
    assert_eq!(answered.len(), 1);
    assert!(
        answered
            .iter()
            .all(|(_, answered)| answered.as_ref().is_ok_and(|(opens, _)| *opens))
    );
    for (_, refused) in refused {
        refused_with(refused, Code::AlreadyExists, "another set");
    }
    helper.stop().await;
}

/// HOSTILE 44.
#[tokio::test(flavor = "multi_thread")]
async fn seeds_count_under_their_own_ticket_name_and_bytes_only() {
    let deployment = Deployment::new();
    let helper = deployment.start().await;
    let mut client = deployment.coordinator(&helper).await;
    let earlier = countersign(&mut client, &draft(1)).await.unwrap();
    let round = countersign(&mut client, &draft(2)).await.unwrap();
    let (theirs, ours) = (cohort(&earlier, 4), cohort(&round, 5));
    release(&mut client, &earlier, seeds(&theirs))
        .await
        .unwrap();

    type Change = fn(&mut [v2::SealedSeed], &[Update]);
    let cases: [(&str, Change); 5] = [
        ("a replay of an answered round", |set, theirs| {
            set[1] = theirs[1].sealed.clone()
        }),
        (
            "a seed of the other ticket under a name of this one",
            |set, theirs| {
                set[1].sealed_seed = theirs[1].sealed.sealed_seed.clone();
            },
        ),
        ("two names swapped", |set, _| {
            let (one, two) = (
                set[1].contribution_id.clone(),
                set[2].contribution_id.clone(),
            );
            (set[1].contribution_id, set[2].contribution_id) = (two, one);
        }),
        ("two digests swapped", |set, _| {
            let (one, two) = (set[1].commitment.clone(), set[2].commitment.clone());
            (set[1].commitment, set[2].commitment) = (two, one);
        }),
        ("two seeds swapped", |set, _| {
            let (one, two) = (set[1].sealed_seed.clone(), set[2].sealed_seed.clone());
            (set[1].sealed_seed, set[2].sealed_seed) = (two, one);
        }),
    ];
    for (name, change) in cases {
        let mut set = seeds(&ours);
        change(&mut set, &theirs);
        let opens = admit(&mut client, &round, set.clone()).await.unwrap();
        assert!(!opens[1] && opens[3] && opens[4], "{name}: {opens:?}");
        refused_with(
            release(&mut client, &round, set).await,
            Code::FailedPrecondition,
            "does not open",
        );
    }
    // The whole set under the other ticket's name.
    let swapped = Round {
        ticket: round.ticket.clone(),
        hash: earlier.hash,
    };
    refused_with(
        release(&mut client, &swapped, seeds(&ours)).await,
        Code::AlreadyExists,
        "another set",
    );
    assert!(unmasks(
        &ours,
        &release(&mut client, &round, seeds(&ours))
            .await
            .unwrap()
    ));
    helper.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_countersigned_minimum_holds_and_no_ticket_talks_it_away() {
    let deployment = Deployment::new();
    let helper = deployment.start().await;
    let mut client = deployment.coordinator(&helper).await;
    let round = countersign(&mut client, &draft(1)).await.unwrap();
    let updates = cohort(&round, 4);
    // n_min honest shares are not enough when a tenth may be dishonest: ceil(3 / 0.9) = 4.
    for count in 1..4 {
        let words = format!("the set has {count} contributions, the ticket needs at least 4");
        refused_with(
            release(&mut client, &round, seeds(&updates[..count])).await,
            Code::FailedPrecondition,
            &words,
        );
    }
    type Change = fn(&mut Ticket);
    let cases: [(&str, Change); 6] = [
        ("n_min is out of range", |draft| draft.mechanism.n_min = 9),
        ("no set can be large enough", |draft| {
            (draft.mechanism.n_min, draft.dishonest_milli) = (8, 1)
        }),
        // A tiny gamma: more grid steps than the ring has room for, and than there may be.
        ("could pass 2^31", |draft| {
            (draft.mechanism.steps, draft.mechanism.cohort_max) = (1 << 20, 1 << 12)
        }),
        ("steps is out of range", |draft| {
            draft.mechanism.steps = u32::MAX
        }),
        ("n_min is below this helper's minimum", |draft| {
            draft.mechanism.n_min = 1
        }),
        ("at least 4 grid steps", |draft| draft.mechanism.sigma2 = 16),
    ];
    for (words, change) in cases {
        let mut unsound = draft(2);
        change(&mut unsound);
        refused_with(
            countersign(&mut client, &unsound).await.map(drop),
            Code::InvalidArgument,
            words,
        );
    }
    assert!(unmasks(
        &updates,
        &release(&mut client, &round, seeds(&updates))
            .await
            .unwrap()
    ));
    helper.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_sealing_key_of_the_coordinators_own_gets_no_countersignature_and_no_device() {
    let deployment = Deployment::new();
    let helper = deployment.start().await;
    let mut client = deployment.coordinator(&helper).await;
    let own = hex::encode(
        OpeningKey::from_secret(&[7; 32])
            .unwrap()
            .sealing_key(),
    );
    let ready = Ticket {
        sealing_key: own.clone(),
        ..draft(1)
    };
    refused_with(
        countersign(&mut client, &ready).await.map(drop),
        Code::InvalidArgument,
        "already has a sealing key",
    );

    let request = asking(draft(1).to_bytes().unwrap());
    let genuine = client.countersign(request).await.unwrap().into_inner();
    let countersignature = SignatureBytes(genuine.signature[..].try_into().unwrap());
    let swapped = Ticket {
        sealing_key: own,
        ..Ticket::from_bytes(&genuine.ticket).unwrap()
    }
    .to_bytes()
    .unwrap();
    let policy = Policy {
        honest_min: 2,
        ..Policy::new(
            coordinator_key().public(),
            helper_key().public(),
            draft(1).mechanism.rho(),
            8,
        )
    };
    let judged = |bytes: Vec<u8>, by: SignatureBytes| {
        let signed = SignedTicket::new(bytes, by, &coordinator_key());
        let ticket = ParsedTicket::parse(signed).unwrap();
        let now = Timestamp(1_899_999_999_999);
        policy
            .check(&ticket, LogMark::default(), &Continuity::default(), now)
            .unwrap_err()
    };
    let forged = coordinator_key().sign(Context::Ticket, &swapped);
    assert_eq!(
        judged(swapped.clone(), countersignature),
        TicketRefusal::Signature
    );
    assert_eq!(judged(swapped, forged), TicketRefusal::Signature);
    // The genuine one gets past the signatures; its ledger is made up here.
    assert_eq!(
        judged(genuine.ticket.to_vec(), countersignature),
        TicketRefusal::Unlogged
    );
    helper.stop().await;
}

/// A second ledger for one task would be a fork that no device could see alone.
#[tokio::test(flavor = "multi_thread")]
async fn a_task_stays_in_the_ledger_it_began_in() {
    let deployment = Deployment::new();
    let mut helper = deployment.start().await;
    let mut client = deployment.coordinator(&helper).await;
    countersign(&mut client, &draft(1)).await.unwrap();
    let mut elsewhere = draft(2);
    elsewhere.logged.head.head.ledger_id = Digest([9; 32]);
    for restarted in [false, true] {
        if restarted {
            helper.stop().await;
            helper = deployment.start().await;
            client = deployment.coordinator(&helper).await;
        }
        refused_with(
            countersign(&mut client, &elsewhere).await.map(drop),
            Code::InvalidArgument,
            "another ledger",
        );
    }
    let other = Ticket {
        task: TaskId::new("books").unwrap(),
        ..elsewhere
    };
    countersign(&mut client, &other).await.unwrap();
    countersign(&mut client, &draft(2)).await.unwrap();
    helper.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_abandoned_round_stays_abandoned_over_restarts() {
    let deployment = Deployment::new();
    let mut helper = deployment.start().await;
    let mut client = deployment.coordinator(&helper).await;
    let round = countersign(&mut client, &draft(1)).await.unwrap();
    let updates = cohort(&round, 5);
    assert_eq!(
        admit(&mut client, &round, seeds(&updates))
            .await
            .unwrap(),
        [true; 5]
    );
    client
        .abandon(v2::AbandonRequest {
            ticket_hash: round.hash.0.to_vec().into(),
            certify: false,
        })
        .await
        .unwrap();
    for restarted in [false, true] {
        if restarted {
            helper.stop().await;
            helper = deployment.start().await;
            client = deployment.coordinator(&helper).await;
        }
        refused_with(
            release(&mut client, &round, seeds(&updates)).await,
            Code::NotFound,
            "abandoned",
        );
        refused_with(
            admit(&mut client, &round, seeds(&updates)).await,
            Code::NotFound,
            "abandoned",
        );
        refused_with(
            countersign(&mut client, &draft(1)).await.map(drop),
            Code::NotFound,
            "abandoned",
        );
        let mut second = draft(1);
        second.deadline = second.deadline.plus_millis(1);
        refused_with(
            countersign(&mut client, &second).await.map(drop),
            Code::AlreadyExists,
            "another ticket",
        );
    }
    helper.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn one_device_with_a_bad_seed_cannot_block_a_round() {
    let deployment = Deployment::new();
    let mut helper = deployment.start().await;
    let mut client = deployment.coordinator(&helper).await;
    let round = countersign(&mut client, &draft(1)).await.unwrap();
    let elsewhere = countersign(&mut client, &draft(2)).await.unwrap();
    let honest = cohort(&round, 5);
    let mut hostile = contribute(&round, 50, 999).sealed;
    hostile.sealed_seed = vec![0xa5; hostile.sealed_seed.len()].into();
    let other_key = Round {
        ticket: Ticket {
            sealing_key: elsewhere.ticket.sealing_key.clone(),
            ..round.ticket.clone()
        },
        hash: round.hash,
    };
    let bad = [
        ("garbage", hostile),
        (
            "sealed to another key",
            contribute(&other_key, 51, 998).sealed,
        ),
        // Seed 101 is that of the first honest device.
        ("another device's seed", contribute(&round, 52, 101).sealed),
    ];
    for restarted in [false, true] {
        if restarted {
            helper.stop().await;
            helper = deployment.start().await;
            client = deployment.coordinator(&helper).await;
        }
        let part = if restarted {
            &honest[3..]
        } else {
            &honest[..3]
        };
        assert!(
            admit(&mut client, &round, seeds(part))
                .await
                .unwrap()
                .into_iter()
                .all(|opens| opens)
        );
        for (name, seed) in &bad {
            // Beside honest ones and alone: each is refused by itself.
            let asked = vec![seeds(&honest[..1])[0].clone(), seed.clone()];
            assert_eq!(
                admit(&mut client, &round, asked).await.unwrap(),
                [true, false],
                "{name}, {restarted}"
            );
            assert_eq!(
                admit(&mut client, &round, vec![seed.clone()])
                    .await
                    .unwrap(),
                [false],
                "{name}, {restarted}"
            );
        }
        // A seed admitted to one open round is refused in every other, or its answer would block
        // that one.
        let moved = contribute(&elsewhere, 53, 102).sealed;
        assert_eq!(
            admit(&mut client, &elsewhere, vec![moved])
                .await
                .unwrap(),
            [false]
        );
    }
    assert!(unmasks(
        &honest,
        &release(&mut client, &round, seeds(&honest))
            .await
            .unwrap()
    ));
    // Used seeds are remembered for ever, the admitted ones of an ended round no longer.
    let after = [
        contribute(&elsewhere, 1, 101),
        contribute(&elsewhere, 2, 999),
    ];
    assert_eq!(
        admit(&mut client, &elsewhere, seeds(&after))
            .await
            .unwrap(),
        [false, true]
    );
    helper.stop().await;
}
