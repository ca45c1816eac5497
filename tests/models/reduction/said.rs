//! Losses that say what they are made of: the laws of data sets, and weights that no mean has.

use burn::prelude::*;
use burn_curvature::{
    EmpiricalFisher, Error, GaussNewton, Hessian, LinearOperator, Loss, Objective, Precision,
    Reduction,
    errors::{CaptureError, ObjectiveError},
};

use super::{
    Labels, Slope, THETA, at, close, device, labels, logits, padded_and_said, slope, weighted,
};

#[test]
fn a_said_loss_over_a_data_set_is_that_of_one_batch() {
    let all = [0, 1, 1, 2, 2, 2, 0, 1, 2, 1, 0];
    let whole = labels(all);
    let objective = Objective::capture(&logits(THETA), whole.clone(), padded_and_said).unwrap();
    let objective = at(&objective, &THETA);
    let v = objective.parameters().space().normal(3);
    let figures = |risk: &Objective| {
        let at = risk.value_and_gradient().unwrap();
        vec![
            at.gradient.space().full(at.value),
            at.gradient,
            Hessian::new(risk).unwrap().apply(&v).unwrap(),
            GaussNewton::new(risk).unwrap().apply(&v).unwrap(),
            EmpiricalFisher::new(risk).unwrap().apply(&v).unwrap(),
        ]
    };
    let expected = figures(&objective);
    for size in [1, 2, 3, 4, 11] {
        let batches: Vec<Labels> = (0..all.len())
            .step_by(size)
            .map(|from| whole.clone().narrow(0, from, size.min(all.len() - from)))
            .collect();
        let held = objective.over(batches.clone(), Reduction::Mean).unwrap();
        let stream = objective.over_stream(Reduction::Mean, move |visit| {
            batches.clone().into_iter().try_for_each(visit)
        });
        for risk in [held, stream.unwrap()] {
            for (found, expected) in figures(&risk).iter().zip(&expected) {
                let error = found.clone().sub(expected).unwrap().norm().unwrap();
                assert!(error < 1e-12, "batches of {size}: {error}");
            }
        }
    }
}

#[test]
fn weights_that_no_mean_has_are_refused() {
    let objective = Objective::capture(&logits(THETA), labels([0, 2]), padded_and_said).unwrap();
    let none = labels([2, 2, 2]);
    let no_weight = |error: Error| {
        assert_eq!(error.downcast_ref(), Some(&ObjectiveError::NoWeight), "{error}");
    };
    no_weight(objective.on(none.clone()).unwrap_err());
    no_weight(objective.over([none.clone(), none.clone()], Reduction::Mean).unwrap_err());
    no_weight(Objective::capture(&logits(THETA), none.clone(), padded_and_said).unwrap_err());
    let some = objective.over([labels([0, 1, 1]), none], Reduction::Mean).unwrap();
    let alone = objective.on(labels([0, 1, 1])).unwrap();
    assert_eq!(some.value().unwrap(), alone.value().unwrap());
    let error = objective.over([labels([0, 1])], Reduction::Sum).unwrap_err();
    assert!(matches!(error.downcast_ref(), Some(ObjectiveError::OtherReduction { .. })), "{error}");
    let of_parameters =
        Objective::capture(&slope(2.0), Tensor::<2>::ones([3, 1], &device()), |model, x| {
            let z = (x * model.w.val()).squeeze_dim::<1>(1);
            Loss::weighted(z.clone().sum(), z.sum().exp())
        });
    let error = of_parameters.unwrap_err();
    assert_eq!(error.downcast_ref(), Some(&CaptureError::WeightDependsOnParameters), "{error}");
    let negative =
        Objective::capture(&slope(2.0), Tensor::<2>::ones([3, 1], &device()), |model, x| {
            Loss::weighted((x.clone() * model.w.val()).sum(), -x.sum())
        });
    let error = negative.unwrap_err();
    assert!(matches!(error.downcast_ref(), Some(ObjectiveError::Weight { .. })), "{error}");
    let samples =
        Objective::capture(&slope(2.0), Tensor::<2>::ones([3, 1], &device()), |model, x| {
            (x * model.w.val()).squeeze_dim::<1>(1)
        });
    let message = samples.unwrap_err().to_string();
    assert!(message.contains("Loss::mean_of"), "{message}");
}

#[test]
fn losses_of_samples_say_their_reduction() {
    let x = Tensor::<2>::from_floats([[1.0], [2.0], [4.0]], &device());
    let batches = [x.clone().narrow(0, 0, 2), x.clone().narrow(0, 2, 1)];
    let losses =
        |model: &Slope, x: Tensor<2>| (x * model.w.val()).powf_scalar(2.0).squeeze_dim::<1>(1);
    let mean = Objective::capture(&slope(2.0), x.clone(), move |m, x| Loss::mean_of(losses(m, x)));
    let mean = mean.unwrap();
    assert_eq!((mean.reduction(), mean.value().unwrap()), (Some(Reduction::Mean), 28.0));
    assert_eq!(mean.over(batches.clone(), Reduction::Mean).unwrap().value().unwrap(), 28.0);
    assert!(mean.over(batches.clone(), Reduction::Sum).is_err());
    assert_eq!(mean.on(batches[0].clone()).unwrap().value().unwrap(), 10.0);
    let sum = Objective::capture(&slope(2.0), x, move |m, x| Loss::sum_of(losses(m, x))).unwrap();
    assert_eq!((sum.reduction(), sum.value().unwrap()), (Some(Reduction::Sum), 84.0));
    assert_eq!(sum.over(batches.clone(), Reduction::Sum).unwrap().value().unwrap(), 84.0);
    assert!(sum.over(batches, Reduction::Mean).is_err());
}

/// What a loss is divided by is summed in the precision that it is computed in, of batches that are held and streamed.
#[test]
fn weights_are_added_in_the_precision_of_the_objective() {
    let shares = [0.1_f32, 0.7, 0.3, 1e-3, 0.9, 0.2, 0.6];
    let classes = [0, 1, 1, 2, 0, 2, 1];
    let batch = |range: std::ops::Range<usize>| {
        let shares = Tensor::<1>::from_floats(&shares[range.clone()], &device());
        (Tensor::from_ints(&classes[range], &device()), shares)
    };
    let objective =
        Objective::capture(&logits(THETA), batch(0..7), |model, (labels, shares): (Labels, _)| {
            weighted(model.forward(labels.dims()[0]), labels, shares)
        });
    let objective = objective.unwrap();
    let pairs = || shares.iter().map(|&share| f64::from(share)).zip(classes);
    let losses = pairs().map(|(share, class)| share * [8.0, 4.0, 1.6_f64][class as usize].ln());
    let expected = losses.sum::<f64>() / pairs().map(|(share, _)| share).sum::<f64>();
    let batches = vec![batch(0..3), batch(3..7)];
    let held = objective.over(batches.clone(), Reduction::Mean).unwrap();
    let streamed = objective
        .over_stream(Reduction::Mean, move |visit| batches.clone().into_iter().try_for_each(visit));
    let streamed = streamed.unwrap();
    for risk in [&objective, &held, &streamed] {
        assert!((risk.value().unwrap() / expected - 1.0).abs() < 1e-6);
        close(at(risk, &THETA).value().unwrap(), expected);
        let there_and_back = risk.in_f64().unwrap().in_precision(Precision::F32).unwrap();
        assert!((there_and_back.value().unwrap() / risk.value().unwrap() - 1.0).abs() < 1e-14);
    }
}
