//! Networks captured as they train: batch norm by the statistics of the batch, through which every sample reaches the rows
//! of all others.

use burn::{
    module::{Module, Param},
    nn,
    prelude::*,
    tensor::activation::tanh,
};
use burn_curvature::{
    CaptureConfig, Fisher, KfacConfig, Likelihood, LinearOperator, Loss, Objective, SelfAdjoint,
    errors::KfacError,
    kfac::{KfacApproximation, KfacFisher, SampleGradients, UncoveredPolicy},
    materialize,
};

use super::{super::B, Deep, device, random, weight};

const ROWS: usize = 6;
const WIDTH: usize = 4;
const TARGET: Likelihood = Likelihood::Categorical;

#[derive(Module, Debug)]
struct Normed {
    hidden: nn::Linear,
    norm: nn::BatchNorm,
    output: nn::Linear,
    /// Added to the rows of the hidden layer: its Fisher matrix is that of their gradients.
    rows: Param<Tensor<2>>,
}

type Batch = (Tensor<2>, Tensor<1, Int>);

fn batch() -> Batch {
    let labels: Vec<i64> = (0..ROWS).map(|n| (n * 2 % 3) as i64).collect();
    (random([ROWS, 3], 5), Tensor::from_data(TensorData::new(labels, [ROWS]), &device()))
}

fn objective() -> Objective<B> {
    let mut layers = Deep::new(&[3, WIDTH, 3], true).layers;
    let mut norm = nn::BatchNormConfig::new(WIDTH).init(&device());
    (norm.gamma, norm.beta) = (weight([WIDTH], 3), weight([WIDTH], 4));
    let output = layers.pop().unwrap();
    let hidden = layers.pop().unwrap();
    let rows = Param::from_tensor(Tensor::zeros([ROWS, WIDTH], &device()));
    let model = Normed { hidden, norm, output, rows };
    let objective = Objective::<B>::capture_with(
        &CaptureConfig::new().training(1),
        &model,
        batch(),
        |model: &Normed, (x, y): Batch| {
            let hidden = model.hidden.forward(x) + model.rows.val();
            let z = model.output.forward(tanh(model.norm.forward(hidden)));
            let logs = burn::tensor::activation::log_softmax(z.clone(), 1);
            (z, Loss::mean_of(logs.gather(1, y.unsqueeze_dim(1)).squeeze_dim::<1>(1).neg()))
        },
    );
    objective.unwrap().in_f64().unwrap()
}

fn config(fisher: KfacFisher) -> KfacConfig {
    KfacConfig::new().with_fisher(fisher).with_uncovered(UncoveredPolicy::ExactBlock { limit: 100 })
}

/// The block of one parameter, row by row.
fn block(fisher: &dyn SelfAdjoint<B>, parameter: &str) -> Vec<f64> {
    let subset = fisher.domain().layout().select(parameter).unwrap();
    materialize(&fisher.restricted(subset).unwrap()).unwrap().values().to_vec()
}

#[test]
fn what_needs_single_samples_is_refused_by_the_layer_before_the_norm() {
    let objective = objective();
    for fisher in [KfacFisher::Exact, KfacFisher::Empirical] {
        let error = config(fisher).init(&objective, TARGET).unwrap_err();
        let Some(KfacError::Places { parameter, .. }) = error.downcast_ref() else {
            panic!("{error}");
        };
        assert_eq!(parameter, "hidden.weight");
        assert!(error.to_string().contains("`KfacFisher::MonteCarlo`"), "{error}");
    }
    let drawn = config(KfacFisher::MonteCarlo { draws: 1, seed: 1 });
    let error = drawn.init_ekfac(&objective, TARGET).unwrap_err();
    assert!(matches!(error.downcast_ref(), Some(KfacError::Samples { .. })), "{error}");
    let reduced = drawn.with_approximation(KfacApproximation::Reduce);
    let error = reduced.init(&objective, TARGET).unwrap_err();
    assert!(matches!(error.downcast_ref(), Some(KfacError::Samples { .. })), "{error}");
    let error = SampleGradients::new(&objective).unwrap_err();
    assert!(matches!(error.downcast_ref(), Some(KfacError::Places { .. })), "{error}");
}

/// G = c·Σ over rows and samples of JᵀMJ, J the derivative of the outputs of one sample by one row of the layer, all of
/// which the statistics join.
#[test]
fn targets_that_are_drawn_keep_the_samples_apart() {
    let objective = objective();
    let exact = Fisher::exact(&objective, TARGET).unwrap();
    let rows = block(&exact, "rows");
    let total = ROWS * WIDTH;
    let mut expected = vec![0.0; WIDTH * WIDTH];
    for row in 0..ROWS {
        for (at, sum) in expected.iter_mut().enumerate() {
            let (i, j) = (row * WIDTH + at / WIDTH, row * WIDTH + at % WIDTH);
            *sum += rows[i * total + j];
        }
    }
    let largest = expected.iter().fold(0.0_f64, |most, x| most.max(x.abs()));
    for seed in 0..3 {
        let fisher = KfacFisher::MonteCarlo { draws: 4000, seed };
        let kfac = config(fisher).init(&objective, TARGET).unwrap();
        let found = kfac.layers()[0].output().values().unwrap();
        let differences = found.iter().zip(&expected).map(|(a, b)| (a - b).abs());
        let error = differences.fold(0.0, f64::max) / largest;
        assert!(error < 0.06, "seed {seed}: {error}");
    }
}

/// γ and β act on each row alone, behind the statistics.
#[test]
fn the_norm_has_its_exact_blocks() {
    let objective = objective();
    let (draws, seed) = (3, 2);
    let kfac = config(KfacFisher::MonteCarlo { draws, seed }).init(&objective, TARGET).unwrap();
    let drawn = Fisher::monte_carlo(&objective, TARGET, draws, seed).unwrap();
    let mut names = Vec::new();
    for (name, factor) in kfac.uncovered() {
        names.push(name);
        let truth = block(&drawn, name);
        let largest = truth.iter().fold(0.0_f64, |most, x| most.max(x.abs()));
        let pairs = factor.values().unwrap().iter().zip(&truth);
        let error = pairs.map(|(a, b)| (a - b).abs()).fold(0.0, f64::max) / largest;
        assert!(largest > 0.0 && error < 1e-11, "{name}: {error}");
    }
    assert_eq!(names, ["norm.gamma", "norm.beta", "rows"]);
    let forward = config(KfacFisher::ForwardOnly).init(&objective, TARGET).unwrap();
    let v = objective.parameters().space().normal(1);
    let product = forward.inverse(0.1).unwrap().apply(&v).unwrap();
    assert!(product.to_vec().unwrap().iter().all(|value| value.is_finite()));
}
