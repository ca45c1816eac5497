//! Estimated diagonals of parameters that belong to no layer, and weights that are used in several ways.

use burn::{
    module::{Module, Param},
    nn,
    prelude::*,
};
use burn_curvature::{
    CaptureConfig, Ekfac, EmpiricalFisher, Fisher, Kfac, KfacConfig, Likelihood, LinearOperator,
    Objective, Reduction, SelfAdjoint,
    errors::KfacError,
    kfac::{KfacFisher, KfacState, Treatment, UncoveredPolicy},
};

use super::{
    super::{B, compare::relative_error as distance, relative_error, without_draws},
    Deep, GAUSSIAN, device, normalized, random, squared, weight,
};

fn estimated(fisher: KfacFisher, probes: usize, seed: u64) -> KfacConfig {
    KfacConfig::new().with_fisher(fisher).with_uncovered(UncoveredPolicy::Diagonal { probes, seed })
}

/// The diagonal of an operator for the parameters of a pattern; of K-FAC all there is.
pub(super) fn diagonal(
    operator: &dyn SelfAdjoint<B>,
    objective: &Objective<B>,
    pattern: &str,
) -> Vec<f64> {
    let subset = objective.layout().select(pattern).unwrap();
    let block = operator.restricted(subset).unwrap();
    burn_curvature::operator::diagonal(&block).unwrap().to_vec().unwrap()
}

/// With one sample every sign is squared away: the diagonal of d dᵀ is exact, and so is that of one output.
#[test]
fn it_is_exact_where_there_is_one_sign() {
    let objective = normalized(1, Reduction::Sum);
    let empirical = EmpiricalFisher::new(&objective).unwrap();
    let config = estimated(KfacFisher::Empirical, 1, 3);
    let kfac = config.init(&objective, GAUSSIAN).unwrap();
    let found = diagonal(&kfac, &objective, "norm.*");
    let truth = diagonal(&empirical, &objective, "norm.*");
    assert!(distance(&found, &truth) < 1e-13, "{found:?}, {truth:?}");

    let model = Scaled { scale: weight([1], 3), linear: Deep::new(&[3, 1], true).layers.remove(0) };
    let one = squared(&model, random([1, 3], 2), Reduction::Mean, Scaled::forward);
    for likelihood in [Likelihood::Bernoulli, Likelihood::Gaussian { variance: 0.3 }] {
        let exact = Fisher::exact(&one, likelihood).unwrap();
        let config = estimated(KfacFisher::Exact, 1, 3);
        let kfac = config.init(&one, likelihood).unwrap();
        let found = diagonal(&kfac, &one, "scale");
        let truth = diagonal(&exact, &one, "scale");
        assert!(distance(&found, &truth) < 1e-13, "{likelihood:?}");
    }
}

#[derive(Module, Debug)]
struct Scaled {
    scale: Param<Tensor<1>>,
    linear: nn::Linear,
}

impl Scaled {
    fn forward(&self, x: Tensor<2>) -> Tensor<2> {
        self.linear.forward(x) * self.scale.val().unsqueeze::<2>()
    }
}

