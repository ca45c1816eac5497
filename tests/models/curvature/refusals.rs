//! What Gauss-Newton and Fisher operators refuse, and how they say so.

use burn::prelude::*;
use burn_curvature::{
    Adjoint, CaptureConfig, DeriveError, EmpiricalFisher, Error, Fisher, GaussNewton, Jacobian,
    Likelihood, LinearOperator, Objective, ObjectiveError, OperatorError, Reduction, Traced,
    VectorError,
};

use crate::{B, Classifier, Samples, classifier, samples};

fn traced<O: Traced + 'static>(
    loss: impl Fn(&Classifier, Samples) -> O + Send + 'static,
) -> Objective<B> {
    let device = Device::flex().autodiff();
    let model = Classifier::new(1, &device);
    let batch = samples(4, 1, &device);
    Objective::trace_with(&CaptureConfig::new(), &model, batch, loss).unwrap()
}

#[test]
fn a_closure_without_outputs_is_refused() {
    let objective = traced(|model, (x, _)| model.forward(x).powf_scalar(2.0).sum());
    let errors = [
        GaussNewton::new(&objective).unwrap_err(),
        Jacobian::new(&objective).unwrap_err(),
        objective.outputs().unwrap_err(),
        Fisher::exact(&objective, Likelihood::Categorical, Reduction::Mean).unwrap_err(),
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
        Some(&ObjectiveError::BesideOutputs { parameters: vec!["hidden.weight".into()] })
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
        let error = Fisher::exact(&objective, likelihood, Reduction::Mean).unwrap_err();
        assert!(matches!(error.downcast_ref(), Some(OperatorError::Likelihood { .. })), "{error}");
    }
    let flat = traced(|model: &Classifier, (x, _)| {
        let z: Tensor<1> = model.forward(x).flatten(0, 1);
        (z.clone(), z.powf_scalar(2.0).sum())
    });
    let error = Fisher::exact(&flat, Likelihood::Categorical, Reduction::Mean).unwrap_err();
    assert!(error.to_string().contains("classes"), "{error}");
    let error = Fisher::monte_carlo(&objective, Likelihood::Categorical, Reduction::Mean, 0, 1)
        .unwrap_err();
    assert_eq!(error.downcast_ref(), Some(&OperatorError::NoDraws));
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
fn an_empirical_fisher_matrix_of_another_reduction_than_the_closure_s_is_refused() {
    let objective = classifier(1, 4);
    let error = EmpiricalFisher::new(&objective, Reduction::Sum).unwrap_err();
    assert!(matches!(error.downcast_ref(), Some(ObjectiveError::NotReducedSo { .. })), "{error}");
    assert!(EmpiricalFisher::new(&objective, Reduction::Mean).is_ok());
    // Half a batch does not fit this closure: the caller's word is taken.
    let fixed = traced(|model: &Classifier, (x, _)| {
        let z = model.forward(x).reshape([4, 3]);
        (z.clone(), z.powf_scalar(2.0).sum())
    });
    assert!(EmpiricalFisher::new(&fixed, Reduction::Sum).is_ok());
}
