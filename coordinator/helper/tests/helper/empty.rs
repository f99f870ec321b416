//! What the helper certifies: that nobody entered a round, once it has ended and its key is gone.

use std::fs;

use tacit_proto::v2;
use tacit_proto::v2::helper_client::HelperClient;
use tacit_round::keys::SignatureBytes;
use tacit_round::nobody_entered::NobodyEntered;
use tonic::transport::Channel;
use tonic::{Code, Status};

use crate::support::{
    Deployment, Round, admit, cohort, countersign, draft, helper_key, refused_with, release, seeds,
};

/// Ends a round; gives the generation of a certificate that holds, if there is one.
async fn end(
    client: &mut HelperClient<Channel>,
    round: &Round,
    certify: bool,
) -> Result<Option<u32>, Status> {
    let request = v2::AbandonRequest {
        ticket_hash: round.hash.0.to_vec().into(),
        certify,
    };
    let answer = client.abandon(request).await?.into_inner();
    if answer.certificate.is_empty() {
        assert_eq!(answer.generation, 0);
        return Ok(None);
    }
    let certificate = NobodyEntered {
        ticket_hash: round.hash,
        generation: answer.generation,
    };
    let signature = SignatureBytes(answer.certificate[..].try_into().unwrap());
    assert!(certificate.verifies(&helper_key().public(), &signature));
    Ok(Some(answer.generation))
}

/// HOSTILE 151: the round is over, and its key gone, before anything is signed; asking again, also
/// of a helper that was started again, gives the same.
#[tokio::test(flavor = "multi_thread")]
async fn a_round_that_nobody_entered_is_certified_once_its_key_is_gone() {
    let deployment = Deployment::new();
    let mut helper = deployment.start().await;
    let mut client = deployment.coordinator(&helper).await;
    let round = countersign(&mut client, &draft(1)).await.unwrap();
    for restarted in [false, true] {
        if restarted {
            helper.stop().await;
            helper = deployment.start().await;
            client = deployment.coordinator(&helper).await;
        }
        let certified = end(&mut client, &round, true).await.unwrap();
        assert_eq!(certified, Some(1));
        assert_eq!(deployment.key_files(), 0);
        let set = seeds(&cohort(&round, 4));
        refused_with(
            admit(&mut client, &round, set.clone()).await,
            Code::NotFound,
            "abandoned",
        );
        refused_with(
            release(&mut client, &round, set).await,
            Code::NotFound,
            "abandoned",
        );
        refused_with(
            countersign(&mut client, &draft(1)).await.map(drop),
            Code::NotFound,
            "abandoned",
        );
    }
    helper.stop().await;
}

/// HOSTILE 151: one admitted seed is enough, whatever is forgotten of it with the round.
#[tokio::test(flavor = "multi_thread")]
async fn a_round_that_somebody_entered_is_never_certified() {
    let deployment = Deployment::new();
    let helper = deployment.start().await;
    let mut client = deployment.coordinator(&helper).await;
    let entered = countersign(&mut client, &draft(1)).await.unwrap();
    let opens = admit(&mut client, &entered, seeds(&cohort(&entered, 1))).await;
    assert_eq!(opens.unwrap(), [true]);
    let answered = countersign(&mut client, &draft(2)).await.unwrap();
    release(&mut client, &answered, seeds(&cohort(&answered, 4)))
        .await
        .unwrap();
    // A seed that does not open is nobody's.
    let knocked = countersign(&mut client, &draft(3)).await.unwrap();
    let foreign = admit(&mut client, &knocked, seeds(&cohort(&entered, 1))).await;
    assert_eq!(foreign.unwrap(), [false]);

    assert_eq!(end(&mut client, &entered, true).await.unwrap(), None);
    assert_eq!(end(&mut client, &entered, true).await.unwrap(), None);
    assert_eq!(end(&mut client, &answered, true).await.unwrap(), None);
    assert_eq!(end(&mut client, &knocked, true).await.unwrap(), Some(1));
    helper.stop().await;
}

/// HOSTILE 151: a helper that lost a key may have forgotten seeds with it: it certifies nothing of
/// the generation before.
#[tokio::test(flavor = "multi_thread")]
async fn a_generation_certifies_its_own_rounds_only() {
    let deployment = Deployment::new();
    let helper = deployment.start().await;
    let mut client = deployment.coordinator(&helper).await;
    let lost = countersign(&mut client, &draft(1)).await.unwrap();
    let other = countersign(&mut client, &draft(2)).await.unwrap();
    let said = countersign(&mut client, &draft(3)).await.unwrap();
    assert_eq!(end(&mut client, &said, true).await.unwrap(), Some(1));
    helper.stop().await;
    let key = deployment
        .state()
        .join(format!("keys/{}.key", lost.hash));
    fs::remove_file(key).unwrap();

    let helper = deployment.start().await;
    let mut client = deployment.coordinator(&helper).await;
    assert_eq!(end(&mut client, &lost, true).await.unwrap(), None);
    assert_eq!(end(&mut client, &other, true).await.unwrap(), None);
    // What was certified before counts, so whoever did not hear of it is told again.
    assert_eq!(end(&mut client, &said, true).await.unwrap(), Some(1));
    let next = countersign(&mut client, &told(4, 1)).await.unwrap();
    assert_eq!(end(&mut client, &next, true).await.unwrap(), Some(2));
    helper.stop().await;
}

/// HOSTILE 151: devices are told of every round that was certified, or there is no ticket.
#[tokio::test(flavor = "multi_thread")]
async fn a_ticket_that_states_fewer_free_rounds_than_were_certified_is_refused() {
    let deployment = Deployment::new();
    let helper = deployment.start().await;
    let mut client = deployment.coordinator(&helper).await;
    let first = countersign(&mut client, &draft(1)).await.unwrap();
    assert_eq!(end(&mut client, &first, true).await.unwrap(), Some(1));
    // One that was only to end is not counted.
    let second = countersign(&mut client, &told(2, 1)).await.unwrap();
    assert_eq!(end(&mut client, &second, false).await.unwrap(), None);
    refused_with(
        countersign(&mut client, &draft(3)).await.map(drop),
        Code::InvalidArgument,
        "its free_rounds is 0, and this helper has certified 1",
    );
    countersign(&mut client, &told(3, 1)).await.unwrap();
    helper.stop().await;
}

/// A draft that tells devices of so many free rounds.
fn told(round: u32, free_rounds: u32) -> tacit_round::ticket::Ticket {
    tacit_round::ticket::Ticket {
        free_rounds,
        ..draft(round)
    }
}
