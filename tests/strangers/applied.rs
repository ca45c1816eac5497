//! Influences, implicit gradients and Newton steps on data sets as they come: a last batch of fewer samples, a frozen part,
//! running statistics, sizes at which Burn merges samples and places. Against single samples and dense matrices, in f64.

use burn::{
    module::{Module, Param},
    prelude::*,
    tensor::activation::log_softmax,
};
use burn_curvature::{
    Batch, CaptureConfig, DirectConfig, GaussNewton, Hessian, KfacConfig, Likelihood,
    LinearOperator, Loss, Objective, Reduction,
    implicit::{HyperObjective, ImplicitConfig},
    influence::{Curvature, Estimator, InfluenceConfig, Query},
    materialize,
    optim::NewtonCgConfig,
};

use crate::{
    compare::relative_error,
    data_sets::{Images, Sentences},
    dense::{Rows, dot},
    oracle::solve,
    stranger::{drawn, labels, normal},
};

const DAMPING: f64 = 0.05;

type Pictures = (Tensor<4>, Tensor<1, Int>);
type Tokens = (Tensor<2, Int>, Tensor<1, Int>);

fn losses(z: &Tensor<2>, y: Tensor<1, Int>) -> Tensor<1> {
    -log_softmax(z.clone(), 1).gather(1, y.unsqueeze_dim(1)).squeeze_dim::<1>(1)
}

fn of_pictures(model: &Images, (x, y): Pictures) -> (Tensor<2>, Tensor<1>) {
    let z = model.forward(x);
    (z.clone(), losses(&z, y))
}

fn of_tokens(model: &Sentences, (x, y): Tokens) -> (Tensor<2>, Tensor<1>) {
    let z = model.forward(x);
    (z.clone(), losses(&z, y))
}

fn pictures(size: usize, seed: u64) -> Pictures {
    (normal([size, 1, 4, 4], seed), labels([size], 3, seed + 1))
}

fn tokens(size: usize, seed: u64) -> Tokens {
    (labels([size, 5], 20, seed), labels([size], 3, seed + 1))
}

/// A training set in batches, and by single samples.
struct Case {
    training: Objective,
    gradients: Rows,
    queries: Objective,
    /// The loss of the training set as a plain mean.
    plain: Objective,
}

fn case<M: Module + 'static, X: Batch + Send + 'static>(
    model: &M,
    batches: [X; 3],
    single: impl Fn(&X, usize) -> X,
    losses: fn(&M, X) -> (Tensor<2>, Tensor<1>),
) -> Case {
    let evaluation = CaptureConfig::new().evaluation();
    let [first, second, last] = batches;
    let capture = |batch: &X| {
        let closure = move |model: &M, batch: X| {
            let (z, losses) = losses(model, batch);
            (z, Loss::mean_of(losses))
        };
        evaluation.init(model, batch.clone(), closure).unwrap().in_f64().unwrap()
    };
    let plain = |batch: &X| {
        let closure = move |model: &M, batch: X| {
            let (z, losses) = losses(model, batch);
            (z, losses.mean())
        };
        evaluation.init(model, batch.clone(), closure).unwrap().in_f64().unwrap()
    };
    let alone = plain(&single(&first, 0));
    let sizes = [(&first, 4), (&second, 4), (&last, 3)];
    let gradients = sizes.into_iter().flat_map(|(batch, size)| {
        let of_sample = |n| alone.on(single(batch, n)).unwrap().gradient().unwrap();
        (0..size).map(of_sample).collect::<Vec<_>>()
    });
    Case {
        gradients: gradients.map(|gradient| gradient.to_vec().unwrap()).collect(),
        queries: capture(&second),
        plain: plain(&first)
            .over([first.clone(), second.clone(), last.clone()], Reduction::Mean)
            .unwrap(),
        training: capture(&first).over([first, second, last], Reduction::Mean).unwrap(),
    }
}

