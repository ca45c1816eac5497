//! Saving, loading, averaging, and what is refused.

use burn_curvature::{
    CaptureConfig, Fisher, Kfac, KfacConfig, Likelihood, LinearOperator, Objective, ParamSpace,
    Reduction,
    errors::{KfacError, LikelihoodError, ObjectiveError, OperatorError},
    kfac::{KfacFisher, KfacState, UncoveredPolicy},
};

use super::{
    super::{B, Classifier, classifier, cross_entropy, relative_error, samples, without_draws},
    Deep, GAUSSIAN, dense, device, normalized, random, squared,
};

#[test]
fn factors_are_saved_loaded_and_averaged() {
    let objective = classifier(1, 5);
    let (kfac, _) = dense(&objective);
    let saved = serde_json::to_string(&kfac.state().unwrap()).unwrap();
    let state: KfacState = serde_json::from_str(&saved).unwrap();
    let loaded = Kfac::from_state(&objective, &state).unwrap();
    let v = objective.parameters().space().normal(2);
    assert!(relative_error(&loaded.apply(&v).unwrap(), &kfac.apply(&v).unwrap()) < 1e-14);
    assert_eq!(loaded.coverage(), kfac.coverage());

    let (other, _) = dense(&objective.on(samples(9, 6, &device())).unwrap());
    let averaged = state.averaged(&other.state().unwrap(), 0.25).unwrap();
    let averaged = Kfac::from_state(&objective, &averaged).unwrap();
    // Traces of the factors are averaged; that of their product is not.
    assert!(relative_error(&averaged.apply(&v).unwrap(), &other.apply(&v).unwrap()) > 1e-3);
    let kept = state.averaged(&other.state().unwrap(), 1.0).unwrap();
    assert_eq!(kept, state);
    assert_eq!(state.averaged(&other.state().unwrap(), 0.0).unwrap(), other.state().unwrap());
    assert!(state.averaged(&other.state().unwrap(), 1.5).is_err());

    let model = Deep::new(&[3, 2], false);
    let foreign = squared(&model, random([5, 3], 1), Reduction::Mean, |model, x| model.forward(x));
    assert_eq!(
        Kfac::from_state(&foreign, &state).unwrap_err().downcast_ref(),
        Some(&KfacError::State)
    );
}

#[test]
fn what_is_no_layer_has_its_exact_block_or_is_refused() {
    let objective = normalized(5, Reduction::Mean);
    let kfac = without_draws().init(&objective, GAUSSIAN).unwrap();
    let exact = Fisher::exact(&objective, GAUSSIAN).unwrap();
    for name in ["norm.gamma", "norm.beta"] {
        let subset = objective.layout().select(name).unwrap();
        let v = ParamSpace::new(subset.layout(), &Default::default(), objective.precision())
            .unwrap()
            .normal(3);
        let v = subset.embed(&v).unwrap();
        let found = subset.restrict(&kfac.apply(&v).unwrap()).unwrap();
        let truth = subset.restrict(&exact.apply(&v).unwrap()).unwrap();
        assert!(relative_error(&found, &truth) < 1e-12, "{name}");
    }
    for policy in [UncoveredPolicy::Refuse, UncoveredPolicy::ExactBlock { limit: 3 }] {
        let config = without_draws().with_uncovered(policy);
        let error = config.init(&objective, GAUSSIAN).unwrap_err();
        assert!(error.to_string().contains("norm.gamma"), "{error}");
    }
}

#[test]
fn bad_settings_are_refused() {
    let objective = classifier(1, 4);
    let none = KfacConfig::new().with_fisher(KfacFisher::MonteCarlo { draws: 0, seed: 1 });
    let error = none.init(&objective, Likelihood::Categorical).unwrap_err();
    assert_eq!(error.downcast_ref(), Some(&LikelihoodError::NoDraws));
    let (kfac, _) = dense(&objective);
    for damping in [-1.0, f64::NAN, f64::INFINITY] {
        assert!(matches!(
            kfac.inverse(damping).unwrap_err().downcast_ref(),
            Some(OperatorError::Damping { .. })
        ));
        assert!(kfac.factored_inverse(damping).is_err());
    }
    // The closure has the mean of its samples.
    let other = Objective::<B>::capture_with(
        &CaptureConfig::new(),
        &Classifier::new(1, &device()),
        samples(3, 1, &device()),
        cross_entropy,
    )
    .unwrap();
    let wrong = other.reduced_by(Reduction::Sum);
    assert!(matches!(wrong.unwrap_err().downcast_ref(), Some(ObjectiveError::NotReducedSo { .. })));
    let wrong = other.parameters().space().ones();
    assert!(kfac.apply(&wrong).is_err()); // f32 against f64
}
