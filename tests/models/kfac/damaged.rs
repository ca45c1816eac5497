//! Saved factors and bases with numbers that no layer has.

use burn_curvature::{
    Ekfac, Error, Kfac, KfacConfig, Likelihood, Objective, Precision,
    errors::KfacError,
    kfac::{EkfacState, KfacState},
};
use serde_json::Value;

use super::super::{B, classifier};
use crate::failure::failure;

/// The numbers of a saved list, changed.
fn changed(state: &Value, place: &str, change: impl Fn(&mut Vec<f64>)) -> Value {
    let mut state = state.clone();
    let text = state.pointer_mut(place).unwrap();
    let mut numbers: Vec<f64> =
        text.as_str().unwrap().split(' ').map(|number| number.parse().unwrap()).collect();
    change(&mut numbers);
    let numbers: Vec<String> = numbers.iter().map(|number| format!("{number:?}")).collect();
    *text = numbers.join(" ").into();
    state
}

fn kfac_of(objective: &Objective<B>, state: &Value) -> Result<(), Error> {
    let state: KfacState = serde_json::from_value(state.clone()).unwrap();
    Kfac::from_state(objective, &state).map(drop)
}

fn ekfac_of(objective: &Objective<B>, state: &Value) -> Result<(), Error> {
    let state: EkfacState = serde_json::from_value(state.clone()).unwrap();
    Ekfac::from_state(objective, &state).map(drop)
}

fn expect_damaged(found: Result<(), Error>, story: &str) {
    assert!(matches!(failure(&found), Some(KfacError::Damaged { .. })), "{story}: {found:?}");
}

type Change = fn(&mut Vec<f64>);

#[test]
fn damaged_factors_are_refused() {
    let objective = classifier(1, 5);
    let single = objective.in_precision(Precision::F32).unwrap();
    let kfac: Kfac<B> = KfacConfig::new().init(&objective, Likelihood::Categorical).unwrap();
    let state = serde_json::to_value(kfac.state().unwrap()).unwrap();
    kfac_of(&objective, &state).unwrap();
    kfac_of(&single, &state).unwrap();
    let changes: [(&str, Change); 6] = [
        ("NaN", |values| values[0] = f64::NAN),
        ("infinite", |values| values[1] = f64::NEG_INFINITY),
        ("negative", |values| values[0] = -1.0),
        ("not symmetric", |values| values[1] += 0.5),
        ("a sign", |values| values.iter_mut().for_each(|value| *value = -*value)),
        ("indefinite", |values| {
            let size = values.len().isqrt();
            (values[1], values[size]) = (1e3, 1e3);
        }),
    ];
    for place in ["/blocks/0/a/values", "/blocks/1/g/values"] {
        for (what, change) in changes {
            let bad = changed(&state, place, change);
            expect_damaged(kfac_of(&objective, &bad), &format!("{what} in {place}"));
        }
    }
    // Too large for f32 only.
    let large = changed(&state, "/blocks/0/a/values", |values| {
        values.iter_mut().for_each(|value| *value *= 1e60);
    });
    kfac_of(&objective, &large).unwrap();
    expect_damaged(kfac_of(&single, &large), "1e60 in f32");
}

#[test]
fn damaged_bases_are_refused() {
    let objective = classifier(1, 5);
    let config = KfacConfig::new();
    let ekfac = config.init_ekfac(&objective, Likelihood::Categorical).unwrap();
    let state = serde_json::to_value(ekfac.state().unwrap()).unwrap();
    ekfac_of(&objective, &state).unwrap();
    let first: [(&str, Change); 3] = [
        ("NaN", |values| values[0] = f64::NAN),
        ("infinite", |values| values[0] = f64::INFINITY),
        ("other", |values| values[0] = -17.0),
    ];
    for place in ["a/values", "a/vectors", "g/values", "g/vectors", "diagonal"] {
        for (what, change) in first {
            let place = format!("/blocks/1/{place}");
            let bad = changed(&state, &place, change);
            expect_damaged(ekfac_of(&objective, &bad), &format!("{what} in {place}"));
        }
    }
}
