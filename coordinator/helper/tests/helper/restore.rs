//! A coordinator put back from an older copy: the helper signs nothing of a new generation before
//! everything it countersigned since is paid for.

use tacit_privacy::record::{
    Abandoned, Charge, Empty, Event, Genesis, Keeper, Line, Restored, SCHEMA, TreeHead,
};
use tacit_privacy::{Rho, canonical, merkle};
use tacit_proto::v2;
use tacit_proto::v2::helper_client::HelperClient;
use tacit_round::keys::Context;
use tacit_round::ticket::Ticket;
use tacit_types::Digest;
use tonic::transport::Channel;
use tonic::{Code, Status};

use super::support::*;

type Client = HelperClient<Channel>;

/// The ledger that drafts stand in.
const LEDGER: Digest = Digest([1; 32]);
const NOTHING: Digest = Digest([0; 32]);

/// A coordinator's ledger.
#[derive(Clone, Default)]
struct Ledger(Vec<Vec<u8>>);

impl Ledger {
    fn new() -> Self {
        let genesis = Genesis {
            task: task(),
            model_out_hash: Digest([3; 32]),
            catalogue_hash: Digest([9; 32]),
            rho_budget: Rho::MAX,
        };
        Self::default().with(1, Event::Genesis(genesis))
    }

    fn with(mut self, generation: u32, event: Event) -> Self {
        let last = self.0.last();
        let line = Line {
            schema: SCHEMA,
            ledger_id: LEDGER,
            generation,
            seq: self.0.len() as u64,
            prev_hash: last.map_or(NOTHING, |line| canonical::digest(line)),
            keeper: Keeper::Coordinator,
            time_bucket: 500_000,
            event,
        };
        self.0.push(line.to_bytes().unwrap());
        self
    }

    fn head(&self, generation: u32, (helper_size, helper_last_hash): (u64, Digest)) -> TreeHead {
        let leaves: Vec<Digest> = self.0.iter().map(|line| merkle::leaf(line)).collect();
        TreeHead {
            ledger_id: LEDGER,
            generation,
            size: leaves.len() as u64,
            root: merkle::root(&leaves),
            helper_size,
            helper_last_hash,
        }
    }
}

/// The line that charges a round.
fn charged(round: &Round) -> Event {
    let mechanism = round.ticket.mechanism.clone();
    let charge = Charge {
        task: task(),
        round: round.ticket.round,
        kind: "counts".into(),
        ticket_hash: round.hash,
        model_in_hash: round.ticket.model_in_hash,
        squared_sensitivity: mechanism.squared_sensitivity(),
        total_variation: 1,
        rho: mechanism.rho(),
        rho_total: mechanism.rho(),
        mechanism,
        dishonest_milli: 100,
        dropout_milli: 50,
        participation_index: 1,
        separation: 0,
        sampler: Charge::SAMPLER.into(),
        rng: Charge::RNG.into(),
        table_hash: NOTHING,
        build_hash: NOTHING,
        unit: Charge::UNIT.into(),
        adjacency: Charge::ADJACENCY.into(),
    };
    Event::Abandoned(Box::new(Abandoned {
        charge,
        contributors: 0,
        reason: "lost in a restore from a copy".into(),
    }))
}

fn free(round: &Round, certificate: String) -> Event {
    Event::Empty(Empty {
        task: task(),
        round: round.ticket.round,
        ticket_hash: round.hash,
        ticket_rho: round.ticket.mechanism.rho(),
        free_rounds: 1,
        reason: "lost in a restore from a copy".into(),
        helper_generation: 1,
        certificate,
    })
}

/// Where the helper's ledger ends.
async fn end(client: &mut Client) -> (u64, Digest) {
    let request = v2::LinesRequest {
        ledger_id: LEDGER.0.to_vec().into(),
        from: 0,
        newest: None,
    };
    let answer = client.lines(request).await.unwrap().into_inner();
    let last = answer.lines.last();
    (
        answer.size,
        last.map_or(NOTHING, |line| canonical::digest(&line.line)),
    )
}

/// Asks for a head like any other, with the proof that `ledger` continues its first `old` lines.
async fn sign_head(
    client: &mut Client,
    head: &TreeHead,
    ledger: &Ledger,
    old: usize,
) -> Result<(), Status> {
    let bytes = canonical::encode(head).unwrap();
    let signature = coordinator_key().sign(Context::Head, &bytes);
    let all: Vec<Digest> = ledger
        .0
        .iter()
        .map(|line| merkle::leaf(line))
        .collect();
    let request = v2::CountersignHeadRequest {
        head: bytes.into(),
        coordinator_signature: signature.0.to_vec().into(),
        proof: merkle::consistency_proof(&all, old)
            .unwrap()
            .iter()
            .map(|hash| hash.0.to_vec().into())
            .collect(),
        old_size: old as u64,
    };
    client.countersign_head(request).await.map(drop)
}

