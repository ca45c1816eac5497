//! Newton-type optimizers over uneven shares of the data, none on some ranks.

use std::sync::Arc;

use burn::prelude::*;
use burn_curvature::{
    Error, KfacConfig, Likelihood, Objective, ParamVector, Reduction,
    communicator::{Communicator, Threads},
    optim::{
        Forcing, HessianFreeConfig, LevenbergMarquardtConfig, LissaNewtonConfig, NewtonCgConfig,
        NewtonOptimizerConfig, Preconditioner, TrustRegionNewtonConfig,
    },
    solver::LissaConfig,
};

use crate::{
    device,
    shares::{self, Figures, Network, Samples},
};

/// ½ mean ‖r‖², r the logits less the class as a number.
fn squares(model: &Network, (x, y): Samples) -> (Tensor<2>, Tensor<1>) {
    let r = model.forward(x) - y.float().unsqueeze_dim(1);
    (r.clone(), (r.clone() * r).mean() * 0.5)
}

/// Three steps of every preset.
pub fn steps(model: &Network, ranks: Option<Arc<Threads>>) -> Result<Figures, Error> {
    let risk = shares::risk(model, ranks.clone(), &device())?;
    let captured = Objective::capture(model, shares::batch(0, &device()), squares)?.in_f64()?;
    let least_squares = match ranks.clone() {
        None => captured.over(shares::batches(0..shares::BATCHES, &device()), Reduction::Mean)?,
        Some(ranks) => {
            let mine = shares::share(ranks.rank(), ranks.size());
            captured.shared(ranks)?.over(shares::batches(mine, &device()), Reduction::Mean)?
        }
    };
    let kfac =
        Preconditioner::Kfac { config: KfacConfig::new(), likelihood: Likelihood::Categorical };
    // Close to rounding the number of iterations is a matter of rounding.
    let damped =
        LevenbergMarquardtConfig::new().with_damping(0.1).with_forcing(Forcing::Fixed(1e-3));
    let mut found = Figures::new();
    for (name, risk, config) in [
        ("Newton-CG", &risk, NewtonCgConfig::new().with_weight_decay(0.1).optimizer()),
        (
            "Newton-CG with K-FAC",
            &risk,
            NewtonCgConfig::new().with_damping(0.1).with_preconditioner(Some(kfac)).optimizer(),
        ),
        ("trust region", &risk, TrustRegionNewtonConfig::new().optimizer()),
        ("Hessian-free", &risk, HessianFreeConfig::new().with_weight_decay(0.01).optimizer()),
        ("Levenberg-Marquardt", &least_squares, damped.optimizer()),
    ] {
        found.extend(steps_of(name, risk, model, &config)?);
    }
    Ok(found)
}

fn steps_of(
    name: &str,
    risk: &Objective,
    model: &Network,
    config: &NewtonOptimizerConfig,
) -> Result<Figures, Error> {
    let mut optimizer = config.init(risk)?;
    let (mut model, mut reports) = (model.clone(), Vec::new());
    for _ in 0..3 {
        let (moved, step) = optimizer.step_on(&model, risk)?;
        model = moved;
        let radius = step.radius.unwrap_or(1.0);
        reports.extend([step.value, step.gradient_norm, step.length, step.damping + radius]);
        reports.extend([step.products, step.evaluations].map(|count| count as f64));
    }
    let after: ParamVector = ParamVector::from_module(&model)?;
    Ok(vec![(format!("{name}: steps"), reports), (format!("{name}: θ"), after.to_vec()?)])
}

/// The series draws terms that every rank has a part in: their number is that of the largest share, also on a rank that has
/// one batch or none.
#[test]
fn stochastic_series_over_uneven_shares() {
    for size in 2..=4 {
        let found = crate::run(size, |ranks| {
            let model = Network::new(4, &device());
            let risk = shares::risk(&model, Some(ranks), &device())?;
            let series = LissaConfig::new().with_scale(Some(20.0)).with_depth(50);
            let config = LissaNewtonConfig::new().with_series(series).with_weight_decay(0.5);
            steps_of("LiSSA", &risk, &model, &config.optimizer())
        });
        let found: Vec<Figures> = found.into_iter().map(Result::unwrap).collect();
        assert!(found.iter().all(|of_rank| *of_rank == found[0]), "{found:?}");
    }
}
