//! Embeddings at several places of a sample, reduced and expanded.

use burn::{module::Module, nn, prelude::*};
use burn_curvature::{
    Ekfac, Fisher, Kfac, KfacConfig, LinearOperator, Objective, ParamVector, Reduction,
    errors::KfacError,
    kfac::{
        EkfacState, EmbeddingPolicy, KfacApproximation, KfacFisher, KfacState, Treatment,
        WeightSharing,
    },
};

use super::{
    super::{B, relative_error, rows, without_draws},
    Deep, GAUSSIAN, device, squared, weight, worst,
};

const ROWS: usize = 5;

#[derive(Module, Debug)]
struct Bag {
    embedding: nn::Embedding,
    linear: nn::Linear,
}

/// The same with a linear layer of one-hot inputs.
#[derive(Module, Debug)]
struct OneHot {
    embedding: nn::Linear,
    linear: nn::Linear,
}

fn bag() -> Bag {
    let mut embedding = nn::EmbeddingConfig::new(ROWS, 3).init(&device());
    embedding.weight = weight([ROWS, 3], 1);
    Bag { embedding, linear: Deep::new(&[3, 2], true).layers.remove(0) }
}

/// Four samples of three tokens, some of them twice in a sample.
const TOKENS: [[i64; 3]; 4] = [[1, 4, 1], [0, 2, 4], [3, 3, 3], [2, 1, 0]];

fn tokens() -> Tensor<2, Int> {
    Tensor::from_data(TOKENS, &device())
}

fn reduce() -> KfacConfig {
    without_draws().with_approximation(KfacApproximation::Reduce)
}

fn expanded() -> KfacConfig {
    reduce().with_embeddings(EmbeddingPolicy::Expand)
}

/// The mean over the places of a deep linear network.
fn pooled(reduction: Reduction) -> Objective<B> {
    squared(&bag(), tokens(), reduction, |model: &Bag, tokens| {
        let z = model.linear.forward(model.embedding.forward(tokens));
        z.mean_dim(1).squeeze_dim::<2>(1)
    })
}

/// The same, not linear.
fn bent(reduction: Reduction) -> Objective<B> {
    squared(&bag(), tokens(), reduction, |model: &Bag, tokens| {
        let z = model.linear.forward(model.embedding.forward(tokens).tanh());
        z.tanh().mean_dim(1).squeeze_dim::<2>(1)
    })
}

#[test]
fn reduction_is_exact_for_pooled_outputs_where_expansion_is_not() {
    for reduction in [Reduction::Sum, Reduction::Mean] {
        let objective = pooled(reduction);
        let error = worst(&objective, GAUSSIAN, &reduce());
        assert!(error < 1e-12, "{error}");
        for other in [expanded(), without_draws()] {
            assert!(worst(&objective, GAUSSIAN, &other) > 1e-2);
        }
    }
}

/// A = mean over samples of ē ēᵀ, also over batches of different sizes.
#[test]
fn the_input_factor_is_that_of_mean_one_hot_inputs() {
    let mut expected = vec![0.0; ROWS * ROWS];
    for sample in TOKENS {
        for i in sample {
            for j in sample {
                expected[i as usize * ROWS + j as usize] += 1.0 / (9.0 * 4.0);
            }
        }
    }
    let whole = bent(Reduction::Mean);
    let parts = [tokens().narrow(0, 0, 1), tokens().narrow(0, 1, 3)];
    let parts = whole.over(parts, Reduction::Mean).unwrap();
    for objective in [whole, parts] {
        let kfac = reduce().init(&objective, GAUSSIAN).unwrap();
        let layer = kfac.layers().first().unwrap();
        assert!(!layer.input().is_diagonal());
        for (found, expected) in layer.input().values().unwrap().iter().zip(&expected) {
            assert!((found - expected).abs() < 1e-14, "{found} for {expected}");
        }
    }
}

