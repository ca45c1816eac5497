//! What Gauss-Newton and Fisher operators refuse, and how they say so.

use burn::prelude::*;
use burn_curvature::{
    Adjoint, CaptureConfig, Captured, EmpiricalFisher, Error, Fisher, GaussNewton, Jacobian,
    KfacConfig, KfacOptimizerConfig, Likelihood, LinearOperator, Objective, Reduction,
    errors::{DeriveError, LikelihoodError, ObjectiveError, VectorError},
};

use crate::{B, Classifier, Samples, classifier, cross_entropy, samples};

fn traced<O: Captured + 'static>(
    loss: impl Fn(&Classifier, Samples) -> O + Send + 'static,
) -> Objective<B> {
    let device = Device::flex().autodiff();
    let model = Classifier::new(1, &device);
    let batch = samples(4, 1, &device);
    Objective::capture_with(&CaptureConfig::new(), &model, batch, loss).unwrap()
}

#[test]
fn a_closure_without_outputs_is_refused() {
    let objective = traced(|model, (x, _)| model.forward(x).powf_scalar(2.0).sum());
    let errors = [
        GaussNewton::new(&objective).unwrap_err(),
        Jacobian::new(&objective).unwrap_err(),
        objective.outputs().unwrap_err(),
        Fisher::exact(&objective, Likelihood::Categorical).unwrap_err(),
    ];
    for error in errors {
        assert_eq!(error.downcast_ref(), Some(&DeriveError::NoOutputs));
        assert!(error.to_string().contains("(outputs, loss)"), "{error}");
    }
    assert!(objective.gradient().is_ok());
}

#[test]
fn weight_decay_inside_the_loss_is_refused_by_name() {
    let objective = traced(|model: &Classifier, (x, _)| {
        let z = model.forward(x);
        let decay = model.hidden_weight().powf_scalar(2.0).sum();
        (z.clone(), z.powf_scalar(2.0).sum() + decay * 0.5)
    });
    let error = GaussNewton::new(&objective).unwrap_err();
    assert_eq!(
        error.downcast_ref(),
        Some(&ObjectiveError::Bypass { parameters: vec!["hidden.weight".into()] })
    );
    assert!(error.to_string().contains("with_weight_decay"), "{error}");
}

#[test]
fn outputs_that_the_loss_does_not_read_are_refused() {
    let objective = traced(|model: &Classifier, (x, _)| {
        let z = model.forward(x);
        (z.clone().exp(), z.powf_scalar(2.0).sum())
    });
    let error = GaussNewton::new(&objective).unwrap_err();
    assert_eq!(error.downcast_ref(), Some(&DeriveError::UnusedOutputs));
}

#[test]
fn a_likelihood_that_does_not_fit_is_refused() {
    let objective = classifier(1, 4);
    for variance in [0.0, -1.0, 1e-310, f64::NAN, f64::INFINITY] {
        let likelihood = Likelihood::Gaussian { variance };
        let error = Fisher::exact(&objective, likelihood).unwrap_err();
        assert!(matches!(error.downcast_ref(), Some(LikelihoodError::Unfit { .. })), "{error}");
    }
    let flat = traced(|model: &Classifier, (x, _)| {
        let z: Tensor<1> = model.forward(x).flatten(0, 1);
        (z.clone(), z.powf_scalar(2.0).sum())
    });
    let error = Fisher::exact(&flat, Likelihood::Categorical).unwrap_err();
    assert!(error.to_string().contains("classes"), "{error}");
    let error = Fisher::monte_carlo(&objective, Likelihood::Categorical, 0, 1).unwrap_err();
    assert_eq!(error.downcast_ref(), Some(&LikelihoodError::NoDraws));
}

#[test]
fn vectors_of_the_wrong_space_or_precision_are_refused() {
    let objective = classifier(1, 4);
    let jacobian = Jacobian::new(&objective).unwrap();
    let (theta, z) = (objective.parameters(), objective.outputs().unwrap());
    let mismatch =
        |error: Error| matches!(error.downcast_ref(), Some(VectorError::LayoutMismatch { .. }));
    assert!(mismatch(jacobian.apply(&z).unwrap_err()));
    assert!(mismatch(jacobian.apply_adjoint(theta).unwrap_err()));
    assert!(mismatch(GaussNewton::new(&objective).unwrap().apply(&z).unwrap_err()));
    let single = z.cast(burn_curvature::Precision::F32).unwrap();
    let error = jacobian.apply_adjoint(&single).unwrap_err();
    assert!(matches!(error.downcast_ref(), Some(VectorError::PrecisionMismatch { .. })), "{error}");
}

#[test]
fn another_reduction_than_the_closure_s_is_refused() {
    let objective = traced(cross_entropy);
    let error = objective.reduced_by(Reduction::Sum).unwrap_err();
    assert!(matches!(error.downcast_ref(), Some(ObjectiveError::NotReducedSo { .. })), "{error}");
    let mean = objective.reduced_by(Reduction::Mean).unwrap();
    assert_eq!(mean.reduction(), Some(Reduction::Mean));
    assert!(EmpiricalFisher::new(&mean).is_ok());
    // It belongs to the closure, and so to other batches and parameters.
    let batch = samples(3, 2, &Device::flex().autodiff());
    assert_eq!(mean.on(batch).unwrap().reduction(), Some(Reduction::Mean));
    assert_eq!(mean.at(mean.parameters()).unwrap().reduction(), Some(Reduction::Mean));
    let error = mean.reduced_by(Reduction::Sum).unwrap_err();
    let (expected, found) = (Reduction::Mean, Reduction::Sum);
    assert_eq!(error.downcast_ref(), Some(&ObjectiveError::OtherReduction { expected, found }));
    // Half a batch does not fit this closure: the caller's word is taken.
    let fixed = traced(|model: &Classifier, (x, _)| {
        let z = model.forward(x).reshape([4, 3]);
        (z.clone(), z.powf_scalar(2.0).sum())
    });
    assert!(EmpiricalFisher::new(&fixed.reduced_by(Reduction::Sum).unwrap()).is_ok());
}

#[test]
fn a_reduction_that_was_not_stated_is_asked_for() {
    let objective = traced(cross_entropy);
    let likelihood = Likelihood::Categorical;
    let errors = [
        Fisher::exact(&objective, likelihood).unwrap_err(),
        Fisher::monte_carlo(&objective, likelihood, 1, 0).unwrap_err(),
        EmpiricalFisher::new(&objective).unwrap_err(),
        KfacConfig::new().init(&objective, likelihood).unwrap_err(),
        KfacOptimizerConfig::new().init(&objective, likelihood).unwrap_err(),
    ];
    for error in errors {
        assert_eq!(error.downcast_ref(), Some(&ObjectiveError::NoReduction));
        assert!(error.to_string().contains("reduced_by(Reduction::Mean)"), "{error}");
    }
    assert!(GaussNewton::new(&objective).is_ok());
}

#[test]
fn burn_s_own_reduction_is_accepted() {
    use burn::nn::loss::Reduction as Burn;
    let objective = traced(cross_entropy);
    for mean in [Burn::Mean, Burn::BatchMean, Burn::Auto] {
        assert_eq!(objective.reduced_by(mean).unwrap().reduction(), Some(Reduction::Mean));
    }
    assert!(objective.reduced_by(Burn::Sum).is_err());
    let batches = [4, 2].map(|count| samples(count, 1, &Device::flex().autodiff()));
    assert_eq!(objective.over(batches, Burn::Mean).unwrap().reduction(), Some(Reduction::Mean));
}
