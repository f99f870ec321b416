//! The helper's own ledger: a line before each signature, and no head that leaves one out.

use tacit_privacy::canonical;
use tacit_privacy::record::{Event, Line, TreeHead};
use tacit_proto::v2;
use tacit_round::keys::Context;
use tacit_types::Digest;
use tonic::{Code, Status};

use tacit_proto::v2::helper_client::HelperClient;
use tonic::transport::Channel;

use super::support::*;

type Client = HelperClient<Channel>;

/// The ledger that drafts stand in.
const LEDGER: Digest = Digest([1; 32]);
const NOTHING: Digest = Digest([0; 32]);

async fn lines(client: &mut Client) -> Vec<v2::HelperLine> {
    let request = v2::LinesRequest {
        ledger_id: LEDGER.0.to_vec().into(),
        from: 0,
        newest: None,
    };
    let answer = client.lines(request).await.unwrap().into_inner();
    assert_eq!(answer.size, answer.lines.len() as u64);
    answer.lines
}

fn last_hash(lines: &[v2::HelperLine]) -> Digest {
    lines
        .last()
        .map_or(NOTHING, |line| canonical::digest(&line.line))
}

/// Asks for a head of one line that says this of the helper's ledger.
async fn head(client: &mut Client, size: u64, last: Digest) -> Result<(), Status> {
    let head = TreeHead {
        ledger_id: LEDGER,
        generation: 1,
        size: 1,
        root: Digest([2; 32]),
        helper_size: size,
        helper_last_hash: last,
    };
    let head = canonical::encode(&head).unwrap();
    let signature = coordinator_key().sign(Context::Head, &head);
    let request = v2::CountersignHeadRequest {
        head: head.into(),
        coordinator_signature: signature.0.to_vec().into(),
        proof: Vec::new(),
        old_size: 1,
    };
    client.countersign_head(request).await.map(drop)
}

/// HOSTILE 162: a coordinator that keeps a countersigned ticket to itself gets no head signed.
#[tokio::test(flavor = "multi_thread")]
async fn every_countersignature_has_a_line_and_no_head_leaves_one_out() {
    let deployment = Deployment::new();
    let mut helper = deployment.start().await;
    let mut client = deployment.coordinator(&helper).await;
    assert!(lines(&mut client).await.is_empty());
    head(&mut client, 0, NOTHING).await.unwrap();

    let round = countersign(&mut client, &draft(1)).await.unwrap();
    countersign(&mut client, &draft(1)).await.unwrap();
    let one = lines(&mut client).await;
    assert_eq!(one.len(), 1, "the same draft again is the same ticket");
    assert_eq!(canonical::digest(&one[0].ticket), round.hash);
    let asked = asking(draft(1).to_bytes().unwrap());
    assert_eq!(one[0].draft_signature, asked.draft_signature);
    let Event::Countersigned(signed) = Line::from_bytes(&one[0].line).unwrap().event else {
        panic!("a countersignature")
    };
    assert_eq!(signed.ticket_hash, round.hash);
    assert_eq!(signed.rho, round.ticket.mechanism.rho());
    assert_eq!(signed.participation_index, 1);

    for (size, last) in [(0, NOTHING), (1, NOTHING), (2, last_hash(&one))] {
        let refused = head(&mut client, size, last).await;
        refused_with(refused, Code::FailedPrecondition, "helper_size");
    }
    head(&mut client, 1, last_hash(&one)).await.unwrap();

    release(&mut client, &round, seeds(&cohort(&round, 5)))
        .await
        .unwrap();
    countersign(&mut client, &draft(2)).await.unwrap();
    helper.stop().await;
    helper = deployment.start().await;
    client = deployment.coordinator(&helper).await;
    let three = lines(&mut client).await;
    assert_eq!(three.len(), 3);
    let refused = head(&mut client, 1, last_hash(&one)).await;
    refused_with(refused, Code::FailedPrecondition, "helper_size");
    head(&mut client, 3, last_hash(&three)).await.unwrap();
}

/// A second task in the same ledger would have lines of its own, which no head of it counts.
#[tokio::test(flavor = "multi_thread")]
async fn a_ledger_is_of_one_task() {
    let deployment = Deployment::new();
    let helper = deployment.start().await;
    let mut client = deployment.coordinator(&helper).await;
    countersign(&mut client, &draft(1)).await.unwrap();
    let other = tacit_round::ticket::Ticket {
        task: tacit_types::TaskId::new("books").unwrap(),
        ..draft(1)
    };
    let refused = countersign(&mut client, &other).await;
    refused_with(refused.map(drop), Code::InvalidArgument, "another task's");
    assert_eq!(lines(&mut client).await.len(), 1);
}

/// HOSTILE 166: only what this helper signed tells it that its state is an older copy, and only one
/// whose operator says so takes lines back.
#[tokio::test(flavor = "multi_thread")]
async fn a_forged_line_stops_no_helper_and_none_is_given_to_one_that_lost_nothing() {
    let deployment = Deployment::new();
    let helper = deployment.start().await;
    let mut client = deployment.coordinator(&helper).await;
    countersign(&mut client, &draft(1)).await.unwrap();
    let own = lines(&mut client).await.remove(0);

    let mut next = Line::from_bytes(&own.line).unwrap();
    next.seq = 7;
    let bytes = next.to_bytes().unwrap();
    let forgeries = [coordinator_key().sign(Context::Line, &bytes), {
        // The helper's signature over something else.
        helper_key().sign(Context::Head, &bytes)
    }];
    for forged in forgeries {
        let request = v2::LinesRequest {
            ledger_id: LEDGER.0.to_vec().into(),
            from: 0,
            newest: Some(v2::HelperLine {
                line: bytes.clone().into(),
                signature: forged.0.to_vec().into(),
                ..v2::HelperLine::default()
            }),
        };
        let refused = client.lines(request).await;
        refused_with(refused, Code::InvalidArgument, "no line that this helper");
    }
    let given = v2::GiveBackRequest {
        head: Default::default(),
        lines: vec![own],
    };
    let refused = client.give_back(given).await;
    refused_with(refused, Code::InvalidArgument, "was not restored");
    countersign(&mut client, &draft(2)).await.unwrap();
}