#[test]
fn it_has_the_factors_of_a_linear_layer_with_one_hot_inputs() {
    let mut embedding = nn::LinearConfig::new(ROWS, 3).with_bias(false).init(&device());
    embedding.weight = weight([ROWS, 3], 1);
    let dense = OneHot { embedding, linear: bag().linear };
    let hot = tokens().one_hot::<3>(ROWS).float();
    let dense = squared(&dense, hot, Reduction::Mean, |model: &OneHot, x| {
        let z = model.linear.forward(model.embedding.forward(x).tanh());
        z.tanh().mean_dim(1).squeeze_dim::<2>(1)
    });
    let sparse = bent(Reduction::Mean);
    let drawn = KfacFisher::MonteCarlo { draws: 2, seed: 3 };
    for config in [reduce(), reduce().with_fisher(drawn)] {
        let [one, two] = [&sparse, &dense].map(|objective| {
            let kfac = config.init(objective, GAUSSIAN).unwrap();
            let ekfac = config.init_ekfac(objective, GAUSSIAN).unwrap();
            let mut numbers = rows(&kfac.inverse(0.1).unwrap()).concat();
            numbers.extend(rows(&kfac.factored_inverse(0.1).unwrap()).concat());
            numbers.extend(rows(&ekfac.inverse(0.1).unwrap()).concat());
            numbers
        });
        assert_eq!(one.len(), two.len());
        for (one, two) in one.iter().zip(&two) {
            assert!((one - two).abs() < 1e-11, "{one}, {two}");
        }
    }
}

/// EKFAC in the bases of a full A: its error is at most K-FAC's.
#[test]
fn eigenvalues_are_corrected_in_full_bases() {
    let objective = bent(Reduction::Mean);
    let exact = Fisher::exact(&objective, GAUSSIAN).unwrap();
    let errors = |config: &KfacConfig| -> [f64; 2] {
        let kfac = config.init(&objective, GAUSSIAN).unwrap();
        let ekfac = config.init_ekfac(&objective, GAUSSIAN).unwrap();
        let basis = ekfac.layers().first().unwrap().input_basis(0);
        let full = *config == reduce();
        assert_eq!(basis.is_some_and(|basis| basis.rows() == ROWS), full);
        let blocks = [kfac.compare_with(&exact).unwrap(), ekfac.compare_with(&exact).unwrap()];
        blocks.map(|blocks| blocks[0].relative_error)
    };
    let [kfac, ekfac] = errors(&reduce());
    assert!(ekfac < kfac, "{ekfac}, {kfac}");
    errors(&expanded());
}

#[test]
fn the_report_says_what_is_expanded() {
    let objective = pooled(Reduction::Mean);
    let report = |config: &KfacConfig| {
        let kfac = config.init(&objective, GAUSSIAN).unwrap();
        let sharing = ["embedding.weight", "linear.weight"].map(|name| {
            match kfac.coverage().of(name).unwrap() {
                Treatment::Kronecker { sharing, .. } => *sharing,
                other => panic!("{other}"),
            }
        });
        let text = kfac.coverage().to_string();
        let line = text.lines().find(|line| line.contains("embedding.weight"));
        (sharing, line.unwrap().to_string())
    };
    let (sharing, line) = report(&reduce());
    assert_eq!(sharing, [WeightSharing::Reduce; 2]);
    assert!(line.ends_with("embedding, 5 ⊗ 3, reduced"), "{line}");
    let (sharing, line) = report(&expanded());
    let expected = [WeightSharing::ExpandByPolicy, WeightSharing::Reduce];
    assert_eq!(sharing, expected);
    assert!(line.contains("expanded by policy"), "{line}");
    let (sharing, line) = report(&without_draws());
    assert_eq!(sharing, [WeightSharing::Expand; 2]);
    assert!(line.ends_with("embedding, 5 ⊗ 3"), "{line}");
}

#[test]
fn large_vocabularies_are_refused_or_expanded() {
    let objective = pooled(Reduction::Mean);
    let limited = |limit| reduce().with_embeddings(EmbeddingPolicy::Whole { limit });
    let error = limited(ROWS - 1).init(&objective, GAUSSIAN);
    let expected =
        KfacError::Vocabulary { parameter: "embedding.weight".into(), rows: ROWS, limit: ROWS - 1 };
    assert_eq!(error.unwrap_err().downcast_ref(), Some(&expected));
    assert!(limited(ROWS).init(&objective, GAUSSIAN).is_ok());
    assert!(expanded().init(&objective, GAUSSIAN).is_ok());
    // At one place there is nothing to reduce: A is a diagonal, however large.
    let single = tokens().slice([0..4, 0..1]);
    let objective = squared(&bag(), single, Reduction::Mean, |model: &Bag, tokens| {
        let z = model.linear.forward(model.embedding.forward(tokens));
        z.squeeze_dim::<2>(1)
    });
    let kfac = limited(1).init(&objective, GAUSSIAN).unwrap();
    assert!(kfac.layers().first().unwrap().input().is_diagonal());
}

