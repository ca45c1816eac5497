//! The linear datamodeling score on digits and on MNIST: whether influences rank trainings on random halves.
//!
//! Fewer rows and subsets than in the literature (5000 and 100), so that each test takes less than a minute;
//! `BURN_CURVATURE_LDS=full` takes all. The images share the subsets, so that the errors of their scores do not average out.

use burn::tensor::Device;
use burn_curvature::{
    ConjugateGradientConfig, Error, Objective,
    influence::{
        Estimator, InfluenceConfig,
        truth::{DatamodelConfig, Retraining},
    },
};

use super::{DECAY, Sizes, digits, regression};
use crate::{
    Outcome,
    figures::Figures,
    logistic::{Samples, Softmax, loss, minimized, rows},
    mnist,
};

/// Adds the mean correlation of scores with leaving out each of some images, over the test images, and the linear
/// datamodeling score of a regression.
fn of_regression(
    (figures, name): (&mut Figures, &str),
    trained: &Objective,
    (train, test): (&Samples, Samples),
    (subsets, seed): (usize, u64),
) -> Result<(), Error> {
    let tests = trained.on(test)?;
    let solver = ConjugateGradientConfig::new().with_relative_tolerance(1e-4);
    let influence = InfluenceConfig::new(Estimator::ConjugateGradient(solver))
        .with_weight_decay(DECAY)
        .init(trained)?;
    let scores = influence.scores(&tests)?;
    let samples = influence.samples();
    // The change by leaving out one of N images is of the size 1/N.
    let tolerance = 1e-2 / samples as f64;
    let mut retraining = Retraining::of_parameters(samples, &tests, |kept, _| {
        let rest = trained.on(rows(train, kept))?;
        Ok::<_, Error>(minimized(rest, DECAY, tolerance)?.parameters().clone())
    });
    let left_out: Vec<usize> = (0..samples).step_by(samples / 20).collect();
    let agreements = retraining.leave_one_out(&left_out)?.agreement(&scores)?;
    let leave_one_out = agreements.iter().map(|agreement| agreement.spearman).sum::<f64>();
    let leave_one_out = leave_one_out / agreements.len() as f64;
    let config = DatamodelConfig::new().with_subsets(subsets).with_seed(seed);
    let score = config.sample(&mut retraining)?.score(&scores)?;
    println!("[seed {seed}] leave one out {leave_one_out:.4}, {score}");
    figures.expect(&format!("{name}.{seed}.leave_one_out"), leave_one_out, 0.88..=1.0);
    figures.expect(&format!("{name}.{seed}.lds"), score.mean, 0.8..=1.0);
    let [low, high] = score.interval();
    figures.note(&format!("{name}.{seed}.lds_low"), low);
    figures.note(&format!("{name}.{seed}.lds_high"), high);
    Ok(())
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
        of_regression((&mut figures, "digits"), &trained, (&train, test), (50, seed))?;
    }
    assert!(figures.print());
    Ok(())
}

#[test]
#[ignore = "takes a while, see main.rs"]
fn influences_rank_regressions_of_mnist() -> Outcome {
    let mut figures = Figures::default();
    let sizes = Sizes { train: 1000, test: 50, subsets: 30 }.or_full();
    for seed in [1, 2, 3] {
        let device = Device::default().autodiff();
        let Some([train, test]) = mnist::load([sizes.train, sizes.test], seed, &device)? else {
            return Ok(());
        };
        let model = Softmax::new(mnist::PIXELS, mnist::CLASSES, &device);
        let objective = Objective::capture(&model, train.clone(), loss)?;
        let trained = minimized(objective.in_f64()?, DECAY, 1e-6)?;
        of_regression((&mut figures, "mnist"), &trained, (&train, test), (sizes.subsets, seed))?;
    }
    assert!(figures.print());
    Ok(())
}
