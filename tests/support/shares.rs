//! A small network over batches that ranks share, and the figures that must be those of one process.

use std::{ops::Range, sync::Arc};

use burn::{
    module::{Module, Param},
    nn,
    prelude::*,
};
use burn_curvature::{
    Adjoint, ConjugateGradientConfig, Ekfac, EmpiricalFisher, Error, FiniteSum, Fisher,
    GaussNewton, Hessian, Jacobian, KfacConfig, KfacOptimizerConfig, LanczosConfig, Likelihood,
    LinearOperator, LinearSolver, Objective, ParamVector, Reduction, Solution, StopReason,
    TraceEstimatorConfig,
    communicator::Communicator,
    kfac::{KfacFisher, UncoveredPolicy},
};

use crate::random::SplitMix64;

/// Three classes from four features, with a layer that K-FAC does not cover.
#[derive(Module, Debug)]
pub struct Network {
    pub hidden: nn::Linear,
    pub norm: nn::LayerNorm,
    pub output: nn::Linear,
}

pub type Samples = (Tensor<2>, Tensor<1, Int>);

impl Network {
    pub fn new(seed: u64, device: &Device) -> Self {
        let mut numbers = SplitMix64::new(seed);
        let mut fill =
            |count: usize| -> Vec<f32> { (0..count).map(|_| numbers.symmetric(0.8)).collect() };
        let mut layer = |input: usize, output: usize| {
            let mut layer = nn::LinearConfig::new(input, output).init(device);
            let weight = TensorData::new(fill(input * output), [input, output]);
            layer.weight = Param::from_data(weight, device);
            layer.bias = Some(Param::from_data(TensorData::new(fill(output), [output]), device));
            layer
        };
        let (hidden, output) = (layer(4, 5), layer(5, 3));
        Self { hidden, norm: nn::LayerNormConfig::new(5).init(device), output }
    }

    pub fn forward(&self, x: Tensor<2>) -> Tensor<2> {
        let hidden = burn::tensor::activation::tanh(self.hidden.forward(x));
        self.output.forward(self.norm.forward(hidden))
    }
}

/// Batch `index` of the data: the last of [`BATCHES`] is ragged.
pub fn batch(index: usize, device: &Device) -> Samples {
    let count = if index + 1 == BATCHES { 5 } else { 8 };
    let mut numbers = SplitMix64::new(1000 + index as u64);
    let x: Vec<f32> = (0..4 * count).map(|_| numbers.symmetric(1.5)).collect();
    let y: Vec<i64> = (0..count).map(|_| numbers.below(3) as i64).collect();
    (
        Tensor::from_data(TensorData::new(x, [count, 4]), device),
        Tensor::from_data(TensorData::new(y, [count]), device),
    )
}

pub const BATCHES: usize = 5;

/// The batches of a rank: uneven, and none for one of three or four ranks.
pub fn share(rank: usize, size: usize) -> Range<usize> {
    let cuts: &[usize] = match size {
        1 => &[0, 5],
        2 => &[0, 1, 5],
        3 => &[0, 0, 3, 5],
        _ => &[0, 2, 2, 4, 5],
    };
    cuts[rank]..cuts[rank + 1]
}

pub fn batches(range: Range<usize>, device: &Device) -> Vec<Samples> {
    range.map(|index| batch(index, device)).collect()
}

/// Mean cross-entropy.
pub fn cross_entropy(model: &Network, (x, y): Samples) -> (Tensor<2>, Tensor<1>) {
    let z = model.forward(x);
    let loss = nn::loss::CrossEntropyLossConfig::new().init(&z.device()).forward(z.clone(), y);
    (z, loss)
}

pub fn captured(model: &Network, device: &Device) -> Result<Objective, Error> {
    // A rank without batches captures one too; it does not count.
    Objective::capture(model, batch(0, device), cross_entropy)?.in_f64()
}

/// The objective over the batches of a rank, or of one process.
pub fn risk<C: Communicator + 'static>(
    model: &Network,
    ranks: Option<Arc<C>>,
    device: &Device,
) -> Result<Objective, Error> {
    let captured = captured(model, device)?;
    let Some(ranks) = ranks else {
        return captured.over(batches(0..BATCHES, device), Reduction::Mean);
    };
    let mine = batches(share(ranks.rank(), ranks.size()), device);
    captured.shared(ranks)?.over(mine, Reduction::Mean)
}

/// Figures with their names.
pub type Figures = Vec<(String, Vec<f64>)>;

/// Values, gradients and products.
pub fn products(risk: &Objective) -> Result<Figures, Error> {
    let space = risk.parameters().space();
    let vectors = [space.normal(1), space.normal(2)];
    let likelihood = Likelihood::Categorical;
    let both = risk.value_and_gradient()?;
    let mut found: Figures = vec![
        ("value".into(), vec![risk.value()?, both.value]),
        ("gradient".into(), both.gradient.to_vec()?),
        ("Hv".into(), risk.hessian_vector_product(&vectors[0])?.to_vec()?),
    ];
    let operators: [(&str, Box<dyn LinearOperator<_>>); 5] = [
        ("Hessian", Box::new(Hessian::new(risk)?)),
        ("GaussNewton", Box::new(GaussNewton::new(risk)?)),
        ("exact Fisher", Box::new(Fisher::exact(risk, likelihood)?)),
        ("sampled Fisher", Box::new(Fisher::monte_carlo(risk, likelihood, 2, 7)?)),
        ("empirical Fisher", Box::new(EmpiricalFisher::new(risk)?)),
    ];
    for (name, operator) in operators {
        for (at, product) in operator.apply_many(&vectors)?.iter().enumerate() {
            found.push((format!("{name}, vector {at}"), product.to_vec()?));
        }
    }
    let hessian = Hessian::new(risk)?;
    let mut mean = space.zeros();
    for term in 0..hessian.terms() {
        let share = (hessian.terms() as f64).recip();
        mean = mean.axpy(share, &hessian.apply_term(term, &vectors[0])?)?;
    }
    found.push(("mean of the terms".into(), mean.to_vec()?));
    Ok(found)
}

