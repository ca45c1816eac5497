//! Logistic regression on e-mails: to ‖∇h‖ ≤ 1e-10 in at most 15 Newton steps; with K-FAC as a preconditioner.

use burn::{module::Param, prelude::*, tensor::DType, tensor::activation::softplus};
use burn_curvature::{
    KfacConfig, Likelihood, Objective, Reduction,
    kfac::KfacFisher,
    optim::{
        Forcing, NewtonCgConfig, NewtonOptimizer, NewtonStep, Preconditioner,
        TrustRegionNewtonConfig,
    },
};

use super::B;
use crate::spam::{Emails, FEATURES};

#[derive(Module, Debug)]
pub struct Logistic {
    pub w: Param<Tensor<2>>,
}

pub type Samples = (Tensor<2>, Tensor<2>);

/// Logits, and the mean of softplus(z) − yz.
pub fn loss(model: &Logistic, (x, y): Samples) -> (Tensor<2>, Tensor<1>) {
    let z = x.matmul(model.w.val());
    let loss = (softplus(z.clone(), 1.0) - z.clone() * y).mean();
    (z, loss)
}

pub fn emails() -> (Logistic, Samples) {
    let device = Device::default().autodiff();
    let (x, y) = Emails::flipped(0.0, 1).unwrap().samples(&device);
    let y = y.unsqueeze_dim::<2>(1).float().cast(DType::F64);
    let w = Tensor::<2>::zeros([FEATURES, 1], (&device, DType::F64));
    (Logistic { w: Param::from_tensor(w) }, (x.cast(DType::F64), y))
}

const DECAY: f64 = 1e-3;

/// Steps until ‖∇h‖ ≤ 1e-10.
fn run(
    optimizer: &mut NewtonOptimizer<B>,
    mut model: Logistic,
    batch: &Samples,
) -> Vec<NewtonStep> {
    let mut steps = Vec::new();
    while steps.len() < 40 {
        let step;
        (model, step) = optimizer.step(&model, batch.clone()).unwrap();
        let done = step.gradient_norm <= 1e-10;
        steps.push(step);
        if done {
            break;
        }
    }
    steps
}

#[test]
fn spam_is_fitted_to_rounding_in_fifteen_newton_steps() {
    let (model, batch) = emails();
    let objective: Objective<B> = Objective::capture(&model, batch.clone(), loss).unwrap();
    let objective = objective.in_f64().unwrap().reduced_by(Reduction::Mean).unwrap();
    let (config, likelihood) =
        (KfacConfig::new().with_fisher(KfacFisher::Exact), Likelihood::Bernoulli);
    let plain = NewtonCgConfig::new().with_weight_decay(DECAY);
    let preconditioned =
        plain.clone().with_preconditioner(Some(Preconditioner::Kfac { config, likelihood }));
    let optimizers = [
        plain.init(&objective).unwrap(),
        TrustRegionNewtonConfig::new().with_weight_decay(DECAY).init(&objective).unwrap(),
        preconditioned.init(&objective).unwrap(),
        preconditioned.with_refresh_every(4).init(&objective).unwrap(),
    ];
    let mut ends = Vec::new();
    let mut products = Vec::new();
    for mut optimizer in optimizers {
        let steps = run(&mut optimizer, model.clone(), &batch);
        let lines: Vec<String> = steps.iter().map(ToString::to_string).collect();
        let story = lines.join("\n");
        let last = steps.last().unwrap();
        // The last report is of the point where it ends.
        assert!(last.gradient_norm <= 1e-10 && steps.len() <= 16, "{story}");
        assert!(steps.iter().all(|step| step.is_taken() || step == last), "{story}");
        ends.push(last.value);
        products.push(steps.iter().map(|step| step.products).sum::<usize>());
    }
    assert!(ends.iter().all(|end| (end - ends[0]).abs() < 1e-14), "{ends:?}");
    // K-FAC takes x and p(1 − p) to be independent, which they are not here: it spares some products, no more.
    assert!(products[2] < products[0], "{products:?}");
}

/// Curvature of a tenth of the e-mails with full gradients still converges, linearly.
#[test]
fn sub_sampled_curvature_converges() {
    let (model, (x, y)) = emails();
    let whole: Objective<B> = Objective::capture(&model, (x.clone(), y.clone()), loss).unwrap();
    let whole = whole.in_f64().unwrap();
    // Every tenth e-mail, since the file is sorted by class.
    let rows: Vec<i64> = (0..4601).step_by(10).collect();
    let rows = Tensor::<1, Int>::from_data(TensorData::new(rows, [461]), &x.device());
    let few = whole.on((x.select(0, rows.clone()), y.select(0, rows))).unwrap();
    let config = NewtonCgConfig::new().with_weight_decay(DECAY).with_forcing(Forcing::Fixed(1e-3));
    let mut optimizer = config.init(&whole).unwrap();
    let (mut model, mut norms) = (model, Vec::new());
    for _ in 0..12 {
        let step;
        (model, step) = optimizer.step_with_curvature(&model, &whole, &few).unwrap();
        assert!(step.is_taken(), "{step}");
        norms.push(step.gradient_norm);
    }
    assert!(norms[11] < 2e-2 * norms[0], "{norms:?}");
}
