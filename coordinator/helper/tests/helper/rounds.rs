//! Rounds that go as they should, also over a restart.

use std::time::Duration;

use tacit_privacy::canonical;
use tacit_privacy::record::{Event, Keeper, Line};
use tacit_proto::v2;
use tacit_round::keys::{Context, SignatureBytes};
use tacit_round::mask::set_digest;
use tacit_types::ContributionId;
use tokio::time::timeout;
use tonic::Code;

use crate::support::*;

#[tokio::test(flavor = "multi_thread")]
async fn a_round_goes_from_draft_to_the_true_sum() {
    let deployment = Deployment::new();
    let helper = deployment.start().await;
    let mut client = deployment.coordinator(&helper).await;
    let request = asking(draft(1).to_bytes().unwrap());
    let first = client
        .countersign(request.clone())
        .await
        .unwrap()
        .into_inner();
    let signature = SignatureBytes(first.signature[..].try_into().unwrap());
    assert!(
        helper_key()
            .public()
            .verifies(Context::Ticket, &first.ticket, &signature)
    );
    assert_eq!(
        client.countersign(request).await.unwrap().into_inner(),
        first,
        "same draft, same answer"
    );

    let round = countersign(&mut client, &draft(1)).await.unwrap();
    assert!(round.ticket.completes(&draft_of(&round)));
    let updates = cohort(&round, 5);
    assert_eq!(
        admit(&mut client, &round, seeds(&updates))
            .await
            .unwrap(),
        [true; 5]
    );
    assert_eq!(deployment.key_files(), 1);
    let answer = release(&mut client, &round, seeds(&updates))
        .await
        .unwrap();
    assert!(unmasks(&updates, &answer) && !unmasks(&updates[..4], &answer));
    assert_eq!(deployment.key_files(), 0, "the key goes with the answer");
    check_line(&answer, &round);
    helper.stop().await;
}

fn draft_of(round: &Round) -> tacit_round::ticket::Ticket {
    tacit_round::ticket::Ticket {
        sealing_key: String::new(),
        ..round.ticket.clone()
    }
}

