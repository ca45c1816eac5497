//! Softmax regression of digits: influences against training without single images.

use burn::tensor::Device;
use burn_curvature::{
    DirectConfig, Error, Objective, ParamVector,
    influence::{
        Estimator, Influence, InfluenceConfig, Query,
        truth::{Changes, Retraining},
    },
    solver::LissaConfig,
};

use super::{DECAY, digits, regression};
use crate::{
    Outcome,
    figures::Figures,
    logistic::{Samples, minimized, rows},
};

const TRAIN: usize = 1297;
/// The images with the largest influences are left out.
const LEFT_OUT: usize = 60;
/// Of these, by a Newton step each.
const BY_NEWTON: usize = 30;

struct Digits {
    train: Samples,
    trained: Objective,
    /// A test image with a large loss.
    query: Objective,
    influence: Influence,
}

impl Digits {
    fn new(seed: u64) -> Result<Self, Box<dyn std::error::Error>> {
        let device = Device::default().autodiff();
        let [train, test] = digits(TRAIN, seed, &device)?;
        let trained = minimized(regression(train.clone())?, DECAY, 1e-10)?;
        let tests = trained.on(test.clone())?;
        let losses = InfluenceConfig::new(Estimator::Identity).init(&tests)?.training_losses()?;
        let mut order: Vec<usize> = (0..losses.len()).collect();
        order.sort_by(|&a, &b| losses[b].total_cmp(&losses[a]));
        let query = trained.on(rows(&test, &order[..1]))?;
        let influence = config(Estimator::Dense(DirectConfig::new())).init(&trained)?;
        Ok(Self { train, trained, query, influence })
    }

    fn retrained(&self, kept: &[usize]) -> Result<ParamVector, Error> {
        let rest = self.trained.on(rows(&self.train, kept))?;
        Ok(minimized(rest, DECAY, 1e-9)?.parameters().clone())
    }

    /// The images with the largest influences on the query, of either sign.
    fn largest(&self) -> Result<Vec<usize>, Error> {
        let scores = self.influence.scores(&self.query)?;
        let row = scores.row(0).unwrap_or_default();
        let mut order: Vec<usize> = (0..row.len()).collect();
        order.sort_by(|&a, &b| row[b].abs().total_cmp(&row[a].abs()));
        order.truncate(LEFT_OUT);
        Ok(order)
    }

    /// The changes of the query's loss, and the parameters of each training: on all images, then without each.
    fn truth(&self, left_out: &[usize]) -> Result<(Changes, Vec<ParamVector>), Error> {
        let mut found = Vec::new();
        let train = |kept: &[usize], _: u64| -> Result<ParamVector, Error> {
            found.push(self.retrained(kept)?);
            Ok(found[found.len() - 1].clone())
        };
        let mut retraining = Retraining::of_parameters(TRAIN, &self.query, train);
        let changes = retraining.leave_one_out(left_out)?;
        drop(retraining);
        Ok((changes, found))
    }
}

fn config(estimator: Estimator) -> InfluenceConfig {
    InfluenceConfig::new(estimator).with_weight_decay(DECAY)
}

/// Koh & Liang 2017, figure 2: exactly, and by a Newton step.
#[test]
#[ignore = "takes a while, see main.rs"]
fn influences_predict_leaving_one_out() -> Outcome {
    let mut figures = Figures::default();
    for seed in [1, 2, 3] {
        let digits = Digits::new(seed)?;
        let left_out = digits.largest()?;
        let scores = digits.influence.scores(&digits.query)?;
        assert!(scores.report.warnings().is_empty(), "{}", scores.report);
        let (truth, retrained) = digits.truth(&left_out)?;
        let agreement = truth.agreement(&scores)?[0];
        println!("[seed {seed}] {agreement}");
        figures.expect(&format!("exact.{seed}.pearson"), agreement.pearson, 0.999..=1.0);
        figures.expect(&format!("exact.{seed}.slope"), agreement.slope, 0.9..=1.0);

        let (mut by_influence, mut by_newton) = (0.0, 0.0);
        for (&sample, without) in left_out.iter().zip(&retrained[1..]).take(BY_NEWTON) {
            let truth = without.clone().sub(digits.trained.parameters())?;
            let error = |step: ParamVector| -> Result<f64, Error> {
                Ok(step.sub(&truth)?.norm()? / truth.norm()?)
            };
            by_influence += error(digits.influence.influence_step(&[sample])?.step)?;
            by_newton += error(digits.influence.newton_step(&[sample])?.step)?;
        }
        let mean = |sum: f64| sum / BY_NEWTON as f64;
        figures.note(&format!("influence_step.{seed}.error"), mean(by_influence));
        figures.note(&format!("newton_step.{seed}.error"), mean(by_newton));
        figures.expect(&format!("newton.{seed}.ratio"), by_newton / by_influence, 0.0..=0.2);
    }
    assert!(figures.print());
    Ok(())
}

/// The same by the stochastic Neumann series on single images.
#[test]
#[ignore = "takes a while, see main.rs"]
fn lissa_predicts_leaving_one_out() -> Outcome {
    let mut figures = Figures::default();
    for seed in [1, 2, 3] {
        let digits = Digits::new(seed)?;
        let left_out = digits.largest()?;
        let (truth, _) = digits.truth(&left_out)?;
        let single: Vec<Samples> = (0..TRAIN).map(|n| rows(&digits.train, &[n])).collect();
        let images = digits.trained.over(single, burn_curvature::Reduction::Mean)?;
        let exact = digits.influence.scores(&digits.query)?;
        let mut errors = Vec::new();
        for depth in [500, 5000] {
            let lissa = LissaConfig::new().with_scale(Some(25.0)).with_depth(depth);
            let lissa = lissa.with_repeats(10).with_seed(seed);
            let influence = config(Estimator::Lissa(lissa)).init(&images)?;
            let scores = influence.scores(Query::Value(&digits.query))?;
            let agreement = truth.agreement(&scores)?[0];
            println!("[seed {seed}, depth {depth}] {agreement}");
            let difference =
                scores.values().iter().zip(exact.values()).map(|(a, b)| (a - b).powi(2));
            let size: f64 = exact.values().iter().map(|score| score * score).sum();
            errors.push((difference.sum::<f64>() / size).sqrt());
            if depth == 5000 {
                figures.expect(&format!("lissa.{seed}.pearson"), agreement.pearson, 0.995..=1.0);
            }
        }
        figures.note(&format!("lissa.{seed}.error_at_500"), errors[0]);
        figures.expect(&format!("lissa.{seed}.error_at_5000"), errors[1], 0.0..=0.15);
        figures.expect(&format!("lissa.{seed}.error_ratio"), errors[1] / errors[0], 0.0..=0.8);
    }
    assert!(figures.print());
    Ok(())
}
