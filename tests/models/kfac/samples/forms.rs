//! One network written in many ways: its factors are the same.

use burn::prelude::*;
use burn_curvature::{
    KfacOptimizerConfig, LinearOperator, ParamVector, Reduction,
    kfac::{KfacApproximation, KfacFisher},
};

use super::{
    ALL, B, CLASSES, DRAWN, Deep, FORMS, Form, batch, capture, close, config, diagonal, elements,
    mean_square, pooled,
};

/// tr of the mean over samples of the outer products of the mean inputs of their places, with a one for the bias.
fn trace_of_reduced_inputs(x: &Tensor<3>) -> f64 {
    let [b, s, d] = x.dims();
    let x: Vec<f64> = x.to_data().iter::<f64>().collect();
    let means = x.chunks(s * d).map(|sample| {
        let mean = |i: usize| (0..s).map(|place| sample[place * d + i]).sum::<f64>() / s as f64;
        1.0 + (0..d).map(|i| mean(i).powi(2)).sum::<f64>()
    });
    means.sum::<f64>() / b as f64
}

#[test]
fn places_that_burn_merges_with_samples_stay_places() {
    let sizes =
        [[4, 5, 8], [4, 5, 12], [4, 8, 12], [4, 7, 64], [4, 32, 64], [8, 50, 96], [3, 5, 7]];
    for [b, s, w] in sizes {
        let model = Deep::new(&[8, w, 3], true);
        let batch = batch([b, s, 8]);
        let objective = capture(&model, batch.clone(), |model, x| pooled(model, x, Form::Burn));
        let what = format!("{b}, {s}, {w}");
        let reduce = config(KfacFisher::Exact, KfacApproximation::Reduce);
        let kfac = reduce.init(&objective, CLASSES).unwrap();
        let found = kfac.layers()[0].input().trace().unwrap();
        close(found, trace_of_reduced_inputs(&batch.0), &what);
        let report = kfac.coverage().to_string();
        assert!(report.contains(&format!("linear, 9 ⊗ {w}, reduced")), "{report}");
        let expand = config(KfacFisher::Empirical, KfacApproximation::Expand);
        let ekfac = expand.init_ekfac(&objective, CLASSES).unwrap();
        for (layer, names) in ekfac
            .layers()
            .iter()
            .zip([["layers.0.weight", "layers.0.bias"], ["layers.1.weight", "layers.1.bias"]])
        {
            let expected = mean_square(&objective, &batch, &names);
            close(layer.trace().unwrap(), expected, &what);
        }
    }
}

/// Factors and corrected diagonals by all types of Fisher matrices, however the network is written.
#[test]
fn a_network_has_the_same_factors_however_it_is_written() {
    let model = Deep::new(&[8, 12, 3], true);
    for [b, s] in [[4, 5], [4, 8], [5, 5], [1, 5]] {
        for fisher in ALL {
            for approximation in [KfacApproximation::Expand, KfacApproximation::Reduce] {
                let config = config(fisher, approximation);
                let values = FORMS.map(|form| {
                    let batch = batch([b, s, 8]);
                    let objective =
                        capture(&model, batch, move |model: &Deep, x| pooled(model, x, form));
                    let kfac = config.init(&objective, CLASSES).unwrap();
                    let mut all = Vec::new();
                    for layer in kfac.layers() {
                        all.extend_from_slice(layer.input().values().unwrap());
                        all.extend_from_slice(layer.output().values().unwrap());
                    }
                    if fisher != KfacFisher::ForwardOnly {
                        let ekfac = config.init_ekfac(&objective, CLASSES).unwrap();
                        all.extend(ekfac.layers().iter().map(|layer| layer.trace().unwrap()));
                    }
                    all
                });
                for (form, found) in FORMS.iter().zip(&values) {
                    assert_eq!(found.len(), values[1].len(), "{form:?}");
                    for (found, expected) in found.iter().zip(&values[1]) {
                        let close = (found - expected).abs() < 1e-11;
                        assert!(close, "{form:?} {fisher:?} {b} {s}: {found}, {expected}");
                    }
                }
            }
        }
    }
}

/// The diagonal sums of corrected blocks are those of the Fisher matrix of that type.
#[test]
fn corrected_blocks_have_the_traces_of_the_fisher_matrices() {
    let model = Deep::new(&[4, 6, 3], true);
    let batch = batch([4, 5, 4]);
    for form in FORMS {
        let objective =
            capture(&model, batch.clone(), move |model: &Deep, x| pooled(model, x, form));
        for fisher in [KfacFisher::Exact, DRAWN, KfacFisher::Empirical] {
            let config = config(fisher, KfacApproximation::Expand);
            let ekfac = config.init_ekfac(&objective, CLASSES).unwrap();
            let truth = diagonal(&objective, CLASSES, fisher);
            for layer in ekfac.layers() {
                let bias = layer.weight().replace("weight", "bias");
                let own = [layer.weight(), &bias];
                let expected: f64 = own.iter().flat_map(|name| elements(&truth, name)).sum();
                close(layer.trace().unwrap(), expected, &format!("{form:?} {fisher:?}"));
            }
        }
    }
}
#[test]
fn the_optimizer_takes_the_same_steps_however_the_network_is_written() {
    let paths = FORMS.map(|form| {
        let mut model = Deep::new(&[8, 12, 3], true);
        let batch = batch([4, 5, 8]);
        let forward = move |model: &Deep, x| pooled(model, x, form);
        let objective = capture(&model, batch.clone(), forward);
        let config = KfacOptimizerConfig::stochastic(0.1)
            .with_kfac(config(DRAWN, KfacApproximation::Reduce));
        let mut optimizer = config.init(&objective, CLASSES).unwrap();
        for _ in 0..3 {
            model = optimizer.step(&model, batch.clone()).unwrap().0;
        }
        let parameters = objective.parameters();
        ParamVector::<B>::from_module_with(parameters.layout(), &model).unwrap().to_vec().unwrap()
    });
    for path in &paths {
        for (found, expected) in path.iter().zip(&paths[1]) {
            assert!((found - expected).abs() < 1e-5, "{found}, {expected}");
        }
    }
}

/// A data set whose last batch is smaller, and merged where the others are not.
#[test]
fn batches_of_other_sizes_have_the_factors_of_the_whole() {
    let model = Deep::new(&[8, 12, 3], true);
    let whole = batch([9, 5, 8]);
    let objective = capture(&model, whole.clone(), |model, x| pooled(model, x, Form::Burn));
    let part = |range: std::ops::Range<usize>| {
        (whole.0.clone().slice([range.clone()]), whole.1.clone().slice([range]))
    };
    let risk = objective.on(part(0..4)).unwrap();
    let risk = risk.over([part(0..4), part(4..8), part(8..9)], Reduction::Mean).unwrap();
    for approximation in [KfacApproximation::Expand, KfacApproximation::Reduce] {
        let config = config(KfacFisher::Empirical, approximation);
        let v = objective.parameters().space().normal(1);
        let found = [&risk, &objective].map(|objective| {
            let ekfac = config.init_ekfac(objective, CLASSES).unwrap();
            let kfac = config.init(objective, CLASSES).unwrap();
            (kfac.apply(&v).unwrap().to_vec().unwrap(), ekfac.trace().unwrap())
        });
        let pairs = found[0].0.iter().zip(&found[1].0);
        let worst = pairs.map(|(a, b)| (a - b).abs()).fold(0.0, f64::max);
        assert!(worst < 1e-10, "{approximation:?}: {worst}");
        close(found[0].1, found[1].1, "corrected");
    }
}