/// Where the reciprocal of λ is infinite in f32 and not in f64.
#[test]
fn dampings_below_the_range_of_f32_are_refused_for_singular_factors_and_harmless_for_others() {
    let model = Deep::new(&[2, 1], false);
    let inverses = |rows: &[[f32; 2]]| {
        let data = TensorData::new(rows.concat(), [rows.len(), 2]);
        let x = Tensor::<2>::from_data(data, &device());
        let loss = |model: &Deep, x: Tensor<2>| {
            let z = model.forward(x);
            (z.clone(), z.square().sum() * 0.5)
        };
        let objective =
            Objective::<B>::capture_with(&CaptureConfig::new(), &model, x, loss).unwrap();
        let objective = objective.reduced_by(Reduction::Sum).unwrap();
        let kfac = without_draws().init(&objective, GAUSSIAN).unwrap();
        let ekfac = without_draws().init_ekfac(&objective, GAUSSIAN).unwrap();
        let ones = objective.parameters().space().ones();
        [kfac.inverse(1e-301), kfac.factored_inverse(1e-301), ekfac.inverse(1e-301)]
            .map(|inverse| inverse.and_then(|inverse| Ok(inverse.apply(&ones)?.to_vec()?)))
    };
    for inverse in inverses(&[[1.0, 0.0], [2.0, 0.0]]) {
        let singular = KfacError::Singular { damping: 1e-301 };
        assert_eq!(inverse.unwrap_err().downcast_ref(), Some(&singular));
    }
    // xᵀx = diag(4, 16)
    for inverse in inverses(&[[2.0, 0.0], [0.0, 4.0]]) {
        assert!(distance(&inverse.unwrap(), &[0.25, 0.0625]) < 1e-6);
    }
}

/// F̂ is zero there, so that nothing but damping makes it invertible.
#[test]
fn an_inverse_without_damping_is_refused_where_the_outputs_depend_on_no_parameter() {
    let model = Scaled { scale: weight([1], 3), linear: Deep::new(&[1, 1], true).layers.remove(0) };
    let x = random([5, 1], 2);
    let objective =
        squared(&model, x, Reduction::Mean, |model: &Scaled, x| model.linear.forward(x));
    let kfac = without_draws().init(&objective, GAUSSIAN).unwrap();
    assert_eq!(kfac.coverage().of("scale"), Some(&Treatment::Unused));
    let ekfac = without_draws().init_ekfac(&objective, GAUSSIAN).unwrap();
    // Neither f64 nor f32 has a reciprocal of the second number.
    for damping in [0.0, 1e-310] {
        let inverses =
            [kfac.inverse(damping), kfac.factored_inverse(damping), ekfac.inverse(damping)];
        for inverse in inverses {
            let singular = KfacError::Singular { damping };
            assert_eq!(inverse.unwrap_err().downcast_ref(), Some(&singular));
        }
    }
    let singular = Some(&KfacError::Singular { damping: 0.0 });
    assert_eq!(ekfac.log_determinant(0.0).unwrap_err().downcast_ref(), singular);
    let damping = 0.25;
    let inverse = kfac.factored_inverse(damping).unwrap();
    assert_eq!(diagonal(&inverse, &objective, "scale"), [4.0]);
    let kept = |name: &str| objective.layout().block(name).map(|block| block.len());
    let (all, unused) = (objective.layout().len(), kept("scale").unwrap());
    let own = kfac.log_determinant(damping).unwrap();
    let layer = ekfac.layers()[0].diagonal().unwrap();
    let expected: f64 = layer.iter().map(|s| (s + damping).ln()).sum();
    assert_eq!(layer.len() + unused, all);
    assert!((own - expected - damping.ln()).abs() < 1e-10, "{own}, {expected}");
}

/// No bias, an error that falls as 1/√probes, and no negative number, in every likelihood and both reductions.
#[test]
fn it_tends_to_the_dense_diagonal() {
    for reduction in [Reduction::Sum, Reduction::Mean] {
        let objective = normalized(5, reduction);
        for likelihood in
            [Likelihood::Categorical, Likelihood::Bernoulli, Likelihood::Gaussian { variance: 0.3 }]
        {
            let exact = Fisher::exact(&objective, likelihood).unwrap();
            let truth = diagonal(&exact, &objective, "norm.*");
            let error = |probes: usize| {
                let errors = (0..6).map(|seed| {
                    let config = estimated(KfacFisher::Exact, probes, seed);
                    let kfac = config.init(&objective, likelihood).unwrap();
                    let found = diagonal(&kfac, &objective, "norm.*");
                    assert!(found.iter().all(|&number| number >= 0.0));
                    distance(&found, &truth).powi(2)
                });
                (errors.sum::<f64>() / 6.0).sqrt()
            };
            let (few, many) = (error(8), error(512));
            assert!(many < 0.15, "{likelihood:?}: {many}");
            let ratio = few / many;
            assert!((4.0..16.0).contains(&ratio), "{likelihood:?}: {ratio}");
        }
    }
}