async fn restore(client: &mut Client, head: &TreeHead, ledger: &Ledger) -> Result<(), Status> {
    let bytes = canonical::encode(head).unwrap();
    let signature = coordinator_key().sign(Context::Head, &bytes);
    let first = v2::RestoreRequest {
        head: bytes.into(),
        coordinator_signature: signature.0.to_vec().into(),
        lines: Vec::new(),
    };
    let lines = ledger.0.iter().map(|line| v2::RestoreRequest {
        lines: vec![line.clone().into()],
        ..v2::RestoreRequest::default()
    });
    let parts: Vec<_> = std::iter::once(first).chain(lines).collect();
    client
        .restore(tokio_stream::iter(parts))
        .await
        .map(drop)
}

fn of_generation(round: u32, generation: u32) -> Ticket {
    let mut draft = draft(round);
    draft.logged.head.head.generation = generation;
    draft
}

/// HOSTILE 163: a restore that leaves out a charge, or makes one smaller, is refused, whatever else
/// it says; so is everything of the new generation until then.
#[tokio::test(flavor = "multi_thread")]
async fn a_restore_that_skips_a_charge_is_signed_by_nobody() {
    let deployment = Deployment::new();
    let helper = deployment.start().await;
    let mut client = deployment.coordinator(&helper).await;
    let copy = Ledger::new();
    let first = copy.head(1, (0, NOTHING));
    sign_head(&mut client, &first, &copy, 1).await.unwrap();
    let one = countersign(&mut client, &draft(1)).await.unwrap();
    let lost = copy.clone().with(1, charged(&one));
    let newest = lost.head(1, end(&mut client).await);
    sign_head(&mut client, &newest, &lost, 1)
        .await
        .unwrap();
    let two = countersign(&mut client, &draft(2)).await.unwrap();
    let own = end(&mut client).await;

    let begun = |last_head: &TreeHead, of: &Ledger| {
        of.clone().with(
            2,
            Event::Restored(Restored {
                last_head: last_head.clone(),
                helper_size: own.0,
                lost: 2,
            }),
        )
    };
    let sound = begun(&newest, &copy)
        .with(2, charged(&one))
        .with(2, charged(&two));
    let refused = sign_head(&mut client, &sound.head(2, own), &sound, 2).await;
    refused_with(refused, Code::FailedPrecondition, "begins with a restore");
    let refused = countersign(&mut client, &of_generation(3, 2)).await;
    refused_with(refused.map(drop), Code::InvalidArgument, "generation is 2");

    let cheaper = match charged(&two) {
        Event::Abandoned(mut line) => {
            line.charge.rho = Rho::ZERO;
            Event::Abandoned(line)
        }
        other => other,
    };
    let other_past = Ledger::default().with(1, Event::Restarted {});
    let both = |ledger: Ledger| ledger.with(2, charged(&one)).with(2, charged(&two));
    let cases = [
        (begun(&newest, &copy), "round 1 has a countersigned ticket"),
        (
            begun(&newest, &copy).with(2, charged(&one)),
            "round 2 has a countersigned ticket",
        ),
        (
            begun(&newest, &copy)
                .with(2, charged(&one))
                .with(2, cheaper),
            "round 2 in the restored ledger does not charge",
        ),
        (
            begun(&newest, &copy)
                .with(2, charged(&one))
                .with(2, free(&two, "00".repeat(64))),
            "round 2 in the restored ledger does not charge",
        ),
        (both(begun(&first, &copy)), "names the newest head"),
        (both(copy.clone()), "names the newest head"),
        (both(begun(&newest, &other_past)), "begins like none"),
    ];
    for (ledger, problem) in cases {
        let refused = restore(&mut client, &ledger.head(2, own), &ledger).await;
        refused_with(refused, Code::FailedPrecondition, problem);
    }
    let refused = restore(&mut client, &sound.head(3, own), &sound).await;
    refused_with(refused, Code::FailedPrecondition, "names the newest head");
    let refused = restore(&mut client, &sound.head(2, own), &lost).await;
    refused_with(refused, Code::FailedPrecondition, "not the one its head");
    let refused = restore(&mut client, &sound.head(2, (0, NOTHING)), &sound).await;
    refused_with(refused, Code::FailedPrecondition, "helper_size");

    for _ in 0..2 {
        restore(&mut client, &sound.head(2, own), &sound)
            .await
            .unwrap();
    }
    // What was open is over, and the old generation too.
    let answer = release(&mut client, &two, seeds(&cohort(&two, 5))).await;
    refused_with(answer, Code::NotFound, "unknown");
    let refused = countersign(&mut client, &draft(3)).await;
    refused_with(refused.map(drop), Code::InvalidArgument, "generation is 1");
    countersign(&mut client, &of_generation(3, 2))
        .await
        .unwrap();
}