/// Vectors of the data: the outputs of all batches, J v and Jᵀu.
pub fn rows(risk: &Objective) -> Result<Figures, Error> {
    let jacobian = Jacobian::new(risk)?;
    let outputs = risk.outputs()?;
    assert_eq!(outputs.space(), jacobian.codomain());
    let names = outputs.layout().blocks().iter().map(|block| block.name().to_string());
    assert!(names.eq((0..BATCHES).map(|batch| format!("outputs.{batch}"))));
    let space = risk.parameters().space();
    let tangents = [space.normal(1), space.normal(2)];
    let cotangents = [outputs.space().normal(3), outputs.clone()];
    let mut found: Figures = vec![
        ("outputs".into(), outputs.to_vec()?),
        ("their norm".into(), vec![outputs.norm()?]),
        ("J v".into(), jacobian.apply(&tangents[0])?.to_vec()?),
        ("Jᵀu".into(), jacobian.apply_adjoint(&cotangents[0])?.to_vec()?),
    ];
    for (at, product) in jacobian.apply_many(&tangents)?.iter().enumerate() {
        found.push((format!("J v, vector {at}"), product.to_vec()?));
    }
    for (at, product) in jacobian.apply_adjoint_many(&cotangents)?.iter().enumerate() {
        found.push((format!("Jᵀu, vector {at}"), product.to_vec()?));
    }
    Ok(found)
}

/// K-FAC in all its kinds, with covered and uncovered parameters.
pub fn kfac(risk: &Objective) -> Result<Figures, Error> {
    let v = risk.parameters().space().normal(3);
    let likelihood = Likelihood::Categorical;
    let mut found = Figures::new();
    for fisher in [
        KfacFisher::Exact,
        KfacFisher::MonteCarlo { draws: 2, seed: 5 },
        KfacFisher::ExactWhereCheap { passes: 1, draws: 2, seed: 6 },
        KfacFisher::ExactWhereCheap { passes: 9, draws: 2, seed: 6 },
        KfacFisher::Empirical,
        KfacFisher::ForwardOnly,
    ] {
        for uncovered in [
            UncoveredPolicy::ExactBlock { limit: 16 },
            UncoveredPolicy::Diagonal { probes: 2, seed: 9 },
        ] {
            let config = KfacConfig::new().with_fisher(fisher).with_uncovered(uncovered);
            let kfac = config.init(risk, likelihood)?;
            let inverse = kfac.inverse(0.1)?.apply(&v)?;
            let (with_gradient, _) = config.init_with_gradient(risk, likelihood)?;
            found.push((format!("K-FAC {fisher:?}, {uncovered:?}"), kfac.apply(&v)?.to_vec()?));
            let name = format!("K-FAC with the gradient {fisher:?}, {uncovered:?}");
            found.push((name, with_gradient.apply(&v)?.to_vec()?));
            found.push((format!("its inverse {fisher:?}, {uncovered:?}"), inverse.to_vec()?));
            if fisher != KfacFisher::ForwardOnly {
                let ekfac = Ekfac::from_kfac(&kfac, risk, likelihood, &config)?;
                let name = format!("EKFAC {fisher:?}, {uncovered:?}");
                found.push((name, ekfac.apply(&v)?.to_vec()?));
            }
        }
    }
    Ok(found)
}

/// (G + 0.1 I)⁻¹ ∇ℒ by conjugate gradients.
pub fn solution(risk: &Objective, tolerance: f64) -> Result<Solution, Error> {
    let damped = GaussNewton::new(risk)?.damped(0.1)?;
    let solver = ConjugateGradientConfig::new().with_relative_tolerance(tolerance).init()?;
    let solution = solver.solve(&damped, &risk.gradient()?)?;
    assert_eq!(solution.report.stop, StopReason::Converged);
    Ok(solution)
}

/// A solve, and spectra.
pub fn solves(risk: &Objective) -> Result<Figures, Error> {
    let accurate = solution(risk, 1e-13)?;
    // Close to rounding one step more or less is a matter of rounding; far from it the number is the same.
    let iterations = solution(risk, 1e-6)?.report.iterations as f64;
    let largest = LanczosConfig::new().with_pairs(2).init()?.eigenpairs(&Hessian::new(risk)?)?;
    let trace =
        TraceEstimatorConfig::new().with_products(8).init()?.estimate(&Hessian::new(risk)?)?;
    Ok(vec![
        ("CG".into(), accurate.x.to_vec()?),
        ("iterations to 1e-6".into(), vec![iterations]),
        ("eigenvalues".into(), largest.report.eigenvalues),
        ("trace".into(), vec![trace.estimate]),
    ])
}

/// Five steps of the K-FAC optimizer, on the whole objective.
pub fn training(risk: &Objective, model: &Network) -> Result<Figures, Error> {
    let mut optimizer = KfacOptimizerConfig::new().init(risk, Likelihood::Categorical)?;
    let (mut model, mut values) = (model.clone(), Vec::new());
    for _ in 0..5 {
        let (moved, step) = optimizer.step_on(&model, risk)?;
        model = moved;
        values.extend([step.value, step.damping, step.gamma]);
    }
    let after: ParamVector = ParamVector::from_module(&model)?;
    Ok(vec![("steps".into(), values), ("θ after five steps".into(), after.to_vec()?)])
}
