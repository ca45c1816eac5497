//! Indices out of range, by whatever operation picks: named before anything runs, on every backend.

use burn::{
    module::Param,
    nn::{Embedding, EmbeddingConfig, Linear, LinearConfig, loss::CrossEntropyLossConfig},
    prelude::*,
    tensor::{IndexingUpdateOp, activation::log_softmax},
};
use burn_curvature::{
    Error, Objective, Reduction,
    errors::{BatchError, ExecuteError},
};

use super::refusal;

type Labeled = (Tensor<2>, Tensor<1, Int>);

type Loss = fn(&(Linear, Embedding), Labeled) -> Tensor<1>;

const CLASSES: usize = 3;

fn model(device: &Device) -> (Linear, Embedding) {
    let mut linear = LinearConfig::new(2, CLASSES).init(device);
    let weight = [[0.5, -1.0, 0.3], [0.2, 0.7, -0.4]];
    linear.weight = Param::from_tensor(Tensor::from_floats(weight, device));
    let mut table = EmbeddingConfig::new(CLASSES, 2).init(device);
    let rows = [[0.5, -0.1], [0.2, 0.3], [-0.3, 0.4]];
    table.weight = Param::from_tensor(Tensor::from_floats(rows, device));
    (linear, table)
}

fn batch<const N: usize>(labels: [i64; N], device: &Device) -> Labeled {
    let rows: Vec<f32> = (0..2 * N).map(|at| (1.7 * at as f32 + 0.3).sin()).collect();
    let x = Tensor::from_data(TensorData::new(rows, [N, 2]), device);
    (x, Tensor::from_ints(labels, device))
}

fn spread(z: Tensor<2>) -> Tensor<1> {
    (z.tanh() + 0.3).square().mean()
}

/// Losses that pick by a label in all ways there are.
fn losses() -> Vec<(&'static str, Loss)> {
    vec![
        ("cross entropy", |(linear, _), (x, y)| {
            let z = linear.forward(x);
            CrossEntropyLossConfig::new().init(&z.device()).forward(z, y)
        }),
        ("cross entropy with smoothed labels and weights", |(linear, _), (x, y)| {
            let z = linear.forward(x);
            let config = CrossEntropyLossConfig::new().with_smoothing(Some(0.1));
            config.with_weights(Some(vec![1.0, 2.0, 0.5])).init(&z.device()).forward(z, y)
        }),
        ("gather", |(linear, _), (x, y)| {
            log_softmax(linear.forward(x), 1).gather(1, y.unsqueeze_dim(1)).mean() * -1.0
        }),
        ("select", |(linear, table), (x, y)| {
            spread(linear.forward(x).matmul(table.weight.val()))
                + spread(table.weight.val().select(0, y))
        }),
        ("scatter", |(linear, _), (x, y)| {
            let z = linear.forward(x);
            let values = z.clone().slice([0..z.dims()[0], 0..1]);
            spread(z.scatter(1, y.unsqueeze_dim(1), values, IndexingUpdateOp::Add))
        }),
        ("select and assign", |(linear, table), (x, y)| {
            let z = linear.forward(x).matmul(table.weight.val());
            spread(table.weight.val().select_assign(0, y, z, IndexingUpdateOp::Add))
        }),
        ("embedding", |(linear, table), (x, y)| {
            spread(linear.forward(x)) + spread(table.forward(y.unsqueeze_dim(1)).squeeze_dim(1))
        }),
        ("one hot", |(linear, _), (x, y)| {
            (linear.forward(x).tanh() - y.one_hot::<2>(CLASSES).float()).square().mean()
        }),
        ("labels that are floats", |(linear, _), (x, y)| {
            let z = linear.forward(x);
            CrossEntropyLossConfig::new()
                .init(&z.device())
                .forward(z, (y.float() * 2.0 / 2.0).int())
        }),
        // Indices that are picked themselves.
        ("labels of neighbors", |(linear, _), (x, y)| {
            let z = linear.forward(x);
            let order = Tensor::<1, Int>::arange(0..y.dims()[0] as i64, &y.device()).flip([0]);
            let y = y.clone().select(0, order);
            CrossEntropyLossConfig::new().init(&z.device()).forward(z.flip([0]), y)
        }),
    ]
}

/// Row, index and number of classes of a refusal.
fn index<T: std::fmt::Debug>(result: Result<T, Error>) -> (usize, i64, usize, Option<usize>) {
    let error: BatchError = refusal(result);
    let BatchError::Index { found, limit, position, batch, .. } = &error else { panic!("{error}") };
    let said = error.to_string();
    for part in [format!("index {found} "), format!("row {} ", position[0]), format!(" {limit} ")] {
        assert!(said.contains(&part), "{said} does not say `{part}`");
    }
    assert_eq!(position.len(), 1, "{said}");
    (position[0], *found, *limit, *batch)
}

fn devices() -> [Device; 2] {
    [Device::flex(), Device::ndarray()].map(Device::autodiff)
}

