//! Visits, and interactions that nobody meant: bots, stuck buttons, other people's scripts.
//!
//! Rules only. An interaction they name is set aside when ranking, never deleted: the caller keeps
//! the list and may take any entry back.

use std::collections::HashMap;
use std::ops::Range;

use crate::history::interaction::{Interaction, InteractionKind};

/// Why an interaction is set aside.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Anomaly {
    /// More interactions in a short time than a person makes.
    Burst,
    /// One item again and again in one session; its first interactions are kept.
    Repeat,
    /// A long run of gaps equal to the millisecond, as a script makes.
    Rhythm,
}

/// Where an anomaly begins. Explicit feedback and interactions without a time are never one: people
/// rate a page of items at once.
///
/// | rule | default |
/// |---|---|
/// | a session ends after a silence of | 30 minutes |
/// | burst: `burst_count` interactions within `burst_ms` | 60 in 10 seconds |
/// | repeat: one item in one session, after its first `repeats_max` | 10 |
/// | rhythm: `rhythm_gaps` equal gaps above 0 in a row | 20 |
#[derive(Clone, Debug, PartialEq)]
pub struct Limits {
    /// Silence that ends a session, in milliseconds.
    pub session_gap_ms: u64,
    /// Interactions that make a burst.
    pub burst_count: usize,
    /// Milliseconds a burst fits in.
    pub burst_ms: u64,
    /// Interactions with one item that one session may have.
    pub repeats_max: usize,
    /// Equal gaps in a row that make a rhythm.
    pub rhythm_gaps: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            session_gap_ms: 30 * 60_000,
            burst_count: 60,
            burst_ms: 10_000,
            repeats_max: 10,
            rhythm_gaps: 20,
        }
    }
}

/// Splits times, ascending, into sessions: ranges without a gap above `gap_ms`.
pub fn sessions(times: &[u64], gap_ms: u64) -> Vec<Range<usize>> {
    let mut sessions = Vec::new();
    let mut start = 0;
    for next in 1..=times.len() {
        if next == times.len() || times[next] - times[next - 1] > gap_ms {
            sessions.push(start..next);
            start = next;
        }
    }
    sessions
}

/// Names the anomaly of each interaction, if it is one: as long as `interactions`, in their order.
///
/// # Guarantees
/// With distinct times, the order interactions are given in does not matter.
pub fn anomalies(interactions: &[Interaction], limits: &Limits) -> Vec<Option<Anomaly>> {
    let explicit = [
        InteractionKind::Rating,
        InteractionKind::Like,
        InteractionKind::Dislike,
        InteractionKind::Hide,
    ];
    let judged = (0..interactions.len()).filter(|&i| !explicit.contains(&interactions[i].kind));
    let mut order: Vec<(u64, usize)> = judged
        .filter_map(|i| Some((interactions[i].timestamp?.0, i)))
        .collect();
    order.sort_unstable();
    let times: Vec<u64> = order.iter().map(|(time, _)| *time).collect();
    let mut found = vec![None; interactions.len()];
    let mut mark = |places: Range<usize>, anomaly| {
        order[places]
            .iter()
            .for_each(|(_, i)| found[*i] = Some(anomaly));
    };
    rhythms(&times, limits)
        .into_iter()
        .for_each(|run| mark(run, Anomaly::Rhythm));
    bursts(&times, limits)
        .into_iter()
        .for_each(|run| mark(run, Anomaly::Burst));
    for session in sessions(&times, limits.session_gap_ms) {
        let mut met = HashMap::new();
        for place in session {
            let times_met = met
                .entry(interactions[order[place].1].item)
                .or_insert(0usize);
            *times_met += 1;
            if *times_met > limits.repeats_max {
                mark(place..place + 1, Anomaly::Repeat);
            }
        }
    }
    found
}

/// The interactions that are not set aside.
pub fn kept(interactions: &[Interaction], set_aside: &[Option<Anomaly>]) -> Vec<Interaction> {
    interactions
        .iter()
        .zip(set_aside)
        .filter(|(_, anomaly)| anomaly.is_none())
        .map(|(one, _)| *one)
        .collect()
}

/// Places that lie in a window of at most `burst_ms` with `burst_count` interactions.
fn bursts(times: &[u64], limits: &Limits) -> Vec<Range<usize>> {
    let count = limits.burst_count.max(1);
    let mut bursts = Vec::new();
    for (first, window) in times.windows(count).enumerate() {
        let lasted = window[count - 1] - window[0];
        if lasted <= limits.burst_ms {
            bursts.push(first..first + count);
        }
    }
    bursts
}

