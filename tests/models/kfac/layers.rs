//! Layers that are found, and uses of one weight.

use burn::{module::Module, nn, prelude::*, tensor::activation::tanh};
use burn_curvature::{
    CaptureConfig, Ekfac, Kfac, KfacConfig, Likelihood, LinearOperator, Objective, Reduction,
    errors::KfacError,
    kfac::{KfacFisher, Treatment, UncoveredPolicy},
};

use super::{
    super::{B, classifier, models::transformer, relative_error, without_draws},
    Deep, GAUSSIAN, device, random, squared, weight,
};

#[derive(Module, Debug)]
struct Twice {
    first: nn::Linear,
    second: nn::Linear,
}

#[test]
fn a_weight_used_twice_has_the_moments_of_both_uses() {
    let deep = Deep::new(&[3, 3], true).layers.remove(0);
    let tied = Twice { first: deep.clone(), second: deep.clone() };
    let apart = Deep {
        layers: vec![
            deep.clone(),
            nn::Linear { weight: weight([3, 3], 0), bias: Some(weight([3], 10)) },
        ],
    };
    let x = random([4, 3], 5);
    let forward = |x: Tensor<2>, first: &nn::Linear, second: &nn::Linear| {
        second.forward(tanh(first.forward(x)))
    };
    let one = squared(&tied, x.clone(), Reduction::Mean, move |model: &Twice, x| {
        forward(x, &model.first, &model.second)
    });
    let two = squared(&apart, x, Reduction::Mean, move |model: &Deep, x| {
        forward(x, &model.layers[0], &model.layers[1])
    });
    assert_eq!(one.layout().len(), 12);
    assert_eq!(two.layout().len(), 24);
    assert!((one.value().unwrap() - two.value().unwrap()).abs() < 1e-14);
    let config = without_draws();
    let [one, two] = [&one, &two].map(|objective| config.init(objective, GAUSSIAN).unwrap());
    let numbers = |kfac: &Kfac<B>, layer: usize, factor: &str| -> Vec<f64> {
        let layer = kfac.layers().get(layer).unwrap();
        let factor = match factor {
            "a" => layer.input(),
            _ => layer.output(),
        };
        factor.values().unwrap().to_vec()
    };
    for (factor, share) in [("a", 0.5), ("g", 1.0)] {
        let (first, second) = (numbers(&two, 0, factor), numbers(&two, 1, factor));
        for ((found, a), b) in numbers(&one, 0, factor).iter().zip(first).zip(second) {
            assert!((found - share * (a + b)).abs() < 1e-14, "{factor}");
        }
    }
}

#[test]
fn sampled_targets_tend_to_the_exact_factors() {
    let objective = classifier(3, 6);
    let product = |fisher| {
        let config = KfacConfig::new().with_fisher(fisher);
        let kfac = config.init(&objective, Likelihood::Categorical);
        kfac.unwrap().apply(&objective.parameters().space().ones()).unwrap()
    };
    let exact = product(KfacFisher::Exact);
    let error = |draws| {
        let squares = (0..6).map(|seed| {
            relative_error(&product(KfacFisher::MonteCarlo { draws, seed }), &exact).powi(2)
        });
        (squares.sum::<f64>() / 6.0).sqrt()
    };
    let (few, many) = (error(4), error(256));
    assert!(many < 0.1 && (3.5..20.0).contains(&(few / many)), "{few}, {many}");
}

#[test]
fn every_projection_of_a_transformer_is_found() {
    let case = transformer::case(&device());
    let objective =
        Objective::<B>::capture_with(&CaptureConfig::new(), &case.model, case.batch, case.loss)
            .unwrap();
    let objective = objective.reduced_by(Reduction::Mean).unwrap();
    let config = KfacConfig::new().with_fisher(KfacFisher::MonteCarlo { draws: 1, seed: 1 });
    // The table of positions is looked up once for all samples, and larger than blocks are by default.
    let refused = config.init(&objective, Likelihood::Categorical).unwrap_err();
    let Some(KfacError::Uncovered { parameter, .. }) = refused.downcast_ref() else {
        panic!("{refused}");
    };
    assert_eq!(parameter, "positions.weight");
    assert!(refused.to_string().contains("once for all samples"), "{refused}");
    let policy = UncoveredPolicy::Diagonal { probes: 2, seed: 1 };
    let kfac = config.with_uncovered(policy).init(&objective, Likelihood::Categorical).unwrap();
    let coverage = kfac.coverage();
    let (mut normalizations, mut left, mut covered) = (0, 0, 0);
    for entry in &coverage.entries {
        match &entry.treatment {
            Treatment::Kronecker { .. } => covered += entry.elements,
            Treatment::Diagonal { .. } if entry.parameter == "positions.weight" => {}
            Treatment::Diagonal { .. } => {
                normalizations += 1;
                left += entry.elements;
                assert!(entry.parameter.contains("norm"), "{coverage}");
            }
            Treatment::ExactBlock { .. } | Treatment::Unused => panic!("{coverage}"),
        }
    }
    assert_eq!(normalizations, 8, "{coverage}");
    assert!(covered as f64 / (covered + left) as f64 > 0.98, "{coverage}");
    let v = objective.parameters().space().normal(1);
    assert!(v.dot(&kfac.apply(&v).unwrap()).unwrap() > 0.0);
    // Rows of these outputs are places of a sequence that attention mixes.
    let exact = without_draws().init(&objective, Likelihood::Categorical);
    let error = exact.unwrap_err();
    assert!(matches!(error.downcast_ref(), Some(KfacError::Places { .. })), "{error}");
    let loss = Likelihood::Categorical;
    let corrected = Ekfac::from_kfac(&kfac, &objective, loss, &without_draws());
    let error = corrected.unwrap_err();
    assert!(matches!(error.downcast_ref(), Some(KfacError::Places { .. })), "{error}");
}

#[derive(Module, Debug)]
struct Recurrent {
    lstm: nn::Lstm,
    output: nn::Linear,
}

#[test]
fn recurrent_weights_are_shared_over_time() {
    let model = Recurrent {
        lstm: nn::LstmConfig::new(3, 4, true).init(&device()),
        output: nn::LinearConfig::new(4, 2).init(&device()),
    };
    let objective =
        squared(&model, random([5, 6, 3], 2), Reduction::Mean, |model: &Recurrent, x| {
            let (hidden, _) = model.lstm.forward(x, None);
            let last: Tensor<2> = hidden.slice([0..5, 5..6]).squeeze_dim(1);
            model.output.forward(last)
        });
    let config = KfacConfig::new().with_fisher(KfacFisher::MonteCarlo { draws: 2, seed: 1 });
    let kfac = config.init(&objective, GAUSSIAN).unwrap();
    let recurrent =
        kfac.coverage().entries.iter().filter(|entry| entry.parameter.starts_with("lstm"));
    for entry in recurrent {
        let Treatment::Kronecker { uses, .. } = entry.treatment else {
            panic!("{}", kfac.coverage());
        };
        assert_eq!(uses, 6, "{}", kfac.coverage());
    }
}
