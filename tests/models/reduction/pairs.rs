//! Losses whose elements are not one for each sample: pairs of samples, and elements of several tensors.

use burn::prelude::*;
use burn_curvature::{Objective, Reduction};

use super::{Slope, device, not_reduced, slope};

type Pair = (Tensor<2>, Tensor<1>);

fn pair(n: usize, m: usize) -> Pair {
    let values = |n: usize| (0..n).map(|i| (1.7 * i as f32 + 0.3).sin()).collect::<Vec<_>>();
    let x = Tensor::<1>::from_floats(values(n).as_slice(), &device()).unsqueeze_dim(1);
    (x, Tensor::from_floats(values(m).as_slice(), &device()))
}

/// Outputs [n, 1] with targets [1, m].
fn across(model: &Slope, (x, y): Pair) -> (Tensor<2>, Tensor<1>) {
    let z = x * model.w.val();
    (z.clone(), (z - y.unsqueeze::<2>()).square().mean())
}

/// Outputs and targets [n, 1].
fn along(model: &Slope, (x, y): Pair) -> (Tensor<2>, Tensor<1>) {
    let z = x * model.w.val();
    (z.clone(), (z - y.unsqueeze_dim::<2>(1)).square().mean())
}

/// Each output is compared with the targets of all samples, as no mean over samples is. With other data of another length than the
/// samples it is one.
#[test]
fn targets_that_are_broadcast_against_the_outputs_are_refused() {
    for n in [2, 4, 5] {
        let objective = Objective::capture(&slope(1.5), pair(n, n), across).unwrap();
        let message = not_reduced(objective.reduced_by(Reduction::Mean));
        assert!(message.contains("every sample meets every other"), "{n}: {message}");
    }
    let objective = Objective::capture(&slope(1.5), pair(4, 3), across).unwrap();
    assert!(objective.reduced_by(Reduction::Mean).is_ok());
    let objective = Objective::capture(&slope(1.5), pair(4, 4), along).unwrap();
    assert!(objective.reduced_by(Reduction::Mean).is_ok());
}

/// A batch of one sample does not show it: a later one is looked at, alone and in a data set.
#[test]
fn pairs_are_refused_after_a_batch_of_one_sample() {
    let one = Objective::capture(&slope(1.5), pair(1, 1), across).unwrap();
    let stated = one.reduced_by(Reduction::Mean).unwrap();
    assert!(stated.on(pair(1, 1)).is_ok());
    let batches = [vec![1, 4], vec![4, 1], vec![1, 1, 1, 4], vec![1, 4, 3]];
    let batches = batches.map(|sizes| sizes.into_iter().map(|n| pair(n, n)).collect::<Vec<_>>());
    let mut messages = vec![not_reduced(stated.on(pair(4, 4)))];
    messages.extend(batches.clone().map(|all| not_reduced(one.over(all, Reduction::Mean))));
    messages.extend(batches.clone().map(|all| {
        let stream =
            move |visit: &mut dyn FnMut(Pair) -> _| all.clone().into_iter().try_for_each(visit);
        not_reduced(one.over_stream(Reduction::Mean, stream))
    }));
    for message in messages {
        assert!(message.contains("every sample meets every other"), "{message}");
    }
    let one = Objective::capture(&slope(1.5), pair(1, 1), along).unwrap();
    let stated = one.reduced_by(Reduction::Mean).unwrap();
    let whole = stated.on(pair(4, 4)).unwrap().value().unwrap();
    assert_eq!(stated.on(pair(1, 1)).unwrap().value().unwrap(), one.value().unwrap());
    for all in batches {
        assert!(one.over(all, Reduction::Mean).is_ok());
    }
    let again = one.over([pair(4, 4)], Reduction::Mean).unwrap().value().unwrap();
    assert!((again - whole).abs() < 1e-6 * whole);
}

/// Residuals inside of a domain and on its boundary: the elements of the loss are not those of one tensor's samples.
#[test]
fn elements_that_two_tensors_add_are_named() {
    type Domain = (Tensor<2>, Tensor<2>);
    let loss = |model: &Slope, (inside, boundary): Domain| {
        let r = Tensor::cat(vec![inside, boundary], 0) * model.w.val();
        (r.clone(), r.square().sum())
    };
    let points = |n: usize| Tensor::<2>::ones([n, 1], &device());
    let objective = Objective::capture(&slope(1.5), (points(7), points(2)), loss).unwrap();
    let message = not_reduced(objective.reduced_by(Reduction::Sum));
    assert!(message.contains("a term has 5 elements for 3 samples and 9 for 7"), "{message}");
}