/// Places joined by at least `rhythm_gaps` gaps of one length.
fn rhythms(times: &[u64], limits: &Limits) -> Vec<Range<usize>> {
    let gaps: Vec<u64> = times
        .windows(2)
        .map(|pair| pair[1] - pair[0])
        .collect();
    let mut runs = Vec::new();
    let mut start = 0;
    for next in 1..=gaps.len() {
        if next == gaps.len() || gaps[next] != gaps[start] {
            if next - start >= limits.rhythm_gaps.max(1) && gaps[start] > 0 {
                runs.push(start..next + 1);
            }
            start = next;
        }
    }
    runs
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use tacit_types::{ItemId, Timestamp};

    use super::*;

    fn view(item: u32, time: u64) -> Interaction {
        Interaction {
            item: ItemId(item),
            timestamp: Some(Timestamp(time)),
            value: 1.0,
            kind: InteractionKind::View,
            surface: 0,
        }
    }

    fn count(interactions: &[Interaction], anomaly: Anomaly) -> usize {
        anomalies(interactions, &Limits::default())
            .iter()
            .filter(|found| **found == Some(anomaly))
            .count()
    }

    #[test]
    fn silence_ends_a_session() {
        assert_eq!(sessions(&[0, 5, 10, 31, 33], 20), vec![0..3, 3..5]);
        assert!(sessions(&[], 20).is_empty());
        assert_eq!(sessions(&[7], 20), vec![0..1]);
    }

    #[test]
    fn a_burst_is_set_aside_and_a_page_of_ratings_is_not() {
        let mut used: Vec<_> = (0..60u32)
            .map(|i| view(i, 100_000 + u64::from(i * i) % 9_000))
            .collect();
        used.push(view(70, 1));
        assert_eq!(count(&used, Anomaly::Burst), 60);
        assert_eq!(count(&used[1..], Anomaly::Burst), 0);
        used.iter_mut()
            .for_each(|one| one.kind = InteractionKind::Rating);
        assert_eq!(anomalies(&used, &Limits::default()), vec![None; 61]);
    }

    #[test]
    fn an_item_again_and_again_keeps_its_first_ten() {
        let used: Vec<_> = (0..15u64).map(|i| view(3, i * i * 1000)).collect();
        let found = anomalies(&used, &Limits::default());
        assert_eq!(
            found,
            [vec![None; 10], vec![Some(Anomaly::Repeat); 5]].concat()
        );
        let slow: Vec<_> = (0..15u64)
            .map(|i| view(3, i * i * 3_600_000))
            .collect();
        assert_eq!(
            count(&slow, Anomaly::Repeat),
            0,
            "each in a session of its own"
        );
    }

    #[test]
    fn a_script_is_known_by_its_rhythm() {
        let regular: Vec<_> = (0..21u32)
            .map(|i| view(i, u64::from(i) * 60_000))
            .collect();
        assert_eq!(count(&regular, Anomaly::Rhythm), 21);
        assert_eq!(count(&regular[1..], Anomaly::Rhythm), 0);
        let at_once: Vec<_> = (0..40u32).map(|i| view(i, 5)).collect();
        assert_eq!(count(&at_once, Anomaly::Rhythm), 0);
    }

    proptest! {
        #[test]
        fn order_does_not_matter_and_what_is_kept_plus_set_aside_is_all(
            gaps in prop::collection::vec((0u32..4, 1u64..3000), 0..150), turn in 0usize..150,
        ) {
            let mut time = 0;
            let next = |(item, gap): (u32, u64)| { time += gap; view(item, time) };
            let used: Vec<_> = gaps.into_iter().map(next).collect();
            let found = anomalies(&used, &Limits::default());
            let aside = found.iter().flatten().count();
            prop_assert_eq!(kept(&used, &found).len() + aside, used.len());
            let turn = turn.min(used.len());
            let (mut turned, mut expected) = (used.clone(), found);
            turned.rotate_left(turn);
            expected.rotate_left(turn);
            prop_assert_eq!(anomalies(&turned, &Limits::default()), expected.clone());
            expected.fill(None);
            prop_assert!(kept(&turned, &expected) == turned, "taking all back restores all");
        }
    }
}
