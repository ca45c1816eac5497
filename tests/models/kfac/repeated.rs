//! Parameters that are repeated or reshaped before they are used: each block is that of the parameter as it is stored.

use burn::{
    module::{Module, Param},
    nn,
    prelude::*,
    tensor::{activation::tanh, module::conv1d, ops::ConvOptions},
};
use burn_curvature::{
    Fisher, LinearOperator, Reduction, SelfAdjoint, kfac::UncoveredPolicy, materialize,
};

use super::{GAUSSIAN, norms::layer, random, squared, weight};
use crate::without_draws;

/// A layer, and parameters of which only some are used.
#[derive(Module, Debug)]
struct Repeated {
    first: nn::Linear,
    row: Param<Tensor<2>>,
    kernel: Param<Tensor<3>>,
    one: Param<Tensor<1>>,
    matrix: Param<Tensor<2>>,
}

fn model() -> Repeated {
    Repeated {
        first: layer(&[3, 4]),
        row: weight([1, 2], 5),
        kernel: weight([6, 4, 1], 6),
        one: weight([1], 7),
        matrix: weight([2, 3], 8),
    }
}

/// The uncovered blocks are exact, and K-FAC and EKFAC have products.
#[track_caller]
fn check(names: &[&str], forward: impl Fn(&Repeated, Tensor<2>) -> Tensor<2> + Send + 'static) {
    let objective = squared(&model(), random([5, 3], 1), Reduction::Mean, forward);
    let config = without_draws().with_uncovered(UncoveredPolicy::ExactBlock { limit: 100 });
    let kfac = config.init(&objective, GAUSSIAN).unwrap();
    let ekfac = config.init_ekfac(&objective, GAUSSIAN).unwrap();
    let found: Vec<&str> = kfac.uncovered().map(|(name, _)| name).collect();
    assert_eq!(found, names, "{}", kfac.coverage());
    let exact = Fisher::exact(&objective, GAUSSIAN).unwrap();
    let exact: &dyn SelfAdjoint<_> = &exact;
    for name in names {
        let subset = objective.layout().select(name).unwrap();
        let block = |operator: &dyn SelfAdjoint<_>| {
            let own = operator.restricted(subset.clone()).unwrap();
            materialize(&own).unwrap().values().to_vec()
        };
        let truth = block(exact);
        let largest = truth.iter().fold(0.0_f64, |most, x| most.max(x.abs()));
        for found in [block(&kfac), block(&ekfac)] {
            let pairs = found.iter().zip(&truth);
            let error = pairs.map(|(a, b)| (a - b).abs()).fold(0.0, f64::max) / largest;
            assert!(error < 1e-11, "{name}: {error}");
        }
    }
}

/// One row for all inputs: another matrix than the parameter's.
#[test]
fn a_row_that_is_repeated_is_no_weight_of_a_layer() {
    check(&["row"], |model, x| tanh(model.first.forward(x)).matmul(model.row.val().expand([4, 2])));
}

/// One number for all channels, or the elements of a matrix.
#[test]
fn biases_that_are_not_stored_as_vectors_of_the_channels_are_none() {
    let convolved = |model: &Repeated, x: Tensor<2>, bias: Tensor<1>| {
        let x = tanh(model.first.forward::<2>(x)).unsqueeze_dim::<3>(2);
        let options = ConvOptions::new([1], [0], [1], 1);
        conv1d(x, model.kernel.val(), Some(bias), options).flatten(1, 2)
    };
    check(&["kernel", "one"], move |model, x| convolved(model, x, model.one.val().expand([6])));
    check(&["kernel", "matrix"], move |model, x| {
        convolved(model, x, model.matrix.val().reshape([6]))
    });
}

/// Both are views of a view of the parameter: its gradient is counted once.
#[test]
fn views_of_a_repeated_parameter_are_counted_once() {
    check(&["first.bias"], |model, x| {
        let x = x.repeat_dim(1, 4).narrow(1, 0, 4);
        let [samples, width] = x.dims();
        let bias = model.first.bias.as_ref().unwrap().val();
        let bias = bias.unsqueeze::<2>().expand([samples, width]).unsqueeze::<3>();
        let [two, three] = [2, 3].map(|count| bias.clone().expand([count, samples, width]));
        let sum = |x: Tensor<3>| x.sum_dim(0).squeeze_dim::<2>(0);
        sum(tanh(x.clone().unsqueeze() + two)) + sum(x.unsqueeze() * three)
    });
}
