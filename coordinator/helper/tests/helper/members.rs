//! Rounds for members: devices that a coordinator invents are refused one by one, and no member
//! counts twice.

use tacit_helper::config::{Config, Membership};
use tacit_round::keys::SigningKey;
use tacit_round::member::Member;
use tacit_round::ticket::Ticket;
use tonic::Code;
use zeroize::Zeroizing;

use crate::support::*;

fn issuer(byte: u8) -> SigningKey {
    SigningKey::from_seed(&Zeroizing::new([byte; 32]))
}

fn config(deployment: &Deployment, required: bool) -> Config {
    let membership = Some(Membership {
        issuer_key: issuer(7).public(),
        required,
    });
    Config {
        membership,
        ..deployment.config()
    }
}

fn of(round: &Round, name: u8, member: Option<&Member>) -> Update {
    sealed_by(
        round,
        name,
        vec![i32::from(name); LENGTH as usize],
        300 + u64::from(name),
        member,
    )
}

#[tokio::test(flavor = "multi_thread")]
async fn invented_devices_are_refused_singly_and_members_complete_the_round() {
    let deployment = Deployment::new();
    let mut helper = deployment.start_with(config(&deployment, true)).await;
    let mut client = deployment.coordinator(&helper).await;
    refused_with(
        countersign(&mut client, &draft(1)).await.map(drop),
        Code::InvalidArgument,
        "members only",
    );
    let round = countersign(
        &mut client,
        &Ticket {
            membership: true,
            ..draft(1)
        },
    )
    .await
    .unwrap();
    let members: Vec<_> = (1..=4)
        .map(|name| Member::issue(&issuer(7), Zeroizing::new([name; 32])))
        .collect();
    let honest: Vec<_> = (1..)
        .zip(&members)
        .map(|(name, member)| of(&round, name, Some(member)))
        .collect();
    assert_eq!(
        admit(&mut client, &round, seeds(&honest[..3]))
            .await
            .unwrap(),
        [true; 3]
    );

    // The coordinator enrols as many devices as it likes; it cannot enrol members, nor one member
    // twice.
    let foreign = Member::issue(&issuer(8), Zeroizing::new([9; 32]));
    let invented = [
        of(&round, 5, None),
        of(&round, 6, Some(&foreign)),
        of(&round, 7, Some(&members[0])),
    ];
    for restarted in [false, true] {
        if restarted {
            helper.stop().await;
            helper = deployment.start_with(config(&deployment, true)).await;
            client = deployment.coordinator(&helper).await;
        }
        let asked = [seeds(&invented), seeds(&honest)].concat();
        let opens = admit(&mut client, &round, asked).await.unwrap();
        assert_eq!(opens, [false, false, false, true, true, true, true]);
    }
    for (one, words) in invented.iter().zip([
        "not come from a member",
        "not come from a member",
        "second of one member",
    ]) {
        let set = [seeds(&honest), seeds(std::slice::from_ref(one))].concat();
        refused_with(
            release(&mut client, &round, set).await,
            Code::FailedPrecondition,
            words,
        );
    }
    let surrounded = [seeds(&honest[..1]), seeds(&invented)].concat();
    refused_with(
        release(&mut client, &round, surrounded).await,
        Code::FailedPrecondition,
        "member",
    );
    assert!(unmasks(
        &honest,
        &release(&mut client, &round, seeds(&honest))
            .await
            .unwrap()
    ));
    helper.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_member_takes_part_in_every_round_and_membership_may_be_left_to_the_ticket() {
    let deployment = Deployment::new();
    let helper = deployment.start_with(config(&deployment, false)).await;
    let mut client = deployment.coordinator(&helper).await;
    let members: Vec<_> = (1..=4)
        .map(|name| Member::issue(&issuer(7), Zeroizing::new([name; 32])))
        .collect();
    for number in 1..=2 {
        let round = countersign(
            &mut client,
            &Ticket {
                membership: true,
                ..draft(number)
            },
        )
        .await
        .unwrap();
        let seed = |name: u8| 100 * u64::from(number) + u64::from(name);
        let sealed = |(name, member)| {
            sealed_by(
                &round,
                name,
                vec![0; LENGTH as usize],
                seed(name),
                Some(member),
            )
        };
        let updates: Vec<_> = (1..).zip(&members).map(sealed).collect();
        assert_eq!(
            admit(&mut client, &round, seeds(&updates))
                .await
                .unwrap(),
            [true; 4]
        );
        assert!(unmasks(
            &updates,
            &release(&mut client, &round, seeds(&updates))
                .await
                .unwrap()
        ));
    }
    let open_to_all = countersign(&mut client, &draft(3)).await.unwrap();
    let updates = cohort(&open_to_all, 4);
    assert!(unmasks(
        &updates,
        &release(&mut client, &open_to_all, seeds(&updates))
            .await
            .unwrap()
    ));
    helper.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_helper_without_an_issuer_countersigns_no_ticket_for_members() {
    let deployment = Deployment::new();
    let helper = deployment.start().await;
    let mut client = deployment.coordinator(&helper).await;
    let asked = countersign(
        &mut client,
        &Ticket {
            membership: true,
            ..draft(1)
        },
    )
    .await;
    refused_with(asked.map(drop), Code::InvalidArgument, "knows no issuer");
    helper.stop().await;
}