#[test]
fn every_type_estimates_its_own_matrix() {
    let objective = normalized(5, Reduction::Mean);
    let likelihood = Likelihood::Gaussian { variance: 0.1 };
    let exact = Fisher::exact(&objective, likelihood).unwrap();
    let empirical = EmpiricalFisher::new(&objective).unwrap();
    let matrices: [(KfacFisher, &dyn SelfAdjoint<B>); 3] = [
        (KfacFisher::MonteCarlo { draws: 1, seed: 1 }, &exact),
        (KfacFisher::ForwardOnly, &exact),
        (KfacFisher::Empirical, &empirical),
    ];
    for (fisher, matrix) in matrices {
        let truth = diagonal(matrix, &objective, "norm.*");
        let config = estimated(fisher, 1024, 2);
        let kfac = config.init(&objective, likelihood).unwrap();
        let error = distance(&diagonal(&kfac, &objective, "norm.*"), &truth);
        assert!(error < 0.1, "{fisher:?}: {error}");
    }
    let [exact, empirical] =
        [&exact as &dyn SelfAdjoint<B>, &empirical].map(|one| diagonal(one, &objective, "norm.*"));
    assert!(distance(&exact, &empirical) > 0.5); // they can be told apart
}

#[test]
fn batches_of_a_data_set_have_signs_of_their_own() {
    let objective = normalized(4, Reduction::Mean);
    let x = random([9, 3], 7);
    let parts = [0..4, 4..8, 8..9].map(|range| x.clone().slice([range]));
    let risk = objective.over(parts, Reduction::Mean).unwrap();
    let exact = Fisher::exact(&risk, GAUSSIAN).unwrap();
    let truth = diagonal(&exact, &risk, "norm.*");
    let config = estimated(KfacFisher::Exact, 512, 1);
    let kfac = config.init(&risk, GAUSSIAN).unwrap();
    let error = distance(&diagonal(&kfac, &risk, "norm.*"), &truth);
    assert!(error < 0.1, "{error}");
}

/// By the program of gradient and factors, which goes forward once.
#[test]
fn with_the_gradient_it_is_that_of_its_own_pass() {
    let objective = normalized(6, Reduction::Mean);
    let x = random([9, 3], 8);
    let parts = [0..4, 4..8, 8..9].map(|range| x.clone().slice([range]));
    let risk = objective.over(parts, Reduction::Mean).unwrap();
    let v = risk.parameters().space().normal(3);
    for fisher in [
        KfacFisher::Exact,
        KfacFisher::MonteCarlo { draws: 2, seed: 4 },
        KfacFisher::Empirical,
        KfacFisher::ForwardOnly,
    ] {
        for likelihood in [GAUSSIAN, Likelihood::Bernoulli] {
            let config = estimated(fisher, 3, 5);
            let alone = config.init(&risk, likelihood).unwrap();
            let (kfac, at) = config.init_with_gradient(&risk, likelihood).unwrap();
            assert!(relative_error(&at.gradient, &risk.gradient().unwrap()) < 1e-13);
            let [found, expected] = [&kfac, &alone].map(|kfac| diagonal(kfac, &risk, "norm.*"));
            assert!(distance(&found, &expected) < 1e-13, "{fisher:?} {found:?}, {expected:?}");
            let [found, expected] = [&kfac, &alone].map(|kfac| kfac.apply(&v).unwrap());
            assert!(relative_error(&found, &expected) < 1e-13, "{fisher:?}");
        }
    }
}

