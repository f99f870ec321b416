//! The server half: the network before training, and what a sum makes of its trained layer.

use ndarray::{Array2, ArrayView2, Axis, Slice};

use super::model::NeuralModel;
use super::network::Network;
use crate::family::features::Features;
use crate::family::recipe::Recipe;
use crate::family::spectral::SpectralModel;
use crate::maths::linalg::polar;

/// The model before its first round: the strongest directions of the hidden layer are the first
/// factors.
///
/// # Panics
/// When there is not one row of features per item.
pub fn start(
    counted: &SpectralModel,
    features: &Features,
    recipe: &Recipe,
    seed: u64,
) -> NeuralModel {
    assert_eq!(
        features.items(),
        counted.counts().len(),
        "one row of features per item"
    );
    let counted = counted.over_all_items().without_factors();
    let network = Network::new(&counted, features, seed);
    let d = (recipe.factors as usize).clamp(1, network.directions());
    let strongest = Array2::eye(network.directions());
    with_output(
        counted,
        network,
        &strongest
            .slice_axis(Axis(1), Slice::from(..d))
            .to_owned(),
    )
}

/// Turns the noisy sum of `device::sparse_gradient`, length r d row-major, into the next trained
/// layer.
///
/// In the `first` round it is the polar factor of the sum; later, `recipe.carry` of the previous
/// layer stays.
///
/// # Panics
/// When `sum` does not have the model's gradient length, or holds a value that is not finite.
pub fn apply_gradient(
    model: &NeuralModel,
    sum: &[f64],
    recipe: &Recipe,
    first: bool,
) -> NeuralModel {
    let shape = (model.directions(), model.spectral.factor_count());
    let sum = ArrayView2::from_shape(shape, sum)
        .expect("a gradient sum has the shape of the trained layer");
    let mut next = polar(sum);
    if !first {
        let carry = f64::from(recipe.carry);
        next =
            polar((next * (1.0 - carry) + model.network.output_of(&model.spectral) * carry).view());
    }
    with_output(model.spectral.clone(), model.network.clone(), &next)
}

/// The model of a network whose trained layer is this: (r, d).
fn with_output(counted: SpectralModel, network: Network, output: &Array2<f64>) -> NeuralModel {
    let factors = network.factors(&counted, output);
    NeuralModel {
        spectral: counted.with_factors(factors),
        network,
    }
}
