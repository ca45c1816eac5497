//! Exact factors where they take few backward passes, and drawn targets elsewhere.

use burn::{nn, prelude::*, tensor::activation::tanh};
use burn_curvature::{
    CaptureConfig, KfacConfig, KfacOptimizerConfig, Likelihood, LinearOperator, Objective,
    Reduction,
    errors::{KfacError, LikelihoodError},
    kfac::{KfacCoverage, KfacFisher, KfacState},
};

use super::{
    super::{B, relative_error, without_draws},
    Deep, GAUSSIAN, device, random, squared,
};

const SAMPLES: usize = 6;
const LIKELIHOODS: [Likelihood; 4] =
    [Likelihood::Categorical, Likelihood::Bernoulli, Likelihood::Poisson, GAUSSIAN];

/// A network with so many outputs.
fn network(outputs: usize) -> Objective<B> {
    let model = Deep::new(&[3, 4, outputs], true);
    squared(&model, random([SAMPLES, 3], 5), Reduction::Mean, |model: &Deep, x| {
        model.layers[1].forward(tanh(model.layers[0].forward(x)))
    })
}

fn drawn(draws: usize, seed: u64) -> KfacConfig {
    KfacConfig::new().with_fisher(KfacFisher::MonteCarlo { draws, seed })
}

fn cheap(passes: usize, draws: usize, seed: u64) -> KfacConfig {
    KfacConfig::new().with_fisher(KfacFisher::ExactWhereCheap { passes, draws, seed })
}

/// The factors in all digits, and how they were computed.
fn state(objective: &Objective<B>, likelihood: Likelihood, config: &KfacConfig) -> KfacState {
    config.init(objective, likelihood).unwrap().state().unwrap()
}

/// One pass fewer for classes.
#[test]
fn few_outputs_are_exact_and_many_are_drawn() {
    for likelihood in LIKELIHOODS {
        let most = if likelihood == Likelihood::Categorical { 4 } else { 3 };
        let few = network(most);
        let found = state(&few, likelihood, &KfacConfig::new());
        assert_eq!(found, state(&few, likelihood, &without_draws()), "{likelihood:?}");
        let many = network(most + 1);
        let found = state(&many, likelihood, &KfacConfig::new());
        assert_eq!(found, state(&many, likelihood, &drawn(2, 0)), "{likelihood:?}");
        assert_ne!(found, state(&many, likelihood, &without_draws()), "{likelihood:?}");
        for (passes, expected) in [(4, without_draws()), (0, drawn(2, 9))] {
            let found = state(&many, likelihood, &cheap(passes, 2, 9));
            assert_eq!(found, state(&many, likelihood, &expected), "{likelihood:?}, {passes}");
        }
        let found = state(&many, likelihood, &cheap(usize::MAX, 2, 9));
        assert_eq!(found, state(&many, likelihood, &without_draws()), "{likelihood:?}");
    }
}

#[test]
fn the_report_says_what_was_drawn() {
    let names = |coverage: &KfacCoverage| -> Vec<String> {
        coverage.estimated().map(|entry| entry.parameter.clone()).collect()
    };
    let kfac = KfacConfig::new().init(&network(5), Likelihood::Categorical).unwrap();
    let coverage = kfac.coverage();
    assert_eq!(coverage.fisher(), Some(KfacFisher::MonteCarlo { draws: 2, seed: 0 }));
    assert_eq!(coverage.draws(), Some(2));
    assert!(coverage.to_string().contains("2 drawn targets for each sample"), "{coverage}");
    assert_eq!(names(coverage).len(), 4, "{coverage}");
    assert_eq!(coverage.diagonals().count(), 0);

    let kfac = KfacConfig::new().init(&network(4), Likelihood::Categorical).unwrap();
    let coverage = kfac.coverage();
    assert_eq!((coverage.fisher(), coverage.draws()), (Some(KfacFisher::Exact), None));
    assert!(!coverage.to_string().contains("drawn"), "{coverage}");
    assert!(names(coverage).is_empty());
}

#[test]
fn the_mean_over_many_seeds_is_the_exact_matrix() {
    const SEEDS: u64 = 400;
    let objective = network(6);
    let v = objective.parameters().space().normal(1);
    for likelihood in LIKELIHOODS {
        let product =
            |config: &KfacConfig| config.init(&objective, likelihood).unwrap().apply(&v).unwrap();
        let exact = product(&without_draws());
        let mut mean = objective.parameters().space().zeros();
        let mut squares = 0.0;
        for seed in 0..SEEDS {
            let found = product(&cheap(3, 3, seed));
            squares += relative_error(&found, &exact).powi(2);
            mean = mean.axpy(1.0 / SEEDS as f64, &found).unwrap();
        }
        let single = (squares / SEEDS as f64).sqrt();
        let error = relative_error(&mean, &exact);
        assert!(single > 0.05, "{likelihood:?}: {single}");
        assert!(error < 3.0 * single / (SEEDS as f64).sqrt(), "{likelihood:?}: {error}, {single}");
    }
}

/// Every place sums those before it: rows of the first layer reach several rows of the outputs.
fn sequence(outputs: usize) -> Objective<B> {
    let model = Deep::new(&[3, 4, outputs], true);
    squared(&model, random([SAMPLES, 5, 3], 5), Reduction::Mean, |model: &Deep, x: Tensor<3>| {
        model.layers[1].forward(tanh(model.layers[0].forward(x)).cumsum(1))
    })
}

