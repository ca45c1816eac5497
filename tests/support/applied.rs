//! Influence scores and a hypergradient over batches that ranks share.

use std::sync::Arc;

use burn::{module::Param, prelude::*, tensor::activation::log_softmax};
use burn_curvature::{
    ConjugateGradientConfig, Error, KfacConfig, Likelihood, Loss, Objective, Reduction,
    communicator::Communicator,
    implicit::{HyperObjective, ImplicitConfig},
    influence::{Curvature, Estimator, InfluenceConfig, truth::ProximalBregmanConfig},
    kfac::KfacFisher,
};

use crate::shares::{self, Figures, Network, Samples};

/// The losses of samples.
fn losses(model: &Network, (x, y): Samples) -> (Tensor<2>, Tensor<1>) {
    let z = model.forward(x);
    let chosen = log_softmax(z.clone(), 1).gather(1, y.unsqueeze_dim(1));
    (z, -chosen.squeeze_dim::<1>(1))
}

/// The objective over the batches of a rank, or of one process, whose closure returns the losses of samples; and that of five
/// test samples, which is not shared.
pub fn by_sample<C: Communicator + 'static>(
    model: &Network,
    ranks: Option<Arc<C>>,
    device: &Device,
) -> Result<(Objective, Objective), Error> {
    let captured = Objective::capture(model, shares::batch(0, device), |model, batch| {
        let (z, losses) = losses(model, batch);
        (z, Loss::mean_of(losses))
    })?;
    let captured = captured.in_f64()?;
    let (x, y) = shares::batch(7, device);
    let test = captured.on((x.narrow(0, 0, 5), y.narrow(0, 0, 5)))?;
    let training = match ranks {
        Some(ranks) => {
            let mine = shares::batches(shares::share(ranks.rank(), ranks.size()), device);
            captured.shared(ranks)?.over(mine, Reduction::Mean)?
        }
        None => captured.over(shares::batches(0..shares::BATCHES, device), Reduction::Mean)?,
    };
    Ok((training, test))
}

/// Scores by several estimators, of the model's own samples too, and samples left out.
pub fn influences<C: Communicator + 'static>(
    model: &Network,
    ranks: Option<Arc<C>>,
    device: &Device,
) -> Result<Figures, Error> {
    let (training, test) = by_sample(model, ranks, device)?;
    let iterative = ConjugateGradientConfig::new().with_relative_tolerance(1e-13);
    let fisher = KfacConfig::new().with_fisher(KfacFisher::Exact);
    let of = |estimator, curvature| {
        InfluenceConfig::new(estimator).with_curvature(curvature).with_damping(0.3)
    };
    let likelihood = Curvature::Fisher(Likelihood::Categorical);
    let mut found = Figures::new();
    for (name, config) in [
        ("Hessian", of(Estimator::ConjugateGradient(iterative.clone()), Curvature::GaussNewton)),
        ("empirical", of(Estimator::ConjugateGradient(iterative), Curvature::EmpiricalFisher)),
        ("EKFAC", of(Estimator::Ekfac(fisher), likelihood)),
        ("gradients", of(Estimator::Identity, Curvature::Hessian)),
    ] {
        let influence = config.init(&training)?;
        let scores = influence.scores(&test)?;
        assert_eq!(scores.samples(), 37);
        found.push((format!("scores, {name}"), scores.values().to_vec()));
        found.push((format!("own influence, {name}"), influence.self_influence()?.scores));
        let remaining = influence.stationarity();
        let remaining = vec![remaining.gradient_norm, remaining.sample_gradient];
        found.push((format!("stationarity, {name}"), remaining));
        if name == "Hessian" {
            let group = [1, 7, 8, 30];
            let step = influence.influence_step(&group)?.step;
            found.push(("influence step".into(), step.to_vec()?));
            found.push(("Newton step".into(), influence.newton_step(&group)?.step.to_vec()?));
            found.push(("losses".into(), influence.training_losses()?));
        }
    }
    Ok(found)
}

/// What a net does without some samples, by the proximal Bregman response.
pub fn responses<C: Communicator + 'static>(
    model: &Network,
    ranks: Option<Arc<C>>,
    device: &Device,
) -> Result<Figures, Error> {
    let (training, test) = by_sample(model, ranks, device)?;
    let solver = ConjugateGradientConfig::new().with_relative_tolerance(1e-13);
    let config = ProximalBregmanConfig::new(3.0).with_solver(solver).with_relative_tolerance(1e-6);
    let response = config.init(&training)?;
    let without = response.without(&[1, 8, 30])?;
    let moved = without.start().clone().axpy(0.1, &without.start().space().normal(6))?;
    let at = without.value_and_gradient(&moved)?;
    let minimum = without.minimize()?;
    let changes = response.leave_out(&[vec![0], vec![20, 36]], &test)?;
    Ok(vec![
        ("Bregman objective".into(), vec![at.value]),
        ("its gradient".into(), at.gradient.to_vec()?),
        ("its minimum".into(), minimum.parameters.to_vec()?),
        ("Newton steps".into(), vec![minimum.steps as f64]),
        ("changes".into(), changes.rows().flatten().copied().collect()),
    ])
}

#[derive(Module, Debug)]
struct Decay {
    rate: Param<Tensor<1>>,
}

/// The derivative of a validation loss by a weight decay.
pub fn hypergradient<C: Communicator + 'static>(
    model: &Network,
    ranks: Option<Arc<C>>,
    device: &Device,
) -> Result<Figures, Error> {
    let decay = Decay { rate: Param::from_tensor(Tensor::from_floats([0.3], device)) };
    let loss = |model: &Network, decay: &Decay, batch: Samples| {
        let (z, losses) = losses(model, batch);
        let weights = model.hidden.weight.val().powi_scalar(2).sum()
            + model.output.weight.val().powi_scalar(2).sum();
        (z, losses.mean() + decay.rate.val() * weights * 0.5)
    };
    let inner = HyperObjective::capture(model, &decay, shares::batch(0, device), loss)?.in_f64()?;
    let (outer, test) = (shares::captured(model, device)?, shares::batch(7, device));
    let (inner, outer) = match ranks {
        Some(ranks) => {
            let mine = shares::batches(shares::share(ranks.rank(), ranks.size()), device);
            let test = if ranks.rank() == 0 { vec![test] } else { Vec::new() };
            let inner = inner.shared(ranks.clone())?.over(mine, Reduction::Mean)?;
            (inner, outer.shared(ranks)?.over(test, Reduction::Mean)?)
        }
        None => {
            let all = shares::batches(0..shares::BATCHES, device);
            (inner.over(all, Reduction::Mean)?, outer.over([test], Reduction::Mean)?)
        }
    };
    let solver = ConjugateGradientConfig::new().with_relative_tolerance(1e-13).init()?;
    let config = ImplicitConfig::new().with_damping(2.0);
    let found = config.init(&inner)?.hypergradient(&outer, &solver)?;
    Ok(vec![("hypergradient".into(), found.gradient.to_vec()?)])
}
