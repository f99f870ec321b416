//! The helper's own noise: in the opened sum once, the same when asked again, and enough for one
//! device among invented ones.

use tacit_privacy::ledger::spend;
use tacit_privacy::noise::NoiseTable;
use tacit_privacy::{DeviceBudget, MemoryLedger, NoiseSeed, Rho, clip, privatise};
use tacit_round::mask::PartialSum;
use tacit_round::ticket::Ticket;
use tacit_types::{ItemGradient, Timestamp};

use crate::support::*;

fn noisy(helper_noise: bool) -> Ticket {
    let mut ticket = draft(1);
    ticket.mechanism.helper_noise = helper_noise;
    ticket
}

/// What an honest device that did nothing sends: zeros with its share of the noise.
fn silent(round: &Round, name: u8) -> Update {
    let (ticket, mechanism) = (&round.ticket, &round.ticket.mechanism);
    let budget = DeviceBudget::lifetime(Rho::MAX);
    let permit = spend(
        &mut MemoryLedger::default(),
        budget,
        &ticket.task,
        ticket.round,
        round.hash,
        mechanism,
        Timestamp(0),
    );
    let zeros = clip(ItemGradient::new(vec![0.0; LENGTH as usize]), mechanism);
    let seed = NoiseSeed::from_os().unwrap();
    let update = privatise(
        zeros,
        permit.unwrap().unwrap(),
        &NoiseTable::new(mechanism),
        seed,
    );
    let values = update
        .into_values()
        .iter()
        .map(|value| value.cast_signed())
        .collect();
    update_of(round, name, values, 700 + u64::from(name))
}

/// What the coordinator opens.
fn opened(updates: &[Update], answer: &Answer) -> Vec<i32> {
    let mut sum = PartialSum::new(LENGTH);
    assert!(updates.iter().all(|update| sum.add(&update.masked)));
    sum.unmask(&PartialSum::from_bytes(&answer.mask_sum).unwrap())
        .unwrap()
}

/// Whether the numbers have this variance about zero. The standard error of a sample variance is
/// sqrt(2/n) of it; 6 of those: false alarm about 2e-9 a call.
fn has_variance(values: &[i32], expected: f64) -> bool {
    let count = f64::from(u32::try_from(values.len()).unwrap());
    let variance = values
        .iter()
        .map(|value| f64::from(*value).powi(2))
        .sum::<f64>()
        / count;
    println!("variance {variance:.0}, expected {expected:.0}");
    (variance / expected - 1.0).abs() < 6.0 * (2.0 / count).sqrt()
}

#[tokio::test(flavor = "multi_thread")]
async fn the_opened_sum_carries_every_share_and_the_helpers_noise_once() {
    for helper_noise in [false, true] {
        let deployment = Deployment::new();
        let helper = deployment.start().await;
        let mut client = deployment.coordinator(&helper).await;
        let round = countersign(&mut client, &noisy(helper_noise))
            .await
            .unwrap();
        let updates: Vec<_> = (1..=5).map(|name| silent(&round, name)).collect();
        let answer = release(&mut client, &round, seeds(&updates))
            .await
            .unwrap();
        let parts = 5.0 / 3.0 + f64::from(u8::from(helper_noise));
        assert!(has_variance(
            &opened(&updates, &answer),
            f64::from(1 << 18) * parts
        ));
        assert_eq!(unmasks(&updates, &answer), !helper_noise);

        // Drawn once: asked again, now or after a restart, it says the same bytes, so nothing can
        // be averaged out.
        assert_eq!(
            release(&mut client, &round, seeds(&updates))
                .await
                .unwrap(),
            answer
        );
        helper.stop().await;
        let helper = deployment.start().await;
        let mut client = deployment.coordinator(&helper).await;
        assert_eq!(
            release(&mut client, &round, seeds(&updates))
                .await
                .unwrap(),
            answer
        );
        helper.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn one_device_among_invented_ones_keeps_the_full_noise() {
    let (sigma2, share) = (f64::from(1 << 18), f64::from(1 << 18) / 3.0);
    for (helper_noise, left) in [(false, share), (true, sigma2 + share)] {
        let deployment = Deployment::new();
        let helper = deployment.start().await;
        let mut client = deployment.coordinator(&helper).await;
        let round = countersign(&mut client, &noisy(helper_noise))
            .await
            .unwrap();
        // The coordinator knows every number the other four sent.
        let updates: Vec<_> = std::iter::once(silent(&round, 9))
            .chain(cohort(&round, 4))
            .collect();
        let answer = release(&mut client, &round, seeds(&updates))
            .await
            .unwrap();
        let mut values = opened(&updates, &answer);
        for invented in &updates[1..] {
            values
                .iter_mut()
                .zip(&invented.plain)
                .for_each(|(value, known)| *value -= known);
        }
        assert!(has_variance(&values, left), "helper noise: {helper_noise}");
        helper.stop().await;
    }
}
