//! Data sets that are refused, and what is said.

use std::sync::atomic::{AtomicUsize, Ordering};

use burn::prelude::*;
use burn_curvature::{CaptureConfig, Objective, Reduction, errors::ObjectiveError};

use super::data::{batches, captured};
use crate::{B, Classifier, Samples, relative_error, samples};

#[test]
fn an_empty_data_set_is_refused() {
    let none: Vec<Samples> = Vec::new();
    let error = captured(Reduction::Mean).over(none, Reduction::Mean).unwrap_err();
    assert_eq!(error.downcast_ref(), Some(&ObjectiveError::NoBatches));
    let stream = captured(Reduction::Mean)
        .over_stream(Reduction::Mean, |_: &mut dyn FnMut(Samples) -> _| Ok(()));
    assert_eq!(stream.unwrap_err().downcast_ref(), Some(&ObjectiveError::NoBatches));
}

#[test]
fn a_wrong_reduction_is_refused() {
    let error = captured(Reduction::Mean).over(batches(4), Reduction::Sum).unwrap_err();
    assert!(error.to_string().contains("is not the sum over"), "{error}");
    let error = captured(Reduction::Sum).over(batches(4), Reduction::Mean).unwrap_err();
    assert!(error.to_string().contains("is not the mean over"), "{error}");
    let risk = captured(Reduction::Mean).over(batches(4), Reduction::Mean).unwrap();
    let error = risk.reduced_by(Reduction::Sum).unwrap_err();
    let (expected, found) = (Reduction::Mean, Reduction::Sum);
    assert_eq!(error.downcast_ref(), Some(&ObjectiveError::OtherReduction { expected, found }));
}

#[test]
fn a_stream_that_changes_or_fails_is_refused() {
    let calls = AtomicUsize::new(0);
    let objective = captured(Reduction::Mean);
    let shrinking = objective.over_stream(Reduction::Mean, move |visit| {
        let lost = calls.fetch_add(1, Ordering::Relaxed);
        batches(4).into_iter().take(3 - lost).try_for_each(visit)
    });
    let error = shrinking.unwrap().value().unwrap_err().to_string();
    assert!(error.contains("3 batches") && error.contains("2 batches"), "{error}");
    let failing = objective.over_stream(Reduction::Mean, |visit: &mut dyn FnMut(Samples) -> _| {
        visit(batches(4).swap_remove(0))?;
        Err(ObjectiveError::data("the file is truncated"))
    });
    let error = failing.unwrap_err().to_string();
    assert!(error.contains("the file is truncated"), "{error}");
}

#[test]
fn a_wrong_reduction_is_refused_behind_a_batch_of_one_sample() {
    let ragged = || {
        let mut ragged = batches(3);
        ragged.reverse();
        ragged
    };
    let objective = captured(Reduction::Mean);
    assert_eq!(ragged()[0].0.dims(), [1, 4]);
    let error = objective.over(ragged(), Reduction::Sum).unwrap_err();
    assert!(error.to_string().contains("is not the sum over"), "{error}");
    let stream = objective
        .over_stream(Reduction::Sum, move |visit| ragged().into_iter().try_for_each(visit));
    let error = stream.unwrap_err();
    assert!(error.to_string().contains("is not the sum over"), "{error}");
}

/// What was prepared for the batches of the first pass must not meet those of another order.
#[test]
fn a_stream_that_reorders_batches_of_other_sizes_is_refused() {
    let passes = AtomicUsize::new(0);
    let stream = captured(Reduction::Mean).over_stream(Reduction::Mean, move |visit| {
        let mut batches = batches(4);
        if passes.fetch_add(1, Ordering::Relaxed) % 2 == 1 {
            batches.reverse();
        }
        batches.into_iter().try_for_each(visit)
    });
    let error = stream.unwrap().value().unwrap_err();
    assert!(matches!(error.downcast_ref(), Some(ObjectiveError::StreamChanged { .. })), "{error}");
    assert!(error.to_string().contains("batch 0"), "{error}");
}

/// A loader that shuffles gives batches of the same sizes with other samples.
#[test]
fn a_stream_that_shuffles_samples_is_refused() {
    type Change = fn(Samples) -> Samples;
    let cases: [(Change, bool); 4] = [
        (|batch| batch, true),
        (|(x, y)| (x * (1.0 + 1e-6), y), true),
        (|(x, y)| (x.flip([0]), y), false),
        (|(x, y)| (x, y.flip([0])), false),
    ];
    for (case, (change, is_accepted)) in cases.into_iter().enumerate() {
        for changed_from in [1, 3] {
            let passes = AtomicUsize::new(0);
            let stream = captured(Reduction::Mean).over_stream(Reduction::Mean, move |visit| {
                let is_changed = passes.fetch_add(1, Ordering::Relaxed) > changed_from;
                let batches = batches(5).into_iter();
                batches.map(|it| if is_changed { change(it) } else { it }).try_for_each(visit)
            });
            let stream = stream.unwrap();
            let found: Vec<_> = (0..4).map(|_| stream.value()).collect();
            match found.into_iter().find_map(Result::err) {
                None => assert!(is_accepted, "case {case}"),
                Some(error) => {
                    assert!(!is_accepted, "case {case}: {error}");
                    let kind = error.downcast_ref();
                    let changed = matches!(kind, Some(ObjectiveError::StreamChanged { .. }));
                    assert!(changed && error.to_string().contains("elements"), "{error}");
                }
            }
        }
    }
}

