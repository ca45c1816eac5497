//! Inner products and quadratic forms of the gradients of single samples, against Burn's `backward()` on each sample alone,
//! in f64.

mod models;
mod refusals;

use burn::{
    backend::{Autodiff, Flex},
    module::{Module, ModuleMapper, Param},
    prelude::*,
    tensor::DType,
};
use burn_curvature::{
    Batch, CaptureConfig, KfacConfig, Likelihood, LinearOperator, Loss, Objective, ParamVector,
    Reduction,
    influence::{Curvature, Estimator, InfluenceConfig},
    kfac::{KfacFisher, SampleGradients, SampleScores, UncoveredPolicy},
    operator::{BlockDiagonal, Kronecker},
};

use crate::{compare::relative_error, random::SplitMix64};

type B = Autodiff<Flex>;

const TOLERANCE: f64 = 1e-10;

fn device() -> Device {
    Device::flex().autodiff()
}

fn random<const D: usize>(shape: [usize; D], seed: u64) -> Tensor<D> {
    let count = shape.iter().product();
    let values = SplitMix64::new(seed).normals(count);
    Tensor::from_data(TensorData::new(values, shape), (&device(), DType::F64))
}

fn indices<const D: usize>(shape: [usize; D], below: usize, seed: u64) -> Tensor<D, Int> {
    let mut random = SplitMix64::new(seed);
    let values: Vec<i64> =
        (0..shape.iter().product()).map(|_| random.below(below) as i64).collect();
    Tensor::from_data(TensorData::new(values, shape), &device())
}

/// Other values for all parameters, in f64.
struct InF64(SplitMix64);

impl ModuleMapper for InF64 {
    fn map_float<const D: usize>(&mut self, param: Param<Tensor<D>>) -> Param<Tensor<D>> {
        param.map(|tensor| {
            let shape = tensor.shape();
            let values: Vec<f64> =
                (0..shape.num_elements()).map(|_| 0.6 * self.0.normal()).collect();
            let data = TensorData::new(values, shape);
            Tensor::from_data(data, (&tensor.device(), DType::F64)).require_grad()
        })
    }
}

fn in_f64<M: Module>(model: M, seed: u64) -> M {
    model.map(&mut InF64(SplitMix64::new(seed)))
}

/// A model with the loss of a batch, and its samples one by one.
struct Case<M, X> {
    model: M,
    batch: X,
    samples: usize,
    one: fn(&X, usize) -> X,
    loss: fn(&M, X) -> (Tensor<2>, Loss),
}

impl<M: Module + Clone + 'static, X: Batch + Clone + 'static> Case<M, X> {
    fn objective(&self) -> Objective<B> {
        let config = CaptureConfig::new();
        let objective =
            Objective::capture_with(&config, &self.model, self.batch.clone(), self.loss).unwrap();
        objective.without_loss_check()
    }

    /// ∇ℓₙ by Burn.
    fn gradients(&self, objective: &Objective<B>) -> Vec<ParamVector<B>> {
        let gradient = |n: usize| {
            let one = (self.one)(&self.batch, n);
            let loss = (self.loss)(&self.model, one).1.into_tensor();
            let gradient = ParamVector::from_backward(&self.model, loss.backward()).unwrap();
            gradient.with_layout(objective.layout()).unwrap()
        };
        (0..self.samples).map(gradient).collect()
    }

    /// Checks all that gradients of samples are good for.
    fn check(&self) {
        self.check_gradients();
        self.check_scores();
    }

    /// Checks inner products with one vector and with several, and quadratic forms with several operators.
    fn check_gradients(&self) {
        let objective = self.objective();
        let truth = self.gradients(&objective);
        let gradients = SampleGradients::new(&objective).unwrap();
        check_inner_products(&objective, &gradients, &truth);
        for operator in operators(&objective) {
            check_quadratic_forms(&objective, &gradients, &truth, &operator);
        }
    }

    /// Scores of the samples for their own losses, a few at a time, with queries in one batch and in many.
    fn check_scores(&self) {
        let objective = &self.objective();
        let truth = self.gradients(objective);
        let config = KfacConfig::new()
            .with_fisher(KfacFisher::Empirical)
            .with_uncovered(UncoveredPolicy::ExactBlock { limit: 10_000 });
        let kfac = config.init(objective, Likelihood::Categorical).unwrap().inverse(0.1).unwrap();
        let ekfac = config.init_ekfac(objective, Likelihood::Categorical).unwrap();
        let ekfac = ekfac.inverse(0.1).unwrap();
        let ones = (0..self.samples).map(|n| (self.one)(&self.batch, n));
        let apart = objective.over(ones, Reduction::Mean).unwrap();
        let theta = objective.parameters();
        for (estimator, inverse, decay) in [
            (Estimator::Kfac(config), &kfac, 0.0),
            (Estimator::Ekfac(config), &ekfac, 0.0),
            (Estimator::Ekfac(config), &ekfac, 0.04),
        ] {
            let pull = theta.clone().scale(decay);
            let of = |f: &ParamVector<B>| {
                let solved = inverse.apply(f).unwrap();
                let score = |g: &ParamVector<B>| {
                    (g.dot(&solved).unwrap() + pull.dot(&solved).unwrap()) / self.samples as f64
                };
                truth.iter().map(score).collect::<Vec<f64>>()
            };
            let expected: Vec<f64> = truth.iter().flat_map(of).collect();
            let config = InfluenceConfig::new(estimator.clone())
                .with_curvature(Curvature::Fisher(Likelihood::Categorical))
                .with_damping(0.1 - decay)
                .with_weight_decay(decay);
            // One query is rotated out of the eigenbases, several meet the samples there.
            for at_once in [1, 3, 16] {
                let influence = config.clone().with_at_once(at_once).init(objective).unwrap();
                for queries in [objective, &apart] {
                    let found = influence.scores(queries).unwrap();
                    let error = relative_error(found.values(), &expected);
                    assert!(error < TOLERANCE, "{estimator:?}, {at_once} at once: {error:e}");
                }
            }
        }
    }
}

