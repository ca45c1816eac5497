//! The linear datamodeling score on digits and on MNIST: whether influences rank trainings on random halves.
//!
//! Fewer rows and subsets than in the literature (5000 and 100), so that each test takes less than a minute; a score of s
//! over n subsets has a standard error of some (1 − s²)/√n for each test image, and the images share the subsets.

use burn::tensor::Device;
use burn_curvature::{
    ConjugateGradientConfig, Error, Objective,
    influence::{
        Estimator, InfluenceConfig,
        truth::{DatamodelConfig, Retraining},
    },
};

use super::{DECAY, digits, regression};
use crate::{
    Outcome,
    figures::Figures,
    logistic::{Samples, Softmax, loss, minimized, rows},
    mnist,
};

/// The mean correlation of scores with leaving out each of some images, over the test images, and the linear datamodeling
/// score of a regression.
fn of_regression(
    trained: &Objective,
    (train, test): (&Samples, Samples),
    (subsets, seed): (usize, u64),
) -> Result<[f64; 2], Error> {
    let tests = trained.on(test)?;
    let solver = ConjugateGradientConfig::new().with_relative_tolerance(1e-4);
    let influence = InfluenceConfig::new(Estimator::ConjugateGradient(solver))
        .with_weight_decay(DECAY)
        .init(trained)?;
    let scores = influence.scores(&tests)?;
    let samples = influence.samples();
    let mut retraining = Retraining::of_parameters(samples, &tests, |kept, _| {
        let rest = trained.on(rows(train, kept))?;
        Ok::<_, Error>(minimized(rest, DECAY, 1e-5)?.parameters().clone())
    });
    let left_out: Vec<usize> = (0..samples).step_by(samples / 20).collect();
    let agreements = retraining.leave_one_out(&left_out)?.agreement(&scores)?;
    let leave_one_out = agreements.iter().map(|agreement| agreement.spearman).sum::<f64>();
    let config = DatamodelConfig::new().with_subsets(subsets).with_seed(seed);
    let score = config.sample(&mut retraining)?.score(&scores)?;
    println!("[seed {seed}] {score}");
    Ok([leave_one_out / agreements.len() as f64, score.mean])
}

#[test]
#[ignore = "takes a while, see main.rs"]
fn influences_rank_regressions_of_digits() -> Outcome {
    let mut figures = Figures::default();
    for seed in [1, 2, 3] {
        let device = Device::default().autodiff();
        let [train, test] = digits(1000, seed, &device)?;
        let test = rows(&test, &(0..100).collect::<Vec<_>>());
        let trained = minimized(regression(train.clone())?, DECAY, 1e-8)?;
        let [leave_one_out, lds] = of_regression(&trained, (&train, test), (50, seed))?;
        figures.expect(&format!("digits.{seed}.leave_one_out"), leave_one_out, 0.88..=1.0);
        figures.expect(&format!("digits.{seed}.lds"), lds, 0.8..=1.0);
    }
    assert!(figures.print());
    Ok(())
}

#[test]
#[ignore = "takes a while, see main.rs"]
fn influences_rank_regressions_of_mnist() -> Outcome {
    let mut figures = Figures::default();
    for seed in [1, 2, 3] {
        let device = Device::default().autodiff();
        let Some([train, test]) = mnist::load([1000, 50], seed, &device)? else {
            return Ok(());
        };
        let model = Softmax::new(mnist::PIXELS, mnist::CLASSES, &device);
        let objective = Objective::capture(&model, train.clone(), loss)?;
        let trained = minimized(objective.in_f64()?, DECAY, 1e-6)?;
        let [leave_one_out, lds] = of_regression(&trained, (&train, test), (30, seed))?;
        figures.expect(&format!("mnist.{seed}.leave_one_out"), leave_one_out, 0.88..=1.0);
        figures.expect(&format!("mnist.{seed}.lds"), lds, 0.8..=1.0);
    }
    assert!(figures.print());
    Ok(())
}
