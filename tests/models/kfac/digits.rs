//! EKFAC beside K-FAC on handwritten digits.

use burn::{
    module::{Module, Param},
    nn,
    prelude::*,
};
use burn_curvature::{
    CaptureConfig, Ekfac, Fisher, Likelihood, LinearOperator, Objective, Reduction,
};

use super::{
    super::{B, digits::Digits, random::SplitMix64, without_draws},
    device,
};

const LOSS: Likelihood = Likelihood::Categorical;

/// 64-16-16-10.
#[derive(Module, Debug)]
struct Mlp {
    layers: Vec<nn::Linear>,
}

impl Mlp {
    fn new(seed: u64) -> Self {
        let mut numbers = SplitMix64::new(seed);
        let layers = [[64, 16], [16, 16], [16, 10]].map(|[input, output]| {
            let mut layer = nn::LinearConfig::new(input, output).init(&device());
            let scale = (3.0 / input as f32).sqrt();
            let values: Vec<f32> = (0..input * output).map(|_| numbers.symmetric(scale)).collect();
            let data = TensorData::new(values, [input, output]);
            layer.weight = Param::from_data(data, &device());
            layer.bias = Some(Param::from_tensor(Tensor::zeros([output], &device())));
            layer
        });
        Self { layers: layers.into() }
    }

    fn forward(&self, x: Tensor<2>) -> Tensor<2> {
        let hidden = self.layers[0].forward(x).tanh();
        self.layers[2].forward(self.layers[1].forward(hidden).tanh())
    }
}

fn objective(seed: u64, samples: usize) -> Objective<B> {
    let (digits, _) = Digits::load().unwrap().split(samples, seed);
    let batch = (digits.images(&device()), digits.classes(&device()));
    let objective = Objective::<B>::capture_with(
        &CaptureConfig::new(),
        &Mlp::new(seed),
        batch,
        |model: &Mlp, (x, y): (Tensor<2>, Tensor<1, Int>)| {
            let z = model.forward(x);
            let loss =
                nn::loss::CrossEntropyLossConfig::new().init(&z.device()).forward(z.clone(), y);
            (z, loss)
        },
    );
    objective.unwrap().in_f64().unwrap().reduced_by(Reduction::Mean).unwrap()
}

/// Row F1: in every layer EKFAC's error is strictly below K-FAC's, and its trace the exact one; after a few natural
/// gradient steps.
#[test]
fn its_error_is_below_that_of_kfac_in_every_layer_of_a_network_of_digits() {
    for seed in 0..3 {
        let mut objective = objective(seed, 300);
        let config = without_draws();
        for _ in 0..5 {
            let gradient = objective.gradient().unwrap();
            let kfac = config.init(&objective, LOSS).unwrap();
            let step = kfac.inverse(0.03).unwrap().apply(&gradient).unwrap();
            let moved = objective.parameters().clone().axpy(-0.5, &step).unwrap();
            objective = objective.at(&moved).unwrap();
        }
        let kfac = config.init(&objective, LOSS).unwrap();
        let ekfac = Ekfac::from_kfac(&kfac, &objective, LOSS, &config).unwrap();
        let exact = Fisher::exact(&objective, LOSS).unwrap();
        let plain = kfac.compare_with(&exact).unwrap();
        let corrected = ekfac.compare_with(&exact).unwrap();
        assert_eq!((plain.len(), corrected.len()), (3, 3));
        for (plain, corrected) in plain.iter().zip(&corrected) {
            let (one, two) = (plain.relative_error, corrected.relative_error);
            assert!(two < one, "seed {seed}, {}: {one} and {two}", plain.layer);
            assert!((corrected.trace_ratio - 1.0).abs() < 1e-10, "{corrected:?}");
        }
    }
}