/// A vector on the weight and the bias of a part, zero elsewhere.
fn restricted(objective: &Objective<B>, vector: &ParamVector<B>, part: &str) -> ParamVector<B> {
    let bias = part.strip_suffix("weight").map(|layer| format!("{layer}bias"));
    let is_own = |name: &str| name == part || bias.as_deref() == Some(name);
    let subset = objective.layout().select_by(|block| is_own(block.name())).unwrap();
    subset.embed(&subset.restrict(vector).unwrap()).unwrap()
}

fn check_inner_products(
    objective: &Objective<B>,
    gradients: &SampleGradients,
    truth: &[ParamVector<B>],
) {
    for count in [1, 2, 5] {
        let space = objective.parameters().space();
        let vectors: Vec<_> = (0..count).map(|seed| space.normal(seed)).collect();
        let found = gradients.inner_products(objective, &vectors).unwrap();
        assert_eq!((found.samples(), found.vectors()), (truth.len(), vectors.len()));
        let expected = |of: &dyn Fn(&ParamVector<B>) -> ParamVector<B>| -> Vec<f64> {
            let pairs = truth.iter().flat_map(|g| vectors.iter().map(move |v| (g, v)));
            pairs.map(|(g, v)| of(g).dot(v).unwrap()).collect()
        };
        compare(objective, &found, &expected, &format!("{count} vectors"));
    }
}

fn check_quadratic_forms(
    objective: &Objective<B>,
    gradients: &SampleGradients,
    truth: &[ParamVector<B>],
    (name, operator): &(&str, BlockDiagonal<B, Kronecker<B>>),
) {
    let found = gradients.quadratic_forms(objective, operator).unwrap();
    assert_eq!((found.samples(), found.vectors()), (truth.len(), 1));
    let expected = |of: &dyn Fn(&ParamVector<B>) -> ParamVector<B>| -> Vec<f64> {
        let form = |g: &ParamVector<B>| {
            let g = of(g);
            operator.apply(&g).unwrap().dot(&g).unwrap()
        };
        truth.iter().map(form).collect()
    };
    compare(objective, &found, &expected, name);
}

type Restriction<'a> = &'a dyn Fn(&ParamVector<B>) -> ParamVector<B>;

fn compare(
    objective: &Objective<B>,
    found: &SampleScores,
    expected: &dyn Fn(Restriction<'_>) -> Vec<f64>,
    what: &str,
) {
    let whole = expected(&Clone::clone);
    let error = relative_error(&found.total(), &whole);
    assert!(error < TOLERANCE, "{what}: {error}");
    let size = whole.iter().map(|x| x * x).sum::<f64>().sqrt();
    for (part, values) in found.parts() {
        let own = expected(&|vector| restricted(objective, vector, part));
        let difference = values.iter().zip(&own).map(|(a, b)| (a - b).powi(2)).sum::<f64>().sqrt();
        assert!(difference < TOLERANCE * size, "{what}, {part}: {difference}");
    }
}

/// Inverses of K-FAC by eigenvalues and by factors, also with diagonals for parameters in no layer, its square root, and the
/// inverse of EKFAC.
fn operators(objective: &Objective<B>) -> Vec<(&'static str, BlockDiagonal<B, Kronecker<B>>)> {
    let config = KfacConfig::new()
        .with_fisher(KfacFisher::Empirical)
        .with_uncovered(UncoveredPolicy::ExactBlock { limit: 10_000 });
    let kfac = config.init(objective, Likelihood::Categorical).unwrap();
    let ekfac = config.init_ekfac(objective, Likelihood::Categorical).unwrap();
    let estimated = config.with_uncovered(UncoveredPolicy::Diagonal { probes: 2, seed: 1 });
    let estimated = estimated.init(objective, Likelihood::Categorical).unwrap();
    vec![
        ("inverse", kfac.inverse(0.1).unwrap()),
        ("factored inverse", kfac.factored_inverse(0.1).unwrap()),
        ("factored inverse of estimates", estimated.factored_inverse(0.1).unwrap()),
        ("square root", kfac.square_root().unwrap()),
        ("inverse of EKFAC", ekfac.inverse(0.1).unwrap()),
    ]
}

/// Outputs, and the cross-entropy of each sample.
fn cross_entropy(z: Tensor<2>, y: Tensor<1, Int>) -> (Tensor<2>, Tensor<1>) {
    let logs = burn::tensor::activation::log_softmax(z.clone(), 1);
    (z, logs.gather(1, y.unsqueeze_dim(1)).squeeze_dim::<1>(1).neg())
}

fn mean_cross_entropy(z: Tensor<2>, y: Tensor<1, Int>) -> (Tensor<2>, Loss) {
    let (z, losses) = cross_entropy(z, y);
    (z, Loss::mean_of(losses))
}
