//! Layers with and without their biases, and biases of several layers.

use burn::{
    module::{Module, Param},
    nn,
    prelude::*,
    tensor::{activation::tanh, module::conv2d, ops::ConvOptions},
};
use burn_curvature::{
    KfacConfig, Reduction,
    kfac::{KfacFisher, Treatment},
    materialize,
};

use super::{
    Deep, GAUSSIAN,
    norms::{blocks_are_exact, layer, truth},
    random, squared, weight,
};
use crate::without_draws;

#[derive(Module, Debug)]
struct Heads {
    first: nn::Linear,
    second: nn::Linear,
    extra: Param<Tensor<1>>,
}

/// A derivative through a layer uses its weight without its bias: ā = (x, 0) there.
#[test]
fn a_weight_used_with_and_without_its_bias_is_one_layer() {
    let model = Deep::new(&[3, 4, 2], true);
    let x = random([5, 3], 6);
    let objective = squared(&model, x.clone(), Reduction::Mean, |model: &Deep, x: Tensor<2>| {
        let hidden = model.layers[0].forward(x.clone());
        let slope = (x * 2.0).matmul(model.layers[0].weight.val());
        model.layers[1].forward(tanh(hidden) * slope)
    });
    let kfac = without_draws().init(&objective, GAUSSIAN).unwrap();
    let coverage = kfac.coverage();
    assert_eq!(coverage.kronecker_fraction(), 1.0, "{coverage}");
    let Some(Treatment::Kronecker { input: 4, uses: 2, .. }) = coverage.of("layers.0.weight")
    else {
        panic!("{coverage}");
    };
    // Means over both uses of (x, 1)(x, 1)ᵀ and (2x, 0)(2x, 0)ᵀ.
    let x: Vec<f64> = x.into_data().iter::<f64>().collect();
    let rows = x.chunks(3).flat_map(|row| {
        let with = [row[0], row[1], row[2], 1.0];
        [with, [2.0 * row[0], 2.0 * row[1], 2.0 * row[2], 0.0]]
    });
    let rows: Vec<[f64; 4]> = rows.collect();
    let found = kfac.layers()[0].input().values().unwrap();
    for (at, found) in found.iter().enumerate() {
        let sum: f64 = rows.iter().map(|row| row[at / 4] * row[at % 4]).sum();
        assert!((found - sum / 10.0).abs() < 1e-7, "{at}: {found}");
    }
    // The corrected diagonal has the trace of the Fisher matrix.
    for fisher in [KfacFisher::Exact, KfacFisher::Empirical] {
        let config = KfacConfig::new().with_fisher(fisher);
        let ekfac = config.init_ekfac(&objective, GAUSSIAN).unwrap();
        let dense = materialize(truth(&objective, fisher).as_ref()).unwrap();
        let expected: f64 = dense.values().iter().step_by(dense.columns() + 1).sum();
        let error = (ekfac.trace().unwrap() - expected).abs() / expected;
        assert!(error < 1e-11, "{fisher:?}: {error}");
    }
}

/// A second bias, and one bias for two layers, take nothing from the weights.
#[test]
fn biases_of_several_layers_leave_the_weights_covered() {
    let (first, mut second) = (layer(&[3, 4]), layer(&[3, 4]));
    second.bias = first.bias.clone();
    let model = Heads { first, second, extra: weight([4], 9) };
    let objective = squared(&model, random([5, 3], 6), Reduction::Mean, |model: &Heads, x| {
        let hidden = model.first.forward::<2>(x.clone()) + model.extra.val().unsqueeze();
        tanh(hidden) + tanh(model.second.forward(x))
    });
    blocks_are_exact(&objective, &["first.bias", "extra"], 2);
    let kfac = without_draws().init(&objective, GAUSSIAN).unwrap();
    assert_eq!(kfac.layers().len(), 2, "{}", kfac.coverage());
}

#[derive(Module, Debug)]
struct Convolved {
    kernel: Param<Tensor<4>>,
    bias: Param<Tensor<1>>,
    output: nn::Linear,
}

/// A bias that is frozen or computed is none of the layer's, and the weight is covered without it.
#[test]
fn a_convolution_with_a_bias_that_is_no_parameter_is_a_layer() {
    let mut model =
        Convolved { kernel: weight([4, 2, 2, 2], 3), bias: weight([4], 4), output: layer(&[4, 2]) };
    model.bias = model.bias.set_require_grad(false);
    let x = random([3, 2, 4, 4], 1);
    let objective = squared(&model, x, Reduction::Mean, |model: &Convolved, x: Tensor<4>| {
        let options = ConvOptions::new([1, 1], [0, 0], [1, 1], 1);
        let hidden = conv2d(x, model.kernel.val(), Some(model.bias.val()), options);
        model.output.forward::<2>(tanh(hidden).mean_dim(3).mean_dim(2).flatten(1, 3))
    });
    let kfac = without_draws().init(&objective, GAUSSIAN).unwrap();
    let Some(Treatment::Kronecker { input: 8, output: 4, .. }) = kfac.coverage().of("kernel")
    else {
        panic!("{}", kfac.coverage());
    };
    let exact = materialize(truth(&objective, KfacFisher::Exact).as_ref()).unwrap();
    let expected: f64 = exact.values().iter().step_by(exact.columns() + 1).sum();
    let ekfac = without_draws().init_ekfac(&objective, GAUSSIAN).unwrap();
    let error = (ekfac.trace().unwrap() - expected).abs() / expected;
    assert!(error < 1e-12, "{error}");
}
