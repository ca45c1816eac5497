//! What the policies make of parameters that no Kronecker product approximates.

use burn::{module::Module, nn, prelude::*};
use burn_curvature::{
    Fisher, KfacConfig, Likelihood, Objective, Reduction,
    errors::KfacError,
    kfac::{Treatment, UncoveredPolicy},
};

use super::{
    super::{B, compare::relative_error as distance, without_draws},
    Deep, GAUSSIAN, device,
    diagonal::diagonal,
    random, squared, weight,
};

/// A token's row goes in, and the scores of all tokens are its products with the output.
#[derive(Module, Debug)]
struct Tied {
    embedding: nn::Embedding,
    linear: nn::Linear,
}

fn tied() -> Objective<B> {
    let mut embedding = nn::EmbeddingConfig::new(5, 3).init(&device());
    embedding.weight = weight([5, 3], 1);
    let model = Tied { embedding, linear: Deep::new(&[3, 3], true).layers.remove(0) };
    let tokens = Tensor::<2, Int>::from_ints([[1], [4], [1], [0], [2], [1]], &device());
    squared(&model, tokens, Reduction::Mean, |model: &Tied, tokens| {
        let [samples, _] = tokens.dims();
        let hidden = model.embedding.forward(tokens).reshape([samples, 3]);
        let hidden = model.linear.forward(hidden).tanh();
        hidden.matmul(model.embedding.weight.val().transpose())
    })
}

/// The sum of two Kronecker products is none: no policy makes one of it silently.
#[test]
fn an_embedding_that_is_also_the_output_has_a_block_by_policy_only() {
    let objective = tied();
    let loss = Likelihood::Categorical;
    let make = |policy| {
        let config = without_draws().with_uncovered(policy);
        config.init(&objective, loss)
    };
    for policy in [UncoveredPolicy::Refuse, UncoveredPolicy::ExactBlock { limit: 14 }] {
        let error = make(policy).unwrap_err().to_string();
        assert!(error.contains("embedding.weight"), "{error}");
        assert!(error.contains("layers of different kinds"), "{error}");
    }
    let exact = Fisher::exact(&objective, loss).unwrap();
    let truth = diagonal(&exact, &objective, "embedding.weight");
    let block = make(UncoveredPolicy::ExactBlock { limit: 15 }).unwrap();
    assert!(distance(&diagonal(&block, &objective, "embedding.weight"), &truth) < 1e-12);
    let policy = UncoveredPolicy::Diagonal { probes: 1024, seed: 4 };
    let estimate = make(policy).unwrap();
    let found = diagonal(&estimate, &objective, "embedding.weight");
    let error = distance(&found, &truth);
    assert!(error < 0.1, "{error}");
    let report = estimate.coverage().to_string();
    assert!(report.contains("1024 probes (used by layers of different kinds)"), "{report}");
    assert!(matches!(estimate.coverage().of("linear.weight"), Some(Treatment::Kronecker { .. })));
}

#[derive(Module, Debug)]
struct Operator {
    branch: nn::Linear,
    trunk: nn::Linear,
}

/// All samples share the points of the trunk, and an activation is behind its layer: no gradients of single samples.
#[test]
fn a_block_that_is_dear_is_estimated_by_default_and_the_report_says_so() {
    let mut layers = Deep::new(&[3, 4], true).layers;
    layers.extend(Deep::new(&[2, 4], true).layers);
    let [branch, trunk] = [layers.remove(0), layers.remove(0)];
    let batch = (random([6, 3], 4), random([5, 2], 5));
    let objective = squared(
        &Operator { branch, trunk },
        batch,
        Reduction::Mean,
        |model: &Operator, (x, points): (Tensor<2>, Tensor<2>)| {
            let basis = model.trunk.forward(points).tanh();
            model.branch.forward(x).matmul(basis.transpose())
        },
    );
    let make = |config: KfacConfig| config.init(&objective, GAUSSIAN).unwrap();
    let with = |policy| make(without_draws().with_uncovered(policy));
    let default = make(without_draws());
    for name in ["trunk.weight", "trunk.bias"] {
        let treatment = default.coverage().of(name);
        let Some(Treatment::Diagonal { probes: 2, reason }) = treatment else {
            panic!("{}", default.coverage());
        };
        assert!(reason.contains("once for all samples"), "{reason}");
    }
    assert!(matches!(default.coverage().of("branch.weight"), Some(Treatment::Kronecker { .. })));

    let exact = Fisher::exact(&objective, GAUSSIAN).unwrap();
    let truth = diagonal(&exact, &objective, "trunk.*");
    let whole = with(UncoveredPolicy::ExactBlock { limit: 8 });
    assert!(distance(&diagonal(&whole, &objective, "trunk.*"), &truth) < 1e-12);
    let (limit, seed) = (8, 3);
    let many = with(UncoveredPolicy::ExactWhereCheap { limit, probes: 7, seed });
    assert!(matches!(many.coverage().of("trunk.weight"), Some(Treatment::Diagonal { .. })));
    assert!(matches!(many.coverage().of("trunk.bias"), Some(Treatment::ExactBlock { .. })));
    let (bias, own) = ("trunk.bias", diagonal(&exact, &objective, "trunk.bias"));
    assert!(distance(&diagonal(&many, &objective, bias), &own) < 1e-12);
    // The estimate has no bias: over many seeds it tends to the diagonal.
    let mut mean = vec![0.0; truth.len()];
    for seed in 0..400 {
        let one = with(UncoveredPolicy::ExactWhereCheap { limit, probes: 2, seed });
        let found = diagonal(&one, &objective, "trunk.*");
        mean.iter_mut().zip(found).for_each(|(mean, found)| *mean += found / 400.0);
    }
    let error = distance(&mean, &truth);
    assert!(error < 0.1, "{error}");
    let refused = without_draws().with_uncovered(UncoveredPolicy::ExactWhereCheap {
        limit: 7,
        probes: 2,
        seed,
    });
    let error = refused.init(&objective, GAUSSIAN).unwrap_err();
    assert!(matches!(error.downcast_ref(), Some(KfacError::Uncovered { limit: 7, .. })), "{error}");
}
