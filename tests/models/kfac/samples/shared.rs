//! What serves all samples at once has its exact block.

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};

use burn::{
    module::{Module, Param},
    nn,
    prelude::*,
    tensor::activation::{softmax, tanh},
};
use burn_curvature::{
    CaptureConfig, KfacConfig, Likelihood, LinearOperator, Objective, Reduction,
    errors::KfacError,
    kfac::{KfacApproximation, KfacFisher, Treatment, UncoveredPolicy},
    materialize,
};

use super::{
    super::{GAUSSIAN, weight},
    ALL, B, CLASSES, Deep, One, batch, capture, close, config, device, fisher_of, mean_square, one,
    one_weight, random,
};

/// The largest error of an uncovered block against the Fisher matrix of its type.
fn block_error(
    objective: &Objective<B>,
    likelihood: Likelihood,
    fisher: KfacFisher,
    parameter: &str,
) -> f64 {
    let kfac = config(fisher, KfacApproximation::Expand).init(objective, likelihood).unwrap();
    let found = kfac.uncovered().find(|(name, _)| *name == parameter);
    let (_, factor) = found.unwrap_or_else(|| panic!("{parameter}\n{}", kfac.coverage()));
    let subset = objective.layout().select_by(|block| block.name() == parameter).unwrap();
    let truth = fisher_of(objective, likelihood, fisher);
    let truth = materialize(&truth.as_ref().restricted(subset).unwrap()).unwrap();
    let largest = truth.values().iter().fold(0.0_f64, |most, x| most.max(x.abs()));
    let pairs = factor.values().unwrap().iter().zip(truth.values());
    pairs.map(|(a, b)| (a - b).abs()).fold(0.0, f64::max) / largest
}

#[derive(Module, Debug)]
struct Positioned {
    positions: nn::Embedding,
    output: nn::Linear,
}

impl Positioned {
    fn new(places: usize, width: usize) -> Self {
        let mut positions = nn::EmbeddingConfig::new(places, width).init(&device());
        positions.weight = weight([places, width], 3);
        Self { positions, output: Deep::new(&[width, 3], true).layers.remove(0) }
    }

    fn forward(&self, x: Tensor<3>, repeated: bool) -> Tensor<2> {
        let [samples, places, _] = x.dims();
        let indices = Tensor::<1, Int>::arange(0..places as i64, &x.device()).unsqueeze::<2>();
        let indices = if repeated { indices.repeat_dim(0, samples) } else { indices };
        let hidden = tanh(x + self.positions.forward(indices));
        self.output.forward(hidden.mean_dim(1).squeeze_dim(1))
    }
}

#[test]
fn a_table_that_serves_all_samples_has_its_exact_block() {
    const TABLE: &str = "positions.weight";
    let batch = batch([6, 5, 8]);
    let model = Positioned::new(5, 8);
    let objective = capture(&model, batch.clone(), |model: &Positioned, x| model.forward(x, false));
    for fisher in ALL {
        let error = block_error(&objective, CLASSES, fisher, TABLE);
        assert!(error < 1e-12, "{fisher:?}: {error}");
        assert!(passes(&objective, fisher) <= 2, "{fisher:?}");
    }
    let empirical = config(KfacFisher::Empirical, KfacApproximation::Expand);
    let kfac = empirical.init(&objective, CLASSES).unwrap();
    let (_, factor) = kfac.uncovered().find(|(name, _)| *name == TABLE).unwrap();
    let expected = mean_square(&objective, &batch, &[TABLE]);
    close(factor.trace().unwrap(), expected, "empirical");
    for fisher in ALL {
        let refuse = config(fisher, KfacApproximation::Expand)
            .with_uncovered(UncoveredPolicy::Refuse)
            .init(&objective, CLASSES);
        let message = refuse.unwrap_err().to_string();
        assert!(message.contains(TABLE), "{message}");
        assert!(message.contains("once for all samples"), "{message}");
    }
    // A row for each sample makes it a layer.
    let objective = capture(&model, batch.clone(), |model: &Positioned, x| model.forward(x, true));
    let ekfac = empirical.init_ekfac(&objective, CLASSES).unwrap();
    let layer = ekfac.layers().iter().find(|layer| layer.weight() == TABLE).unwrap();
    close(layer.trace().unwrap(), mean_square(&objective, &batch, &[TABLE]), "repeated");
}

#[derive(Module, Debug)]
struct Operator {
    branch: nn::Linear,
    trunk: nn::Linear,
    output: nn::Linear,
}

/// The trunk of a DeepONet sees the places, and no sample.
#[test]
fn a_trunk_without_samples_has_its_exact_block() {
    let layer = |widths: &[usize]| Deep::new(widths, true).layers.remove(0);
    let model = Operator { branch: layer(&[4, 5]), trunk: layer(&[2, 5]), output: layer(&[6, 3]) };
    let batch = batch([4, 1, 4]);
    let objective = capture(&model, batch, |model: &Operator, x| {
        let places = random::<2>([6, 2], 9).into_data();
        let places = Tensor::<2>::from_data(places, &x.device());
        let branch = tanh(model.branch.forward(x.squeeze_dim::<2>(1)));
        let trunk = tanh(model.trunk.forward(places));
        model.output.forward(branch.matmul(trunk.transpose()))
    });
    for fisher in ALL {
        for parameter in ["trunk.weight", "trunk.bias"] {
            let error = block_error(&objective, CLASSES, fisher, parameter);
            assert!(error < 1e-12, "{fisher:?} {parameter}: {error}");
        }
        let config = config(fisher, KfacApproximation::Expand);
        let coverage = config.init(&objective, CLASSES).unwrap().coverage().clone();
        assert!(matches!(coverage.of("branch.weight"), Some(Treatment::Kronecker { .. })));
    }
}