#[test]
fn labels_out_of_range_are_named_before_anything_runs() {
    for device in devices() {
        for (name, loss) in losses() {
            let model = model(&device);
            let right = batch([0, 2, 1, 1], &device);
            let objective = Objective::capture(&model, right.clone(), loss)
                .unwrap_or_else(|error| panic!("{name}: {error}"));
            // Where labels are turned around, so is the row.
            let row = if name == "labels of neighbors" { 1 } else { 2 };
            let expected = |batch| (row, 3, CLASSES, batch);
            let wrong = batch([0, 1, 3, 2], &device);
            let later = objective.on(wrong.clone());
            assert_eq!(index(later), expected(None), "{name} on {device:?}");
            let other_size = batch([0, 1, 3], &device);
            let found = index(objective.on(other_size));
            assert_eq!((found.1, found.2), (3, CLASSES), "{name} on {device:?}");
            let first = Objective::capture(&model, wrong.clone(), loss);
            assert_eq!(index(first), expected(None), "{name} on {device:?}");
            // Of the batches of a data set, kept and streamed.
            let batches = vec![right.clone(), right.clone(), wrong];
            let kept = objective.over(batches.clone(), Reduction::Mean);
            assert_eq!(index(kept), expected(Some(2)), "{name} on {device:?}");
            let streamed = objective.over_stream(Reduction::Mean, move |visit| {
                batches.iter().cloned().try_for_each(&mut *visit)
            });
            assert_eq!(index(streamed), expected(Some(2)), "{name} on {device:?}");
        }
    }
}

/// Negative labels too, but for `one_hot`, where Burn counts them from the end.
#[test]
fn negative_labels_are_named() {
    for device in devices() {
        for (name, loss) in losses() {
            let objective =
                Objective::capture(&model(&device), batch([0, 2, 1, 1], &device), loss).unwrap();
            let later = objective.on(batch([0, 1, 2, -1], &device));
            if name == "one hot" {
                let last = objective.on(batch([0, 1, 2, 2], &device)).unwrap().value().unwrap();
                assert_eq!(later.unwrap().value().unwrap(), last);
                continue;
            }
            let row = if name == "labels of neighbors" { 0 } else { 3 };
            assert_eq!(index(later), (row, -1, CLASSES, None), "{name} on {device:?}");
        }
    }
}

/// A token of a sentence is named by its row and its place in it, and a pair of indices by its column.
#[test]
fn indices_of_several_dimensions_are_named_by_their_coordinates() {
    for device in devices() {
        let tokens =
            |last: i64| Tensor::<2, Int>::from_ints([[0, 1, 2, 0], [1, 2, 0, last]], &device);
        let (_, table) = model(&device);
        let objective = Objective::capture(&table, tokens(2), |table: &Embedding, tokens| {
            (table.forward(tokens).tanh() + 0.3).square().mean()
        });
        let error: BatchError = refusal(objective.unwrap().on(tokens(7)));
        assert!(error.to_string().contains("position [1, 3] of the batch"), "{error}");

        let pairs =
            |column: i64| Tensor::<2, Int>::from_ints([[0, 1], [2, 0], [1, column]], &device);
        let objective = Objective::capture(&table, pairs(1), |table: &Embedding, pairs| {
            let picked: Tensor<1> = table.weight.val().gather_nd(pairs);
            (picked.tanh() + 0.3).square().mean()
        });
        let error: BatchError = refusal(objective.unwrap().on(pairs(2)));
        let BatchError::Index { found, limit, position, .. } = &error else { panic!("{error}") };
        assert_eq!((*found, *limit, position.as_slice()), (2, 2, &[2][..]), "{error}");
    }
}

/// Truth values that the closure reads are computed from labels only after these were looked at.
#[test]
fn labels_that_decide_a_branch_are_checked_first() {
    let loss = |model: &Linear, (x, y): Labeled| {
        let picked = log_softmax(model.forward(x), 1).gather(1, y.unsqueeze_dim(1));
        if picked.clone().lower_scalar(0.0).all().into_scalar::<bool>() {
            picked.mean() * -1.0
        } else {
            picked.square().mean()
        }
    };
    for device in devices() {
        let (linear, _) = model(&device);
        let objective = Objective::capture(&linear, batch([0, 2], &device), loss).unwrap();
        assert_eq!(index(objective.on(batch([3, 1], &device))), (0, 3, CLASSES, None));
        let first = Objective::capture(&linear, batch([0, -1], &device), loss);
        assert_eq!(index(first), (1, -1, CLASSES, None));
    }
}

/// Labels that follow from the parameters: out of range at other ones, an error that names the operation, and no panic.
#[test]
fn labels_that_the_model_decides_are_refused_where_they_leave_the_range() {
    for device in devices() {
        for (name, loss) in losses().into_iter().filter(|(name, _)| *name != "one hot") {
            let shifted = move |model: &(Linear, Embedding), (x, y): Labeled| {
                let first = model.1.weight.val().slice([0..1, 0..1]).reshape([1]);
                loss(model, (x, y.clone() + first.int().expand(y.dims())))
            };
            let labels = batch([0, 1, 1, 0], &device);
            let objective = Objective::capture(&model(&device), labels, shifted).unwrap();
            let at = |first: f64| {
                let mut theta = objective.parameters().to_vec().unwrap();
                let table = objective.layout().blocks().last().unwrap();
                theta[table.range().start] = first;
                objective.at(&objective.parameters().space().vector(&theta).unwrap()).unwrap()
            };
            at(1.5).value().unwrap();
            for wrong in [2.5, -1.5] {
                let found = [at(wrong).value().map(drop), at(wrong).gradient().map(drop)];
                for found in found {
                    let error = found.unwrap_err();
                    let Some(ExecuteError::Backend { operation, .. }) = error.downcast_ref() else {
                        panic!("{name}: {error}");
                    };
                    assert!(!operation.is_empty());
                }
            }
        }
    }
}
