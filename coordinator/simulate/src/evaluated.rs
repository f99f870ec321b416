//! The devices' own evaluation: its figures under noise, and those of the same answers in clear.

use rayon::prelude::*;
use serde::Serialize;
use tacit_model::Model;
use tacit_model::family::Owner;
use tacit_model::measure::evaluation::layout::LENGTH;
use tacit_model::measure::evaluation::{Evaluation, answers, evaluate};

/// One evaluation by both ways.
#[derive(Clone, Debug, Serialize)]
pub struct Evaluated {
    /// From the noisy sum of those who took part.
    pub private: Evaluation,
    /// From the answers of everybody, without noise or rounding.
    pub direct: Evaluation,
    /// Whether the model lost its factors for it.
    pub factors_dropped: bool,
}

/// The same questions to everybody, answered in the clear; `None` never, as long as answers have
/// the length of the layout.
pub fn direct(owners: &[Owner<'_>], model: &Model) -> Option<Evaluation> {
    let vectors: Vec<Vec<f32>> = owners
        .par_iter()
        .map(|owner| answers(owner, model).vector().into_coordinates())
        .collect();
    // In order, so that the number of threads does not show.
    let mut sum = vec![0.0; LENGTH];
    for vector in vectors {
        sum.iter_mut()
            .zip(vector)
            .for_each(|(sum, v)| *sum += f64::from(v));
    }
    evaluate(&sum, 0.0, u32::try_from(owners.len()).unwrap_or(u32::MAX))
}