#[test]
fn targets_are_drawn_where_places_mix() {
    for outputs in [2, 20] {
        let objective = sequence(outputs);
        let refused = without_draws().init(&objective, Likelihood::Categorical).unwrap_err();
        assert!(matches!(refused.downcast_ref(), Some(KfacError::Places { .. })), "{refused}");
        let found = state(&objective, Likelihood::Categorical, &KfacConfig::new());
        assert_eq!(found, state(&objective, Likelihood::Categorical, &drawn(2, 0)));
        let found = KfacConfig::new().init_ekfac(&objective, Likelihood::Categorical).unwrap();
        let expected = drawn(2, 0).init_ekfac(&objective, Likelihood::Categorical).unwrap();
        assert_eq!(found.state().unwrap(), expected.state().unwrap());
    }
}

/// One number for each sample, `[samples]`, is one column and not as many as there are samples.
#[test]
fn outputs_of_one_dimension_take_one_pass() {
    let model = Deep::new(&[3, 4, 1], true);
    let x = random([SAMPLES, 3], 5);
    let forward = |model: &Deep, x| model.layers[1].forward(tanh(model.layers[0].forward::<2>(x)));
    let one = squared(&model, x.clone(), Reduction::Mean, forward);
    let flat = squared(&model, x, Reduction::Mean, move |model: &Deep, x| {
        forward(model, x).squeeze_dim::<1>(1)
    });
    for likelihood in &LIKELIHOODS[1..] {
        let found = KfacConfig::new().init(&flat, *likelihood).unwrap();
        assert_eq!(found.coverage().fisher(), Some(KfacFisher::Exact));
        let v = flat.parameters().space().normal(1);
        let expected = without_draws().init(&one, *likelihood).unwrap();
        let error = relative_error(&found.apply(&v).unwrap(), &expected.apply(&v).unwrap());
        assert!(error < 1e-13, "{likelihood:?}: {error}");
    }
}

#[test]
fn bad_settings_are_refused() {
    for outputs in [2, 9] {
        let objective = network(outputs);
        let error = cheap(3, 0, 1).init(&objective, GAUSSIAN).unwrap_err();
        assert_eq!(error.downcast_ref(), Some(&LikelihoodError::NoDraws));
    }
    let error = cheap(3, usize::MAX, 1).init(&network(9), GAUSSIAN).unwrap_err();
    let expected = LikelihoodError::TooManyDraws { draws: usize::MAX };
    assert_eq!(error.downcast_ref(), Some(&expected));
}

/// What earlier versions have saved.
#[test]
fn configurations_and_reports_of_earlier_versions_are_read() {
    for fisher in [KfacFisher::Exact, KfacFisher::MonteCarlo { draws: 2, seed: 5 }] {
        let text = match fisher {
            KfacFisher::Exact => r#""Exact""#,
            _ => r#"{"MonteCarlo":{"draws":2,"seed":5}}"#,
        };
        let saved = format!(
            r#"{{"fisher":{text},"approximation":"Expand","embeddings":{{"Whole":{{"limit":2048}}}},
            "uncovered":{{"ExactWhereCheap":{{"limit":1024,"probes":2,"seed":0}}}}}}"#
        );
        let found: KfacConfig = serde_json::from_str(&saved).unwrap();
        assert_eq!(found, KfacConfig::new().with_fisher(fisher));
    }
    let new = KfacConfig::new();
    let text = serde_json::to_string(&new).unwrap();
    assert_eq!(serde_json::from_str::<KfacConfig>(&text).unwrap(), new);

    let kfac = new.init(&network(5), Likelihood::Categorical).unwrap();
    let mut saved = serde_json::to_value(kfac.coverage()).unwrap();
    assert_eq!(serde_json::from_value::<KfacCoverage>(saved.clone()).unwrap(), *kfac.coverage());
    saved.as_object_mut().unwrap().remove("fisher").unwrap();
    let found: KfacCoverage = serde_json::from_value(saved).unwrap();
    assert_eq!((found.fisher(), found.draws()), (None, None));
    assert_eq!(found.entries, kfac.coverage().entries);
}

/// An optimizer draws others at every step, as one with drawn targets does.
#[test]
fn an_optimizer_draws_afresh_at_every_step() {
    let start = Deep::new(&[3, 4, 5], true);
    let labels: Vec<i64> = (0..SAMPLES as i64).map(|n| n * 2 % 5).collect();
    let labels = Tensor::<1, Int>::from_data(TensorData::new(labels, [SAMPLES]), &device());
    let batch = (random([SAMPLES, 3], 5), labels);
    let objective = Objective::<B>::capture_with(
        &CaptureConfig::new(),
        &start,
        batch.clone(),
        |model: &Deep, (x, y): (Tensor<2>, Tensor<1, Int>)| {
            let z = model.forward(x);
            let loss = nn::loss::CrossEntropyLossConfig::new().init(&z.device());
            (z.clone(), loss.forward(z, y))
        },
    );
    let objective = objective.unwrap().reduced_by(Reduction::Mean).unwrap();
    // Without momentum, with the factors of the step alone.
    let directions = |config: KfacConfig| {
        let config = KfacOptimizerConfig::stochastic(1.0).with_kfac(config).with_decay(0.0);
        let mut optimizer = config.init(&objective, Likelihood::Categorical).unwrap();
        let mut next = || {
            let (gradients, step) = optimizer.transform(&start, batch.clone()).unwrap();
            assert!(step.inverted);
            let gradient = burn_curvature::ParamVector::<B>::from_gradients(&start, &gradients);
            gradient.unwrap().to_vec().unwrap()
        };
        [next(), next()]
    };
    let [first, second] = directions(cheap(3, 2, 7));
    assert_ne!(first, second);
    assert_eq!(directions(drawn(2, 7)), [first, second]);
    let [first, second] = directions(without_draws());
    assert_eq!(first, second);
    assert_eq!(directions(cheap(4, 2, 7)), [first, second]);
}