impl Case {
    /// c·∇fᵀ A⁻¹ ∇ℓₙ for the losses of the second batch, by A⁻¹ on a vector.
    fn scores(&self, inverse: impl Fn(&[f64]) -> Vec<f64>) -> Rows {
        let row = |f: &Vec<f64>| {
            let s = inverse(f);
            self.gradients.iter().map(|g| dot(g, &s) / self.gradients.len() as f64).collect()
        };
        self.gradients[4..8].iter().map(row).collect()
    }

    fn expect(&self, config: &InfluenceConfig, expected: &Rows) {
        let influence = config.init(&self.training).unwrap();
        let scores = influence.scores(Query::Samples(&self.queries)).unwrap();
        assert_eq!((scores.queries(), scores.samples()), (4, 11));
        let error = relative_error(scores.values(), &expected.concat());
        assert!(error < 1e-9, "{:?}: {error:e}", config.estimator);
        // One query alone takes another way through the layers.
        let alone = influence.visit_scores(Query::Samples(&self.queries), Some(1..2), |block| {
            let error = relative_error(&block.rows[0], &expected[1]);
            assert!(error < 1e-9, "{:?} alone: {error:e}", config.estimator);
            Ok(())
        });
        alone.unwrap();
    }

    fn without_curvature_and_by_kfac(&self) {
        let identity = InfluenceConfig::new(Estimator::Identity);
        self.expect(&identity, &self.scores(<[f64]>::to_vec));
        let kfac = KfacConfig::new();
        let inverse =
            kfac.init(&self.plain, Likelihood::Categorical).unwrap().inverse(DAMPING).unwrap();
        let space = self.plain.parameters().space().clone();
        let by_kfac =
            |f: &[f64]| inverse.apply(&space.vector(f).unwrap()).unwrap().to_vec().unwrap();
        let config = InfluenceConfig::new(Estimator::Kfac(kfac))
            .with_curvature(Curvature::Fisher(Likelihood::Categorical))
            .with_damping(DAMPING);
        self.expect(&config, &self.scores(by_kfac));
    }
}

fn rows<A: LinearOperator>(a: &A) -> Rows {
    let matrix = materialize(a).unwrap();
    matrix.values().chunks(matrix.columns()).map(<[f64]>::to_vec).collect()
}

fn damped(mut a: Rows, damping: f64) -> Rows {
    (0..a.len()).for_each(|i| a[i][i] += damping);
    a
}

fn picture((x, y): &Pictures, n: usize) -> Pictures {
    (x.clone().narrow(0, n, 1), y.clone().narrow(0, n, 1))
}

fn sentence((x, y): &Tokens, n: usize) -> Tokens {
    (x.clone().narrow(0, n, 1), y.clone().narrow(0, n, 1))
}

#[test]
fn influences_of_images_with_running_statistics_and_a_frozen_layer() {
    let model = drawn(Images::new());
    let case = case(&model, [pictures(4, 1), pictures(4, 3), pictures(3, 5)], picture, of_pictures);
    case.without_curvature_and_by_kfac();
    let a = damped(rows(&GaussNewton::new(&case.plain).unwrap()), DAMPING);
    let config = InfluenceConfig::new(Estimator::Dense(DirectConfig::new()))
        .with_curvature(Curvature::GaussNewton)
        .with_damping(DAMPING);
    case.expect(&config, &case.scores(|f| solve(&a, f)));
}

#[test]
fn influences_of_sentences_with_frozen_words() {
    let model = drawn(Sentences::new());
    let case = case(&model, [tokens(4, 1), tokens(4, 3), tokens(3, 5)], sentence, of_tokens);
    case.without_curvature_and_by_kfac();
}

/// The logarithm of a weight decay.
#[derive(Module, Debug)]
struct Decay {
    log: Param<Tensor<1>>,
}