/// z = 0·x + c·w with w = 3, y = (2, 4): gradients 1 and −1, so Σ g² = 2.
#[test]
fn a_constant_input_does_not_cancel_samples() {
    let column = |values: [[f32; 1]; 2]| Tensor::<2>::from_floats(values, &device());
    let c = Tensor::<2>::ones([1, 1], &device());
    let batch = (column([[1.0], [1.0]]), c, column([[2.0], [4.0]]));
    for product in [true, false] {
        let objective = Objective::<B>::capture_with(
            &CaptureConfig::new(),
            &one_weight(3.0),
            batch.clone(),
            move |model: &One, (x, c, y): (Tensor<2>, Tensor<2>, Tensor<2>)| {
                let w = model.w.val();
                let z = x * 0.0 + if product { c.matmul(w) } else { c * w };
                (z.clone(), (z - y).powf_scalar(2.0).sum() * 0.5)
            },
        );
        let objective = objective.unwrap().in_f64().unwrap();
        let objective = objective.reduced_by(Reduction::Sum).unwrap();
        let config = KfacConfig::new().with_fisher(KfacFisher::Empirical);
        let v = objective.parameters().space().ones();
        let kfac = config.init(&objective, GAUSSIAN).unwrap();
        assert!((kfac.apply(&v).unwrap().to_vec().unwrap()[0] - 2.0).abs() < 1e-12);
        let ekfac = config.init_ekfac(&objective, GAUSSIAN).unwrap();
        assert!((ekfac.apply(&v).unwrap().to_vec().unwrap()[0] - 2.0).abs() < 1e-12);
    }
}

/// A table that serves all samples shows in no batch of one sample.
#[test]
fn a_first_batch_of_one_sample_cannot_show_what_is_shared() {
    let model = Positioned::new(5, 8);
    let whole = batch([4, 5, 8]);
    let objective =
        capture(&model, one(&whole, 0), |model: &Positioned, x| model.forward(x, false));
    let rest = (whole.0.clone().narrow(0, 1, 3), whole.1.clone().narrow(0, 1, 3));
    let risk = objective.over([one(&whole, 0), rest], Reduction::Mean).unwrap();
    let made = config(KfacFisher::Empirical, KfacApproximation::Expand).init(&risk, CLASSES);
    let error = made.unwrap_err();
    let expected = KfacError::OtherNetwork { parameter: "positions.weight".into() };
    assert_eq!(error.downcast_ref(), Some(&expected));
}

#[derive(Module, Debug)]
struct Windowed {
    table: Param<Tensor<2>>,
    values: nn::Linear,
    output: nn::Linear,
}

/// A table of relative positions, moved and added to the scores of every sample: no product for each of its elements.
#[test]
fn a_table_that_is_moved_before_it_serves_all_samples_takes_no_pass_of_its_own() {
    let layer = |widths: &[usize]| Deep::new(widths, true).layers.remove(0);
    let model =
        Windowed { table: weight([9, 2], 4), values: layer(&[4, 4]), output: layer(&[4, 3]) };
    let objective = capture(&model, batch([4, 5, 4]), |model: &Windowed, x| {
        let relative: Vec<i64> = (0..25).map(|at| at / 5 - at % 5 + 4).collect();
        let indices = Tensor::<1, Int>::from_data(TensorData::new(relative, [25]), &x.device());
        let table: Tensor<3> = model.table.val().select(0, indices).reshape([5, 5, 2]);
        let table = table.permute([2, 0, 1]).unsqueeze::<4>();
        let heads = x.clone().reshape([4, 5, 2, 2]).swap_dims(1, 2);
        let scores = heads.clone().matmul(heads.swap_dims(2, 3)) + table;
        let values = model.values.forward(x).reshape([4, 5, 2, 2]).swap_dims(1, 2);
        let mixed = softmax(scores, 3).matmul(values).swap_dims(1, 2).reshape([4, 5, 4]);
        model.output.forward(mixed.mean_dim(1).squeeze_dim(1))
    });
    for fisher in ALL {
        let error = block_error(&objective, CLASSES, fisher, "table");
        assert!(error < 1e-12, "{fisher:?}: {error}");
        assert!(passes(&objective, fisher) <= 2, "{fisher:?}");
    }
}

/// Passes over the batch that K-FAC takes.
fn passes(objective: &Objective<B>, fisher: KfacFisher) -> usize {
    let count = Arc::new(AtomicUsize::new(0));
    let own = Arc::clone(&count);
    let watched = objective.with_progress(move |_| {
        own.fetch_add(1, Ordering::Relaxed);
    });
    config(fisher, KfacApproximation::Expand).init(&watched, CLASSES).unwrap();
    count.load(Ordering::Relaxed)
}
