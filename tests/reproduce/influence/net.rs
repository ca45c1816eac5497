//! A net of 109,386 parameters on MNIST: influences of one trained model rank trainings on random halves, by the linear
//! datamodeling score. Of the estimators of one model .26 is the best figure published for these sizes; .45 takes 50 models.

use burn::{
    nn::{Linear, LinearConfig},
    optim::{GradientsParams, SgdConfig, momentum::MomentumConfig},
    prelude::*,
    tensor::activation::relu,
};
use burn_curvature::{
    Likelihood, Loss, Objective,
    influence::{
        Curvature, Estimator, InfluenceConfig,
        truth::{DatamodelConfig, Retraining},
    },
};

use super::Sizes;
use crate::{
    Outcome,
    figures::Figures,
    logistic::{Samples, cross_entropies, rows},
    mnist,
    random::SplitMix64,
};

const SIZES: Sizes = Sizes { train: 1000, test: 100, subsets: 20 };
const EPOCHS: usize = 20;
const BATCH: usize = 50;
const RATE: f64 = 0.02;
/// With more damping the scores come closer to plain products of gradients, and rank less well.
const DAMPINGS: [f64; 2] = [1e-1, BEST];
const BEST: f64 = 1e-3;

/// 784-128-64-10.
#[derive(Module, Debug)]
struct Net {
    first: Linear,
    second: Linear,
    last: Linear,
}

impl Net {
    fn new(device: &Device) -> Self {
        let layer = |inputs, outputs| LinearConfig::new(inputs, outputs).init(device);
        Self { first: layer(784, 128), second: layer(128, 64), last: layer(64, 10) }
    }

    fn forward(&self, x: Tensor<2>) -> Tensor<2> {
        self.last.forward(relu(self.second.forward(relu(self.first.forward(x)))))
    }
}

fn loss(net: &Net, (x, y): Samples) -> (Tensor<2>, Loss) {
    let z = net.forward(x);
    (z.clone(), Loss::mean_of(cross_entropies(z, y)))
}

/// By stochastic gradients with momentum, from initial weights and in an order that follow from the seed.
fn trained(samples: &Samples, seed: u64) -> Net {
    let device = samples.0.device();
    device.seed(seed);
    let mut net = Net::new(&device);
    let momentum = MomentumConfig::new().with_momentum(0.9).with_dampening(0.0);
    let mut optimizer = SgdConfig::new().with_momentum(Some(momentum)).init();
    let mut numbers = SplitMix64::new(seed);
    for _ in 0..EPOCHS {
        for batch in numbers.permutation(samples.0.dims()[0]).chunks(BATCH) {
            let (x, y) = rows(samples, batch);
            let loss = cross_entropies(net.forward(x), y).mean();
            let gradients = GradientsParams::from_grads(loss.backward(), &net);
            net = optimizer.step(RATE, net, gradients);
        }
    }
    net
}

#[test]
#[ignore = "takes a while, see main.rs"]
fn influences_of_one_net_rank_trainings_on_halves() -> Outcome {
    let mut figures = Figures::default();
    let sizes = SIZES.or_full();
    for seed in [1, 2, 3] {
        let device = Device::default().autodiff();
        let Some([train, test]) = mnist::load([sizes.train, sizes.test], seed, &device)? else {
            return Ok(());
        };
        let net = trained(&train, seed);
        let training = Objective::capture(&net, train.clone(), loss)?;
        let tests = training.on(test)?;
        println!("[seed {seed}] loss {:.4}, test loss {:.4}", training.value()?, tests.value()?);
        let mut retraining = Retraining::of_models(sizes.train, &tests, |kept, seed| {
            Ok::<_, burn_curvature::Error>(trained(&rows(&train, kept), seed))
        });
        let config = DatamodelConfig::new().with_subsets(sizes.subsets).with_seed(seed);
        let truth = config.sample(&mut retraining)?;
        for damping in DAMPINGS {
            let scores = InfluenceConfig::new(Estimator::ekfac())
                .with_curvature(Curvature::Fisher(Likelihood::Categorical))
                .with_damping(damping)
                .init(&training)?
                .scores(&tests)?;
            let score = truth.score(&scores)?;
            println!("[seed {seed}, λ = {damping}] {score}");
            let least = if damping == BEST { 0.26 } else { -1.0 };
            figures.expect(&format!("ekfac.{seed}.lds_{damping:e}"), score.mean, least..=1.0);
            let [low, high] = score.interval();
            figures.note(&format!("ekfac.{seed}.lds_{damping:e}_low"), low);
            figures.note(&format!("ekfac.{seed}.lds_{damping:e}_high"), high);
        }
        let plain = InfluenceConfig::new(Estimator::Identity).init(&training)?.scores(&tests)?;
        figures.note(&format!("gradients.{seed}.lds"), truth.score(&plain)?.mean);
    }
    assert!(figures.print());
    Ok(())
}