/// A column of large numbers that hardly differ, such as times, hides no other column.
#[test]
fn a_stream_that_shuffles_samples_beside_large_numbers_is_refused() {
    let passes = AtomicUsize::new(0);
    let stream = captured(Reduction::Mean).over_stream(Reduction::Mean, move |visit| {
        let is_changed = passes.fetch_add(1, Ordering::Relaxed) > 1;
        let times = |x: &Tensor<2>| Tensor::from_floats([[1e4, 0.0, 0.0, 0.0]], &x.device());
        let batches = batches(5).into_iter().map(|(x, y)| {
            let x = x.clone() + times(&x);
            (if is_changed { x.flip([0]) } else { x }, y)
        });
        batches.into_iter().try_for_each(visit)
    });
    let stream = stream.unwrap();
    stream.value().unwrap();
    let error = stream.value().unwrap_err();
    assert!(matches!(error.downcast_ref(), Some(ObjectiveError::StreamChanged { .. })), "{error}");
}

#[test]
fn samples_are_found_behind_a_first_tensor_that_does_not_count_them() {
    let device = Device::flex().autodiff();
    let model = Classifier::new(8, &device);
    let (x, weights) = (samples(7, 1, &device).0, Tensor::<1>::ones([3], &device));
    let batch = |range: std::ops::Range<usize>| (weights.clone(), x.clone().slice([range]));
    let loss = |model: &Classifier, (weights, x): (Tensor<1>, Tensor<2>)| {
        (model.forward(x) * weights.unsqueeze::<2>()).powf_scalar(2.0).mean()
    };
    let objective: Objective<B> =
        Objective::capture_with(&CaptureConfig::new(), &model, batch(0..7), loss).unwrap();
    let objective = objective.in_f64().unwrap();
    let risk = objective.over([batch(0..5), batch(5..7)], Reduction::Mean).unwrap();
    let (found, expected) = (risk.gradient().unwrap(), objective.gradient().unwrap());
    assert!(relative_error(&found, &expected) < 1e-12);
}

#[test]
fn a_closure_that_takes_one_number_of_samples_only_is_named() {
    let device = Device::flex().autodiff();
    let model = Classifier::new(8, &device);
    let x = samples(5, 1, &device).0;
    let loss = |model: &Classifier, x: Tensor<2>| model.forward(x).reshape([5, 3]).mean();
    let objective: Objective<B> =
        Objective::capture_with(&CaptureConfig::new(), &model, x.clone(), loss).unwrap();
    let error = objective.over([x.clone(), x], Reduction::Mean).unwrap_err();
    assert!(
        matches!(error.downcast_ref(), Some(ObjectiveError::Halved { samples: 5, .. })),
        "{error}"
    );
}

/// Time first: `[steps, samples, features]`, which only the batch itself can count.
#[derive(Clone)]
struct Sequences(Tensor<3>);

impl burn_curvature::Batch for Sequences {
    fn map_tensors<M: burn_curvature::BatchMapper>(self, mapper: &mut M) -> Self {
        Self(self.0.map_tensors(mapper))
    }

    fn samples(&self) -> Option<usize> {
        Some(self.0.dims()[1])
    }
}

#[test]
fn a_batch_may_count_its_samples_itself() {
    let device = Device::flex().autodiff();
    let model = Classifier::new(8, &device);
    let whole = samples(12, 3, &device).0.reshape([2, 6, 4]);
    let loss = |model: &Classifier, batch: Sequences| {
        let [steps, samples, features] = batch.0.dims();
        let z = model.forward(batch.0.reshape([steps * samples, features]));
        z.powf_scalar(2.0).sum() / (samples as f64)
    };
    let objective =
        Objective::<B>::capture_with(&CaptureConfig::new(), &model, Sequences(whole.clone()), loss);
    let objective = objective.unwrap().in_f64().unwrap();
    let parts = [0..4, 4..6].map(|range| Sequences(whole.clone().slice([0..2, range])));
    let risk = objective.over(parts, Reduction::Mean).unwrap();
    let (found, expected) = (risk.gradient().unwrap(), objective.gradient().unwrap());
    assert!(relative_error(&found, &expected) < 1e-12);
}
