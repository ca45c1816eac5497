//! Eigendecompositions beside the steps of K-FAC: ranks finish theirs at different times, and take them over together.

use burn_curvature::{
    KfacOptimizerConfig, Likelihood, ParamVector,
    communicator::Communicator,
    optim::{KfacInverse, StepRule},
};

use crate::{
    device, run,
    shares::{self, Network},
};

#[test]
fn finished_decompositions_are_taken_over_by_all_ranks_in_the_same_step() {
    for kind in [KfacInverse::Exact, KfacInverse::EigenvalueCorrected] {
        let found = run(3, move |ranks| {
            let mut model = Network::new(4, &device());
            let risk = shares::risk(&model, Some(ranks.clone()), &device())?;
            let rule = StepRule::LearningRate { rate: 0.1, momentum: 0.0, limit: None };
            let config = KfacOptimizerConfig::stochastic(0.1).with_rule(rule);
            let config = config.with_damping(0.1).with_inverse(kind).with_inverse_period(1);
            let mut optimizer =
                config.with_background(true).init(&risk, Likelihood::Categorical)?;
            let mut inverted = Vec::new();
            for step in 0..60 {
                // The ranks differ in whether theirs is finished; sometimes all are.
                if ranks.rank() == step % 3 || step % 4 == 0 {
                    optimizer.wait()?;
                }
                let report;
                (model, report) = optimizer.step_on(&model, &risk)?;
                inverted.push(report.inverted);
            }
            let theta: ParamVector = ParamVector::from_module(&model)?;
            Ok((inverted, theta.to_vec()?))
        });
        let found: Vec<_> = found.into_iter().map(Result::unwrap).collect();
        assert!(found.iter().all(|rank| *rank == found[0]));
        assert!(found[0].0.iter().filter(|inverted| **inverted).count() > 10);
    }
}
