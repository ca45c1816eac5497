//! Whose row is it? Places merged with samples, samples behind time, tables that serve all samples; every gradient of a
//! sample is taken from the objective on that sample alone.

mod forms;
mod places;
mod shared;

use burn::{
    module::{Module, Param},
    nn,
    prelude::*,
    tensor::activation::tanh,
};
use burn_curvature::{
    CaptureConfig, EmpiricalFisher, Fisher, KfacConfig, Likelihood, Objective, ParamVector,
    Reduction, SelfAdjoint,
    kfac::{KfacApproximation, KfacFisher, UncoveredPolicy},
    materialize,
};

use super::{super::B, Deep, device, random};

const CLASSES: Likelihood = Likelihood::Categorical;
const DRAWN: KfacFisher = KfacFisher::MonteCarlo { draws: 2, seed: 7 };
const ALL: [KfacFisher; 4] =
    [KfacFisher::Exact, DRAWN, KfacFisher::Empirical, KfacFisher::ForwardOnly];

type Batch = (Tensor<3>, Tensor<1, Int>);

/// How the first layer is written.
#[derive(Clone, Copy, Debug)]
enum Form {
    /// Burn's layer, which merges samples and places at some sizes.
    Burn,
    /// A product that is never merged.
    Apart,
    /// Merged and split by hand.
    ByHand,
    /// Merged by hand, with the bias added behind the split.
    BiasBehind,
    /// Time first.
    TimeFirst,
    /// Time first, merged by hand.
    TimeFirstMerged,
}

const FORMS: [Form; 6] = [
    Form::Burn,
    Form::Apart,
    Form::ByHand,
    Form::BiasBehind,
    Form::TimeFirst,
    Form::TimeFirstMerged,
];

/// `x: [b, s, d]`, a layer, tanh, the mean over places, a layer.
fn pooled(model: &Deep, x: Tensor<3>, form: Form) -> Tensor<2> {
    let layer = &model.layers[0];
    let bias = || layer.bias.as_ref().unwrap().val();
    let merged = |x: Tensor<3>| {
        let [one, two, d] = x.dims();
        (layer.forward(x.reshape([one * two, d])), [one, two])
    };
    let pool = |x: Tensor<3>, dim: usize| -> Tensor<2> { tanh(x).mean_dim(dim).squeeze_dim(dim) };
    let hidden = match form {
        Form::Burn => pool(layer.forward(x), 1),
        Form::Apart => pool(x.matmul(layer.weight.val().unsqueeze()) + bias().unsqueeze(), 1),
        Form::ByHand => {
            let (rows, [b, s]) = merged(x);
            let width = rows.dims()[1];
            pool(rows.reshape([b, s, width]), 1)
        }
        Form::BiasBehind => {
            let [b, s, d] = x.dims();
            let rows = x.reshape([b * s, d]).matmul(layer.weight.val());
            let width = rows.dims()[1];
            pool(rows.reshape([b, s, width]) + bias().unsqueeze(), 1)
        }
        Form::TimeFirst => pool(layer.forward(x.swap_dims(0, 1)), 0),
        Form::TimeFirstMerged => {
            let (rows, [s, b]) = merged(x.swap_dims(0, 1));
            let width = rows.dims()[1];
            pool(rows.reshape([s, b, width]), 0)
        }
    };
    model.layers[1].forward(hidden)
}

/// The batch as a form wants it: [`Form::TimeFirst`] turns inside the closure.
fn capture<M: Module + 'static>(
    model: &M,
    batch: Batch,
    forward: impl Fn(&M, Tensor<3>) -> Tensor<2> + Send + 'static,
) -> Objective<B> {
    let objective = Objective::<B>::capture_with(
        &CaptureConfig::new(),
        model,
        batch,
        move |model: &M, (x, y): Batch| {
            let z = forward(model, x);
            let loss = nn::loss::CrossEntropyLossConfig::new().init(&z.device());
            (z.clone(), loss.forward(z, y))
        },
    );
    objective.unwrap().in_f64().unwrap().reduced_by(Reduction::Mean).unwrap()
}

fn labels(count: usize) -> Tensor<1, Int> {
    let values: Vec<i64> = (0..count).map(|n| (n * 7 % 3) as i64).collect();
    Tensor::from_data(TensorData::new(values, [count]), &device())
}

fn batch([b, s, d]: [usize; 3]) -> Batch {
    (random([b, s, d], 5), labels(b))
}

fn one((x, y): &Batch, n: usize) -> Batch {
    (x.clone().narrow(0, n, 1), y.clone().narrow(0, n, 1))
}

/// Σₙ ‖∇ℓₙ‖²/N of some parameters, from the objective on single samples.
fn mean_square(objective: &Objective<B>, batch: &Batch, parameters: &[&str]) -> f64 {
    let count = batch.0.dims()[0];
    let squares = (0..count).map(|n| {
        let gradient = objective.on(one(batch, n)).unwrap().gradient().unwrap();
        let own = parameters.iter().flat_map(|name| elements(&gradient, name));
        own.map(|x| x * x).sum::<f64>()
    });
    squares.sum::<f64>() / count as f64
}

fn elements(vector: &ParamVector<B>, parameter: &str) -> Vec<f64> {
    let mut at = 0;
    let all = vector.to_vec().unwrap();
    for block in vector.layout().blocks() {
        if block.name() == parameter {
            return all[at..at + block.len()].to_vec();
        }
        at += block.len();
    }
    panic!("{parameter}")
}

fn config(fisher: KfacFisher, approximation: KfacApproximation) -> KfacConfig {
    let uncovered = UncoveredPolicy::ExactBlock { limit: 10_000 };
    KfacConfig::new()
        .with_fisher(fisher)
        .with_approximation(approximation)
        .with_uncovered(uncovered)
}

fn close(found: f64, expected: f64, what: &str) {
    assert!((found - expected).abs() < 1e-9 * expected.abs(), "{what}: {found}, {expected}");
}

fn fisher_of(
    objective: &Objective<B>,
    likelihood: Likelihood,
    fisher: KfacFisher,
) -> Box<dyn SelfAdjoint<B>> {
    match fisher {
        KfacFisher::Exact | KfacFisher::ForwardOnly => {
            Box::new(Fisher::exact(objective, likelihood).unwrap())
        }
        KfacFisher::MonteCarlo { draws, seed } => {
            Box::new(Fisher::monte_carlo(objective, likelihood, draws, seed).unwrap())
        }
        KfacFisher::Empirical => Box::new(EmpiricalFisher::new(objective).unwrap()),
        KfacFisher::ExactWhereCheap { .. } => panic!("either of the two"),
    }
}

/// The diagonal of the Fisher matrix, column by column.
fn diagonal(
    objective: &Objective<B>,
    likelihood: Likelihood,
    fisher: KfacFisher,
) -> ParamVector<B> {
    let matrix = materialize(fisher_of(objective, likelihood, fisher).as_ref()).unwrap();
    let step = matrix.columns() + 1;
    let values: Vec<f64> = matrix.values().iter().step_by(step).copied().collect();
    objective.parameters().space().vector(&values).unwrap()
}

#[derive(Module, Debug)]
struct One {
    w: Param<Tensor<2>>,
}

fn one_weight(value: f32) -> One {
    One { w: Param::from_tensor(Tensor::full([1, 1], value, &device())) }
}
