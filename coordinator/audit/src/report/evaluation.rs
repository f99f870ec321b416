//! The figures of an evaluation as people read them.

use tacit_model::measure::evaluation::{Estimate, Evaluation};

/// A named figure with its standard error, as text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Figure {
    /// What it measures.
    pub name: String,
    /// The figure and its standard error, or that noise hides it.
    pub text: String,
}

/// The figures of an evaluation in the order a report shows them; those the model does not have are
/// left out.
pub fn figures(found: &Evaluation) -> Vec<Figure> {
    let hidden = |figure: Option<Estimate>| {
        figure.map_or_else(|| "hidden by noise".into(), |figure| shown(figure, 4))
    };
    let mut figures = vec![
        (
            "Devices with something to hold out".into(),
            shown(found.evaluated, 0),
        ),
        ("HR@10".into(), hidden(found.hr_at_10)),
        ("NDCG@10".into(), hidden(found.ndcg_at_10)),
        (
            "HR@10 of popularity alone".into(),
            hidden(found.popularity_hr_at_10),
        ),
        ("HR@10 gained over popularity".into(), hidden(found.gain)),
        (
            "Listed items outside the most popular fifth".into(),
            hidden(found.tail_share),
        ),
        (
            "Cosine of older and newer tastes".into(),
            hidden(found.drift),
        ),
    ];
    figures.extend(
        found
            .rmse
            .map(|rmse| ("RMSE of predicted ratings".into(), shown(rmse, 3))),
    );
    for group in found.calibration.iter().flatten() {
        let Some(hits) = group.hits else { continue };
        let (from, to) = (100.0 * group.chance_from, 100.0 * group.chance_to);
        figures.push((
            format!("Hits where the model gave {from:.0} to {to:.0} %"),
            shown(hits, 4),
        ));
    }
    figures
        .into_iter()
        .map(|(name, text)| Figure { name, text })
        .collect()
}

fn shown(figure: Estimate, digits: usize) -> String {
    // No "-0.0000" for a small figure below 0.
    let value = format!("{:.digits$}", figure.value);
    let value = if value
        .trim_start_matches('-')
        .trim_matches(['0', '.'])
        .is_empty()
    {
        value.replace('-', "")
    } else {
        value
    };
    format!("{value} ± {:.digits$}", figure.error)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_carry_their_error_and_hidden_ones_say_so() {
        assert_eq!(
            shown(
                Estimate {
                    value: 0.08124,
                    error: 0.00231
                },
                4
            ),
            "0.0812 ± 0.0023"
        );
        assert_eq!(
            shown(
                Estimate {
                    value: -0.000_01,
                    error: 0.1
                },
                4
            ),
            "0.0000 ± 0.1000"
        );
        assert_eq!(
            shown(
                Estimate {
                    value: -0.02,
                    error: 0.1
                },
                2
            ),
            "-0.02 ± 0.10"
        );
        let nothing = vec![0.0; tacit_model::measure::evaluation::layout::LENGTH];
        let found = tacit_model::measure::evaluation::evaluate(&nothing, 1.0, 100).unwrap();
        assert_eq!(
            figures(&found)[1],
            Figure {
                name: "HR@10".into(),
                text: "hidden by noise".into()
            }
        );
    }
}
