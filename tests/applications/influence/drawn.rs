//! Estimates of K-FAC by random draws are warnings.

use burn::{
    module::{Module, Param},
    prelude::*,
};
use burn_curvature::{
    KfacConfig, Likelihood, Loss, Objective,
    influence::{Curvature, Estimator, InfluenceConfig, InfluenceWarning},
    kfac::{KfacFisher, UncoveredPolicy},
};

use super::World;

#[derive(Module, Debug)]
struct Scaled {
    weight: Param<Tensor<2>>,
    scale: Param<Tensor<1>>,
}

#[test]
fn a_diagonal_that_is_estimated_by_random_draws_is_a_warning() {
    let device = Device::default().autodiff();
    let model = Scaled {
        weight: Param::from_tensor(Tensor::from_floats([[0.5, -1.0], [2.0, 0.3]], &device)),
        scale: Param::from_tensor(Tensor::from_floats([1.0, 2.0], &device)),
    };
    let x = Tensor::<2>::from_floats([[1.0, 2.0], [3.0, -1.0], [0.5, 0.1]], &device);
    let training = Objective::capture(&model, x, |model: &Scaled, x| {
        let z = x.matmul(model.weight.val()) * model.scale.val().unsqueeze::<2>();
        let losses = z.clone().powf_scalar(2.0).sum_dim(1).squeeze_dim::<1>(1) * 0.5;
        (z, Loss::mean_of(losses))
    });
    let training: Objective = training.unwrap();
    let (random, exact) = (
        UncoveredPolicy::Diagonal { probes: 2, seed: 1 },
        UncoveredPolicy::ExactBlock { limit: 8 },
    );
    for (policy, names) in [(random, &["scale"][..]), (exact, &[])] {
        let kfac = KfacConfig::new().with_uncovered(policy);
        for estimator in [Estimator::Kfac(kfac), Estimator::Ekfac(kfac)] {
            let curvature = Curvature::Fisher(Likelihood::Gaussian { variance: 1.0 });
            let config = InfluenceConfig::new(estimator).with_curvature(curvature);
            let influence = config.with_damping(0.1).init(&training).unwrap();
            let report = influence.scores(&training).unwrap().report;
            assert_eq!(report.estimated, names);
            let estimated = |warning: &InfluenceWarning| matches!(warning, InfluenceWarning::EstimatedDiagonal { parameters } if parameters == names);
            assert_eq!(report.warnings().iter().any(estimated), !names.is_empty(), "{report}");
            assert_eq!(report.to_string().contains("random draws"), !names.is_empty(), "{report}");
            let step = influence.newton_step(&[1]).unwrap().report;
            assert!(!step.to_string().contains("random draws"), "{step}");
        }
    }
}

/// Targets are drawn by the defaults of K-FAC where classes are many, and said so; the influences' own defaults are exact.
#[test]
fn drawn_targets_are_a_warning_and_not_the_default() {
    let world = World::new(7);
    let fisher = |draws| KfacConfig::new().with_fisher(draws);
    let cheap = fisher(KfacFisher::ExactWhereCheap { passes: 1, draws: 2, seed: 4 });
    let drawn = fisher(KfacFisher::MonteCarlo { draws: 2, seed: 4 });
    let exact = fisher(KfacFisher::Exact);
    let scores = |estimator: Estimator| {
        let config = InfluenceConfig::new(estimator)
            .with_curvature(Curvature::Fisher(Likelihood::Categorical))
            .with_damping(0.1);
        let influence = config.init(&world.training).unwrap();
        let found = influence.scores(&world.queries).unwrap();
        // A Newton step takes the Gauss-Newton matrix itself.
        let step = influence.newton_step(&[1]).unwrap().report;
        assert!(step.warnings().iter().all(|warning| draws_of(warning).is_none()), "{step}");
        let drawn: Vec<usize> = found.report.warnings().iter().filter_map(draws_of).collect();
        (found.values().to_vec(), drawn)
    };
    for (by_kfac, config, expected) in [
        (scores(Estimator::Kfac(cheap)), Estimator::Kfac(drawn), &[2][..]),
        (scores(Estimator::Ekfac(cheap)), Estimator::Ekfac(drawn), &[2]),
        (scores(Estimator::kfac()), Estimator::Kfac(exact), &[]),
        (scores(Estimator::ekfac()), Estimator::Ekfac(exact), &[]),
    ] {
        assert_eq!(by_kfac.1, expected);
        assert_eq!(by_kfac, scores(config));
    }
}

fn draws_of(warning: &InfluenceWarning) -> Option<usize> {
    match warning {
        InfluenceWarning::DrawnTargets { draws } => {
            assert!(warning.to_string().contains("2 drawn targets for each sample"), "{warning}");
            Some(*draws)
        }
        _ => None,
    }
}