#[test]
fn it_is_reported_saved_averaged_inverted_and_traced() {
    let objective = normalized(5, Reduction::Mean);
    let make = |seed| {
        let config = estimated(KfacFisher::Exact, 3, seed);
        config.init(&objective, GAUSSIAN).unwrap()
    };
    let (kfac, other) = (make(1), make(2));
    let Some(Treatment::Diagonal { probes: 3, .. }) = kfac.coverage().of("norm.gamma") else {
        panic!("{}", kfac.coverage());
    };
    let report = kfac.coverage().to_string();
    assert!(report.contains("diagonal, estimated by 3 probes"), "{report}");
    assert!(report.contains("8 elements have an estimate of their diagonal"), "{report}");
    let named: Vec<_> = kfac.coverage().estimated().map(|entry| &entry.parameter[..]).collect();
    assert_eq!(named, ["norm.gamma", "norm.beta"]);

    let saved = serde_json::to_string(&kfac.state().unwrap()).unwrap();
    let state: KfacState = serde_json::from_str(&saved).unwrap();
    let loaded = Kfac::from_state(&objective, &state).unwrap();
    assert_eq!(loaded.coverage(), kfac.coverage());
    let v = objective.parameters().space().normal(2);
    let product = |kfac: &Kfac<B>| kfac.apply(&v).unwrap();
    assert!(relative_error(&product(&loaded), &product(&kfac)) < 1e-14);

    let gamma = |kfac: &Kfac<B>| diagonal(kfac, &objective, "norm.gamma");
    let averaged = state.averaged(&other.state().unwrap(), 0.25).unwrap();
    let averaged = Kfac::from_state(&objective, &averaged).unwrap();
    for ((mean, old), new) in gamma(&averaged).iter().zip(gamma(&kfac)).zip(gamma(&other)) {
        assert!((mean - 0.25 * old - 0.75 * new).abs() < 1e-14);
    }
    // A diagonal and an exact block do not go together.
    let exact = without_draws().init(&objective, GAUSSIAN).unwrap();
    assert_eq!(exact.coverage().estimated().count(), 0);
    assert!(!exact.coverage().to_string().contains("estimate"));
    assert_eq!(
        state.averaged(&exact.state().unwrap(), 0.5).unwrap_err().downcast_ref(),
        Some(&KfacError::State)
    );

    let damped = product(&kfac).axpy(0.1, &v).unwrap();
    let inverse = kfac.inverse(0.1).unwrap();
    assert!(relative_error(&inverse.apply(&damped).unwrap(), &v) < 1e-10);
    let own = kfac.factored_inverse(0.1).unwrap().part_of("norm.gamma").unwrap().clone();
    let one = own.domain().full(1.0);
    for (found, number) in own.apply(&one).unwrap().to_vec().unwrap().iter().zip(gamma(&kfac)) {
        assert!((found - (number + 0.1).recip()).abs() < 1e-12);
    }
    let root = kfac.square_root().unwrap();
    let twice = root.apply(&root.apply(&v).unwrap()).unwrap();
    assert!(relative_error(&twice, &product(&kfac)) < 1e-10);
    let layers: f64 = kfac.layers().iter().map(|layer| layer.trace().unwrap()).sum();
    let beside: f64 = diagonal(&kfac, &objective, "norm.*").iter().sum();
    assert!((kfac.trace().unwrap() - layers - beside).abs() < 1e-12);

    let config = estimated(KfacFisher::Exact, 3, 1);
    let ekfac = config.init_ekfac(&objective, GAUSSIAN).unwrap();
    assert_eq!(diagonal(&ekfac, &objective, "norm.*"), diagonal(&kfac, &objective, "norm.*"));
    assert_eq!(ekfac.coverage(), kfac.coverage());
    let loaded = Ekfac::from_state(&objective, &ekfac.state().unwrap()).unwrap();
    assert_eq!(loaded.coverage(), ekfac.coverage());

    let config = estimated(KfacFisher::Exact, 0, 1);
    let error = config.init(&objective, GAUSSIAN).unwrap_err();
    assert_eq!(error.downcast_ref(), Some(&KfacError::NoProbes));
}