fn penalized(model: &Images, decay: &Decay, batch: Pictures) -> (Tensor<2>, Tensor<1>) {
    let (z, losses) = of_pictures(model, batch);
    let penalty = model.head.weight.val().powi_scalar(2).sum() * decay.log.val().exp();
    (z, losses.mean() + penalty)
}

/// Against the blocks of the Hessian of both together, captured as one model.
#[test]
fn hypergradients_of_images_with_running_statistics_and_a_frozen_layer() {
    let damping = 5.0;
    let model = drawn(Images::new());
    let decay = Decay { log: Param::from_tensor(normal([1], 7)) };
    let batches = [pictures(4, 1), pictures(4, 3), pictures(3, 5)];
    let evaluation = CaptureConfig::new().evaluation();
    let inner =
        HyperObjective::capture_with(&evaluation, (&model, &decay), batches[0].clone(), penalized);
    let inner = inner.unwrap().in_f64().unwrap().over(batches.clone(), Reduction::Mean).unwrap();
    let outer = evaluation.init(&model, pictures(4, 9), |model, batch| {
        let (z, losses) = of_pictures(model, batch);
        (z, losses.mean())
    });
    let outer = outer.unwrap().in_f64().unwrap();

    let both = (model, decay);
    let joint = evaluation
        .init(&both, batches[0].clone(), |both, batch| penalized(&both.0, &both.1, batch));
    let joint = joint.unwrap().in_f64().unwrap().over(batches, Reduction::Mean).unwrap();
    let hessian = rows(&Hessian::new(&joint).unwrap());
    let n = outer.parameters().len();
    assert_eq!(hessian.len(), n + 1);
    let a: Rows = hessian[..n].iter().map(|row| row[..n].to_vec()).collect();
    let w = solve(&damped(a, damping), &outer.gradient().unwrap().to_vec().unwrap());
    let expected = -dot(&hessian[n][..n], &w);

    let solver = DirectConfig::new().init().unwrap();
    let function = ImplicitConfig::new().with_damping(damping).init(&inner).unwrap();
    let found = function.hypergradient(&outer, &solver).unwrap();
    let found_gradient = found.gradient.to_vec().unwrap();
    assert!(relative_error(&found_gradient, &[expected]) < 1e-9, "{found_gradient:?} {expected}");
    assert!(found.report.stationarity > 1e-3); // and it is not at the minimum, which the report says
    assert!(!found.report.is_sound());
    let probe = normal([1], 11).into_data().iter::<f64>().collect::<Vec<_>>();
    let tangent = function.mixed().domain().vector(&probe).unwrap();
    let column: Vec<f64> = hessian[..n].iter().map(|row| row[n] * probe[0]).collect();
    let mixed = function.mixed().apply(&tangent).unwrap().to_vec().unwrap();
    assert!(relative_error(&mixed, &column) < 1e-9);
}

/// The truncated solve is judged by its own residual; what is frozen and the running statistics stay.
#[test]
fn newton_steps_of_images_with_running_statistics_and_a_frozen_layer() {
    let model = drawn(Images::new());
    let case = case(&model, [pictures(4, 1), pictures(4, 3), pictures(3, 5)], picture, of_pictures);
    let objective = case.plain;
    let mut optimizer = NewtonCgConfig::new().init(&objective).unwrap();
    let mut moved = model.clone();
    for _ in 0..3 {
        let step;
        (moved, step) = optimizer.step_on(&moved, &objective).unwrap();
        assert!(step.is_taken(), "{step}");
        let value = objective.at_model(&moved).unwrap().value().unwrap();
        let after = step.value_after.unwrap();
        // The model holds f32.
        assert!((value - after).abs() < 1e-5 * after.abs(), "{value} {after}");
        assert!(after < step.value);
    }
    let bits = |tensor: Tensor<4>| tensor.into_data();
    assert_eq!(bits(moved.first.weight.val()), bits(model.first.weight.val()));
    let statistics = |model: &Images| model.norm.running_mean.value().into_data();
    assert_eq!(statistics(&moved), statistics(&model));
}