#[test]
fn states_of_reduced_embeddings_come_back() {
    let objective = bent(Reduction::Mean);
    let v = objective.parameters().space().normal(1);
    let numbers = |vector: ParamVector<B>| vector.to_vec().unwrap();
    let mut states = Vec::new();
    for config in [reduce(), expanded()] {
        let kfac = config.init(&objective, GAUSSIAN).unwrap();
        let state = KfacState::from_bytes(kfac.state().unwrap().to_bytes().unwrap()).unwrap();
        assert_eq!(state, kfac.state().unwrap());
        let loaded = Kfac::from_state(&objective, &state).unwrap();
        assert_eq!(numbers(loaded.apply(&v).unwrap()), numbers(Kfac::apply(&kfac, &v).unwrap()));
        assert_eq!(loaded.coverage(), kfac.coverage());
        let ekfac = config.init_ekfac(&objective, GAUSSIAN).unwrap();
        let saved = EkfacState::from_bytes(ekfac.state().unwrap().to_bytes().unwrap()).unwrap();
        let loaded = Ekfac::from_state(&objective, &saved).unwrap();
        assert!(relative_error(&loaded.apply(&v).unwrap(), &ekfac.apply(&v).unwrap()) == 0.0);
        states.push(state);
    }
    let mixed = states[0].averaged(&states[1], 0.5);
    assert_eq!(mixed.unwrap_err().downcast_ref(), Some(&KfacError::State));
}

/// An embedding that is expanded has its rows for a basis, and no other.
#[test]
fn bases_of_reduced_embeddings_are_refused_where_they_are_expanded() {
    let objective = bent(Reduction::Mean);
    let reduced = reduce().init_ekfac(&objective, GAUSSIAN).unwrap();
    let error = reduced.updated(&objective, GAUSSIAN, &expanded(), 0.0).unwrap_err();
    let expected = KfacError::Configuration { parameter: "embedding.weight".into() };
    assert_eq!(error.downcast_ref(), Some(&expected));
    // The rows are bases of a reduced embedding too.
    let rows = expanded().init_ekfac(&objective, GAUSSIAN).unwrap();
    let rows = rows.updated(&objective, GAUSSIAN, &reduce(), 0.0).unwrap();
    let traces = [&rows, &reduced].map(|ekfac| ekfac.layers()[0].trace().unwrap());
    assert!((traces[0] - traces[1]).abs() < 1e-12 * traces[1], "{traces:?}");
}

#[derive(Module, Debug)]
struct Both {
    embedding: nn::Embedding,
    users: nn::Embedding,
    linear: nn::Linear,
}

/// One that is used at one place only keeps its diagonal, however many rows it has.
#[test]
fn an_embedding_at_one_place_is_not_reduced_beside_others() {
    const USERS: usize = 40;
    let Bag { embedding, linear } = bag();
    let mut users = nn::EmbeddingConfig::new(USERS, 3).init(&device());
    users.weight = weight([USERS, 3], 2);
    let model = Both { embedding, users, linear };
    let ids = Tensor::<2, Int>::from_data([[7], [39], [7], [0]], &device());
    let objective =
        squared(&model, (tokens(), ids), Reduction::Mean, |model: &Both, (tokens, ids)| {
            let words = model.embedding.forward(tokens).mean_dim(1);
            model.linear.forward(words + model.users.forward(ids)).squeeze_dim::<2>(1)
        });
    let config = reduce().with_embeddings(EmbeddingPolicy::Whole { limit: ROWS });
    assert!(worst(&objective, GAUSSIAN, &config) < 1e-12);
    let kfac = config.init(&objective, GAUSSIAN).unwrap();
    let [words, users, _] = kfac.layers() else { panic!("{}", kfac.coverage()) };
    assert!(!words.input().is_diagonal());
    let mut expected = vec![0.0; USERS];
    (expected[7], expected[39], expected[0]) = (0.5, 0.25, 0.25);
    assert_eq!(users.input().values().unwrap(), expected);
    config.init_ekfac(&objective, GAUSSIAN).unwrap();
    Kfac::from_state(&objective, &kfac.state().unwrap()).unwrap();
}

/// Samples of one place do not show that an embedding is reduced.
#[test]
fn an_embedding_at_more_places_than_in_the_first_batch_is_refused() {
    let whole = pooled(Reduction::Mean);
    let one = tokens().narrow(1, 0, 1);
    for (parts, fits) in [([one.clone(), tokens()], false), ([tokens(), one], true)] {
        let objective = whole.over(parts, Reduction::Mean).unwrap();
        expanded().init(&objective, GAUSSIAN).unwrap();
        let found = reduce().init(&objective, GAUSSIAN);
        let expected = KfacError::OtherNetwork { parameter: "embedding.weight".into() };
        match found {
            Ok(_) => assert!(fits),
            Err(error) => assert_eq!((error.downcast_ref(), fits), (Some(&expected), false)),
        }
    }
}