fn check_line(answer: &Answer, round: &Round) {
    let signature = SignatureBytes(answer.signature[..].try_into().unwrap());
    assert!(
        helper_key()
            .public()
            .verifies(Context::Line, &answer.line, &signature)
    );
    let line = Line::from_bytes(&answer.line).unwrap();
    // The one before it says that the ticket was countersigned.
    assert_eq!((line.keeper, line.seq), (Keeper::Helper, 1));
    let Event::Answered(answered) = line.event else {
        panic!("an answer")
    };
    assert_eq!(
        (answered.ticket_hash, answered.contributors),
        (round.hash, 5)
    );
    assert_eq!(
        answered.set_digest,
        set_digest((1..=5).map(|name| ContributionId([name; 16])))
    );
    assert_eq!(answered.mask_digest, canonical::digest(&answer.mask_sum));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_restart_between_countersignature_and_release_changes_nothing() {
    let deployment = Deployment::new();
    let helper = deployment.start().await;
    let round = countersign(&mut deployment.coordinator(&helper).await, &draft(1))
        .await
        .unwrap();
    helper.stop().await;
    // HOSTILE 56, 105.
    let helper = deployment.start().await;
    let mut client = deployment.coordinator(&helper).await;
    assert_eq!(
        countersign(&mut client, &draft_of(&round))
            .await
            .unwrap()
            .hash,
        round.hash
    );
    let updates = cohort(&round, 4);
    let answer = release(&mut client, &round, seeds(&updates))
        .await
        .unwrap();
    assert!(unmasks(&updates, &answer));
    helper.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_restart_after_the_release_repeats_the_same_bytes_and_leaves_no_key() {
    let deployment = Deployment::new();
    let helper = deployment.start().await;
    let mut client = deployment.coordinator(&helper).await;
    let round = countersign(&mut client, &draft(1)).await.unwrap();
    let key = bytes_of(&deployment.state().join("keys")).remove(0);
    let key_file = deployment
        .state()
        .join(format!("keys/{}.key", round.hash));
    let updates = cohort(&round, 4);
    let answer = release(&mut client, &round, seeds(&updates))
        .await
        .unwrap();
    assert_eq!(
        release(&mut client, &round, seeds(&updates))
            .await
            .unwrap(),
        answer
    );
    helper.stop().await;
    // Kill point k9: the answer was recorded, its key not yet erased.
    std::fs::write(&key_file, key).unwrap();
    let helper = deployment.start().await;
    let mut client = deployment.coordinator(&helper).await;
    assert!(!key_file.exists());
    let mut other_order = seeds(&updates);
    other_order.reverse();
    assert_eq!(
        release(&mut client, &round, other_order)
            .await
            .unwrap(),
        answer
    );
    assert_eq!(
        admit(&mut client, &round, seeds(&updates))
            .await
            .unwrap_err()
            .code(),
        Code::NotFound
    );
    helper.stop().await;
}

/// One call has recorded the answer and is about to erase the key; another asks at that moment.
#[tokio::test(flavor = "multi_thread")]
async fn no_answer_is_repeated_while_its_key_is_still_on_the_disk() {
    let deployment = Deployment::new();
    let helper = deployment.start().await;
    let mut client = deployment.coordinator(&helper).await;
    let round = countersign(&mut client, &draft(1)).await.unwrap();
    let key = bytes_of(&deployment.state().join("keys")).remove(0);
    let updates = cohort(&round, 4);
    let answer = release(&mut client, &round, seeds(&updates))
        .await
        .unwrap();
    std::fs::write(
        deployment
            .state()
            .join(format!("keys/{}.key", round.hash)),
        key,
    )
    .unwrap();
    assert_eq!(
        release(&mut client, &round, seeds(&updates))
            .await
            .unwrap(),
        answer
    );
    assert_eq!(deployment.key_files(), 0);
    helper.stop().await;
}

/// A set is large, so `SETS_MAX` are held in memory at once; the others wait for their turn.
#[tokio::test(flavor = "multi_thread")]
async fn only_a_few_sets_are_collected_at_once() {
    let deployment = Deployment::new();
    let helper = deployment.start().await;
    let mut client = deployment.coordinator(&helper).await;
    let round = countersign(&mut client, &draft(1)).await.unwrap();
    let updates = cohort(&round, 4);
    let mut slow = Vec::new();
    for _ in 0..4 {
        let (sender, parts) = tokio::sync::mpsc::channel(1);
        let first = v2::ReleaseRequest {
            ticket_hash: round.hash.0.to_vec().into(),
            seeds: seeds(&updates[..1]),
        };
        sender.send(first).await.unwrap();
        let mut client = deployment.coordinator(&helper).await;
        let stream = tokio_stream::wrappers::ReceiverStream::new(parts);
        slow.push((
            sender,
            tokio::spawn(async move { client.release(stream).await.map(drop) }),
        ));
    }
    for (sender, _) in &slow {
        // The first part was taken, so the set is being collected.
        drop(sender.reserve().await.unwrap());
    }
    tokio::time::sleep(Duration::from_millis(200)).await;
    let waits = timeout(
        Duration::from_millis(300),
        release(&mut client, &round, seeds(&updates)),
    )
    .await;
    assert!(waits.is_err(), "{waits:?}");
    let (sender, call) = slow.remove(0);
    drop(sender);
    assert!(call.await.unwrap().is_err(), "one seed is no set");
    assert!(unmasks(
        &updates,
        &release(&mut client, &round, seeds(&updates))
            .await
            .unwrap()
    ));
    slow.into_iter().for_each(|(_, call)| call.abort());
    helper.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn lines_chain_and_only_the_newest_mask_sums_are_kept() {
    let deployment = Deployment::new();
    let helper = deployment.start().await;
    let mut client = deployment.coordinator(&helper).await;
    let mut rounds = Vec::new();
    for number in 1..=5 {
        let round = countersign(&mut client, &draft(number)).await.unwrap();
        let updates = cohort(&round, 4);
        let answer = release(&mut client, &round, seeds(&updates))
            .await
            .unwrap();
        rounds.push((round, updates, answer));
    }
    for (earlier, later) in rounds.iter().zip(&rounds[1..]) {
        // Between two answers stands the line of the later one's ticket.
        let seq = |answer: &Answer| Line::from_bytes(&answer.line).unwrap().seq;
        assert_eq!(seq(&later.2), seq(&earlier.2) + 2);
    }
    let (round, updates, _) = &rounds[0];
    let gone = release(&mut client, round, seeds(updates))
        .await
        .unwrap_err();
    assert!(
        gone.code() == Code::FailedPrecondition && gone.message().contains("not the mask sum"),
        "{gone}"
    );
    let (round, updates, answer) = &rounds[1];
    assert_eq!(
        release(&mut client, round, seeds(updates))
            .await
            .unwrap(),
        *answer
    );
    helper.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_ninth_open_round_crowds_out_the_oldest() {
    let deployment = Deployment::new();
    let helper = deployment.start().await;
    let mut client = deployment.coordinator(&helper).await;
    let first = countersign(&mut client, &draft(1)).await.unwrap();
    let second = countersign(&mut client, &draft(2)).await.unwrap();
    for number in 3..=9 {
        countersign(&mut client, &draft(number)).await.unwrap();
    }
    assert_eq!(deployment.key_files(), 8);
    let refused = release(&mut client, &first, seeds(&cohort(&first, 4)))
        .await
        .unwrap_err();
    assert_eq!(refused.code(), Code::NotFound);
    let updates = cohort(&second, 4);
    assert!(unmasks(
        &updates,
        &release(&mut client, &second, seeds(&updates))
            .await
            .unwrap()
    ));
    helper.stop().await;
}
