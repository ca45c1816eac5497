//! A small net, stopped early: influences predict the proximal Bregman response, and retraining from scratch less well.

use burn::{
    nn::{Linear, LinearConfig},
    prelude::*,
    tensor::activation::tanh,
};
use burn_curvature::{
    ConjugateGradientConfig, Error, Loss, Objective, ParamVector,
    influence::{
        Curvature, Estimator, InfluenceConfig, Query,
        truth::{ProximalBregmanConfig, Retraining},
    },
};

use super::digits;
use crate::{
    Outcome,
    figures::Figures,
    logistic::{Samples, cross_entropies, rows},
};

const TRAIN: usize = 400;
const LEFT_OUT: usize = 25;
const DAMPING: f64 = 0.01;
/// Steps of gradient descent with momentum; training is stopped before the minimum.
const STEPS: usize = 300;
const RATE: f64 = 0.3;
const MOMENTUM: f64 = 0.9;

/// 64-12-12-10.
#[derive(Module, Debug)]
struct Net {
    first: Linear,
    second: Linear,
    last: Linear,
}

fn loss(net: &Net, (x, y): Samples) -> (Tensor<2>, Loss) {
    let z = net.last.forward(tanh(net.second.forward(tanh(net.first.forward(x)))));
    (z.clone(), Loss::mean_of(cross_entropies(z, y)))
}

/// From a start, the same steps each time.
fn trained(mut at: Objective, steps: usize) -> Result<ParamVector, Error> {
    let mut velocity = at.parameters().space().zeros();
    for _ in 0..steps {
        velocity = at.gradient()?.scale(-RATE).axpy(MOMENTUM, &velocity)?;
        at = at.at(&at.parameters().clone().add(&velocity)?)?;
    }
    Ok(at.parameters().clone())
}

/// Bae et al. 2022, figure 2.
#[test]
#[ignore = "takes a while, see main.rs"]
fn influences_of_a_net_predict_its_bregman_response() -> Outcome {
    let mut figures = Figures::default();
    for seed in [1, 2, 3] {
        let device = Device::default().autodiff();
        device.seed(seed);
        let [train, test] = digits(TRAIN, seed, &device)?;
        let layer = |inputs, outputs| LinearConfig::new(inputs, outputs).init(&device);
        let net = Net { first: layer(64, 12), second: layer(12, 12), last: layer(12, 10) };
        let start = Objective::capture(&net, train.clone(), loss)?.in_f64()?;
        let training = start.at(&trained(start.clone(), STEPS)?)?;
        let query = training.on(test)?;
        println!("[seed {seed}] loss {:.4}, test loss {:.4}", training.value()?, query.value()?);

        let solver = ConjugateGradientConfig::new().with_relative_tolerance(1e-8);
        let influence = InfluenceConfig::new(Estimator::ConjugateGradient(solver))
            .with_curvature(Curvature::GaussNewton)
            .with_damping(DAMPING)
            .init(&training)?;
        let scores = influence.scores(Query::Value(&query))?;
        println!("{}", scores.report);
        let row = scores.row(0).unwrap_or_default();
        let mut order: Vec<usize> = (0..TRAIN).collect();
        order.sort_by(|&a, &b| row[b].abs().total_cmp(&row[a].abs()));
        let groups: Vec<_> = order[..LEFT_OUT].iter().map(|&sample| vec![sample]).collect();

        let response = ProximalBregmanConfig::new(DAMPING).init(&training)?;
        let response = response.leave_out(&groups, Query::Value(&query))?.agreement(&scores)?[0];
        let mut retraining = Retraining::of_parameters(TRAIN, Query::Value(&query), |kept, _| {
            let rest = start.on(rows(&train, kept))?;
            trained(rest, STEPS)
        });
        let cold = retraining.leave_out(&groups)?.agreement(&scores)?[0];
        println!("response: {response}\nretrained from the start: {cold}");
        figures.expect(&format!("response.{seed}.pearson"), response.pearson, 0.9..=1.0);
        figures.note(&format!("retrained.{seed}.pearson"), cold.pearson);
        let gap = response.pearson - cold.pearson;
        figures.expect(&format!("gap.{seed}"), gap, 0.2..=2.0);
    }
    assert!(figures.print());
    Ok(())
}
