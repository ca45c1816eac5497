//! A run that goes on from a saved state is the one that was interrupted, bit by bit.

use burn::tensor::activation::tanh;
use burn_curvature::{
    Ekfac, Kfac, KfacConfig, Likelihood, LinearOperator, Objective, ParamVector, Reduction,
    errors::KfacError,
    kfac::{EkfacState, KfacFisher, KfacState},
};

use super::{
    super::{B, classifier, samples, without_draws},
    Deep, GAUSSIAN, device, random, squared,
};

const LOSS: Likelihood = Likelihood::Categorical;

fn through_json(state: &EkfacState) -> EkfacState {
    serde_json::from_str(&serde_json::to_string(state).unwrap()).unwrap()
}

fn ekfac(objective: &Objective<B>, config: &KfacConfig) -> Ekfac<B> {
    config.init_ekfac(objective, LOSS).unwrap()
}

fn numbers(vector: ParamVector<B>) -> Vec<f64> {
    vector.to_vec().unwrap()
}

#[test]
fn a_state_gives_the_same_products_bit_by_bit() {
    for seed in 0..3 {
        let objective = classifier(seed, 9);
        let v = objective.parameters().space().normal(seed);
        let made = ekfac(&objective, &without_draws());
        let state = through_json(&made.state().unwrap());
        assert_eq!(state, made.state().unwrap());
        let loaded = Ekfac::from_state(&objective, &state).unwrap();
        assert_eq!(numbers(loaded.apply(&v).unwrap()), numbers(made.apply(&v).unwrap()));
        let inverse = |ekfac: &Ekfac<B>| numbers(ekfac.inverse(0.1).unwrap().apply(&v).unwrap());
        assert_eq!(inverse(&loaded), inverse(&made));
        assert_eq!(loaded.coverage(), made.coverage());
        let bytes = made.state().unwrap().to_bytes().unwrap();
        assert_eq!(EkfacState::from_bytes(bytes).unwrap(), state);

        let kfac = without_draws().init(&objective, LOSS).unwrap();
        let saved = serde_json::to_string(&kfac.state().unwrap()).unwrap();
        let state: KfacState = serde_json::from_str(&saved).unwrap();
        assert_eq!(state, kfac.state().unwrap());
        let bytes = kfac.state().unwrap().to_bytes().unwrap();
        assert_eq!(KfacState::from_bytes(bytes).unwrap(), state);
        let factored = |kfac: &Kfac<B>| {
            let inverse = kfac.factored_inverse(0.1).unwrap();
            numbers(inverse.apply(&v).unwrap())
        };
        let loaded = Kfac::from_state(&objective, &state).unwrap();
        assert_eq!(factored(&loaded), factored(&kfac));
    }
}

#[test]
fn a_resumed_run_equals_an_uninterrupted_one() {
    let objective = classifier(1, 8);
    let v = objective.parameters().space().normal(2);
    let batches: Vec<Objective<B>> =
        (0..3).map(|seed| objective.on(samples(8, 70 + seed, &device())).unwrap()).collect();
    for fisher in
        [KfacFisher::Exact, KfacFisher::MonteCarlo { draws: 2, seed: 5 }, KfacFisher::Empirical]
    {
        let config = KfacConfig::new().with_fisher(fisher);
        let step = |ekfac: &Ekfac<B>, batch: &Objective<B>| {
            ekfac.updated(batch, LOSS, &config, 0.9).unwrap()
        };
        let (mut whole, mut resumed) = (ekfac(&objective, &config), ekfac(&objective, &config));
        for batch in &batches {
            whole = step(&whole, batch);
            let saved = through_json(&resumed.state().unwrap());
            resumed = step(&Ekfac::from_state(&objective, &saved).unwrap(), batch);
        }
        let products = [whole, resumed].map(|ekfac| numbers(ekfac.apply(&v).unwrap()));
        assert_eq!(products[0], products[1], "{fisher:?}");
    }
}

#[test]
fn states_of_other_models_or_broken_ones_are_refused() {
    let objective = classifier(1, 8);
    let state = ekfac(&objective, &without_draws()).state().unwrap();
    let model = Deep::new(&[3, 2], true);
    let foreign =
        squared(&model, random([5, 3], 1), Reduction::Mean, |model, x| tanh(model.forward(x)));
    assert_eq!(
        Ekfac::from_state(&foreign, &state).unwrap_err().downcast_ref(),
        Some(&KfacError::State)
    );
    let own = without_draws().init_ekfac(&foreign, GAUSSIAN).unwrap();
    assert!(Ekfac::from_state(&foreign, &own.state().unwrap()).is_ok());
    // A number too few.
    for field in ["a", "g", "diagonal"] {
        let mut broken = serde_json::to_value(&state).unwrap();
        let layer = &mut broken["blocks"][0];
        let text = match field {
            "diagonal" => &mut layer[field],
            _ => &mut layer[field]["vectors"],
        };
        let shorter = text.as_str().unwrap().split_once(' ').unwrap().1.to_string();
        *text = shorter.into();
        let broken: EkfacState = serde_json::from_value(broken).unwrap();
        assert_eq!(
            Ekfac::from_state(&objective, &broken).unwrap_err().downcast_ref(),
            Some(&KfacError::State),
            "{field}"
        );
    }
}

/// Decompositions that fail cannot be brought about by hand; their report can.
#[test]
fn damping_of_failed_decompositions_is_reported() {
    let objective = classifier(1, 8);
    let damping = |ekfac: &Ekfac<B>| -> Vec<(String, [f64; 2])> {
        let layers = ekfac.layers().iter().map(|layer| {
            let damping = [layer.input(), layer.output()].map(|spectrum| spectrum.damped_by);
            (layer.weight().into(), damping)
        });
        layers.collect()
    };
    let made = ekfac(&objective, &without_draws());
    let hidden = ("hidden.weight".into(), [0.0, 0.0]);
    assert_eq!(damping(&made), [hidden.clone(), ("output.weight".into(), [0.0, 0.0])]);
    let mut state = serde_json::to_value(made.state().unwrap()).unwrap();
    state["blocks"][1]["g"]["damped_by"] = 1e-9.into();
    let state: EkfacState = serde_json::from_value(state).unwrap();
    let ekfac = Ekfac::from_state(&objective, &state).unwrap();
    assert_eq!(damping(&ekfac), [hidden, ("output.weight".into(), [0.0, 1e-9])]);
}
