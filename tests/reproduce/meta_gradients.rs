//! The accuracy of meta-gradients on few-shot softmax regression with about a thousand parameters (Rajeswaran et al. 2019,
//! figure 2): by steps of conjugate gradients, and by steps of the inner solver, next to unrolled MAML.

use burn::prelude::*;
use burn_curvature::{
    ConjugateGradientConfig, DirectConfig, Error, Hessian, LanczosConfig, LinearOperator,
    Objective, ParamVector,
    implicit::{Imaml, ImamlConfig, InnerSolver, ProximalProblem},
};

use crate::{
    Outcome,
    figures::Figures,
    letters::{FEATURES, Letters, Shots},
    logistic::{Samples, Softmax},
    omniglot::Omniglot,
};

const EXACT: InnerSolver = InnerSolver::NewtonCg { steps: 60, gradient_norm: 1e-13 };
const CG_STEPS: [usize; 4] = [1, 2, 5, 10];

fn loss(model: &Softmax, samples: Samples) -> Tensor<1> {
    model.forward(samples).1.mean()
}

/// One task in f64 at a random start: its objective and its two batches.
struct Task {
    objective: Objective,
    training: Samples,
    test: Samples,
}

impl Task {
    fn new((training, test): (Samples, Samples), ways: usize, seed: u64) -> Result<Self, Error> {
        let device = training.0.device();
        let model = Softmax::new(training.0.dims()[1], ways, &device);
        let objective = Objective::capture(&model, training.clone(), loss)?.in_f64()?;
        let start = objective.parameters().space().normal(seed).scale(0.1);
        Ok(Self { objective: objective.at(&start)?, training, test })
    }

    fn imaml(&self, regularization: f64, inner: InnerSolver) -> Result<Imaml, Error> {
        ImamlConfig::new(regularization).with_inner(inner).init(&self.objective)
    }

    fn pairs(&self) -> [(Samples, Samples); 1] {
        [(self.training.clone(), self.test.clone())]
    }

    /// L(φ(θ))
    fn outer(&self, imaml: &Imaml) -> Result<f64, Error> {
        let (phi, _) = imaml.adapt(self.training.clone())?;
        self.objective.on(self.test.clone())?.at(&phi)?.value()
    }

    /// The error of k steps of conjugate gradients for several k, the condition number, and differences.
    fn by_cg_steps(&self, regularization: f64, name: &str, figures: &mut Figures) -> Outcome {
        let imaml = self.imaml(regularization, EXACT)?;
        let exact = imaml.meta_gradient(self.pairs(), &DirectConfig::new().init()?)?.gradient;
        let (phi, _) = imaml.adapt(self.training.clone())?;
        let there = self.objective.on(self.training.clone())?.at(&phi)?;
        let hessian = Hessian::new(&there)?;
        let largest = LanczosConfig::new().init()?.eigenpairs(&hessian)?.report.largest();
        let condition = 1.0 + largest / regularization; // fewer samples than parameters: λmin(H) = 0
        figures.note(&format!("{name}.condition"), condition);
        let matrix = hessian.scaled(1.0 / regularization)?.damped(1.0)?;
        let norm = |v: &ParamVector| -> Result<f64, Error> { Ok(v.dot(&matrix.apply(v)?)?.sqrt()) };
        for steps in CG_STEPS {
            let solver = ConjugateGradientConfig::new()
                .with_relative_tolerance(1e-15)
                .with_max_iterations(Some(steps))
                .init()?;
            let apart = imaml.meta_gradient(self.pairs(), &solver)?.gradient.sub(&exact)?;
            let error = apart.norm()? / exact.norm()?;
            let most = match (steps, regularization) {
                (5, 2.0) => 1e-4,
                (5, _) => 0.05,
                _ => 1.0,
            };
            figures.expect(&format!("{name}.cg_{steps}"), error, 0.0..=most);
            let root = condition.sqrt();
            let bound = 2.0 * ((root - 1.0) / (root + 1.0)).powi(steps as i32);
            let in_energy = norm(&apart)? / norm(&exact)?;
            figures.expect(&format!("{name}.cg_{steps}.over_bound"), in_energy / bound, 0.0..=1.0);
        }
        let direction = exact.space().normal(7).scale(0.1);
        let at = |h: f64| -> Result<f64, Error> {
            let theta = self.objective.parameters().clone().axpy(h, &direction)?;
            self.outer(&imaml.at(&theta)?)
        };
        let central = |h: f64| -> Result<f64, Error> { Ok((at(h)? - at(-h)?) / (2.0 * h)) };
        let [a, b, c] = [central(0.08)?, central(0.04)?, central(0.02)?];
        let (ab, bc) = ((4.0 * b - a) / 3.0, (4.0 * c - b) / 3.0);
        let (found, expected) = ((16.0 * bc - ab) / 15.0, exact.dot(&direction)?);
        let error = ((found - expected) / expected).abs();
        figures.expect(&format!("{name}.differences"), error, 0.0..=1e-9);
        Ok(())
    }

    /// The errors of iMAML and of unrolled MAML after T inner steps.
    fn by_inner_steps(&self, regularization: f64, name: &str, figures: &mut Figures) -> Outcome {
        let solver = ConjugateGradientConfig::new().with_relative_tolerance(1e-12).init()?;
        let exact = self.imaml(regularization, EXACT)?.meta_gradient(self.pairs(), &solver)?;
        let rate = 0.7 / (regularization + 0.7);
        for steps in [1, 2, 4, 8, 16, 32] {
            let inner = InnerSolver::GradientDescent { steps, rate };
            let imaml = self.imaml(regularization, inner)?;
            let implicit = imaml.meta_gradient(self.pairs(), &solver)?.gradient;
            let (unrolled, states) = self.unrolled(&imaml, (steps, rate))?;
            let error = |found: ParamVector| -> Result<f64, Error> {
                Ok(found.sub(&exact.gradient)?.norm()? / exact.gradient.norm()?)
            };
            let (implicit, unrolled) = (error(implicit)?, error(unrolled)?);
            figures.note(&format!("{name}.{steps}.unrolled"), unrolled);
            figures.expect(&format!("{name}.{steps}.imaml"), implicit, 0.0..=unrolled);
            figures.expect(
                &format!("{name}.{steps}.states"),
                states as f64,
                steps as f64..=steps as f64,
            );
        }
        Ok(())
    }

    /// Reverse mode through gradient descent, with every state kept, and how many.
    fn unrolled(
        &self,
        imaml: &Imaml,
        (steps, rate): (usize, f64),
    ) -> Result<(ParamVector, usize), Error> {
        let problem: ProximalProblem = imaml.problem(self.training.clone())?;
        let mut states = Vec::new();
        let mut phi = problem.center().clone();
        for _ in 0..steps {
            states.push(phi.clone());
            phi = phi.clone().axpy(-rate, &problem.value_and_gradient(&phi)?.gradient)?;
        }
        let mut pulled = self.objective.on(self.test.clone())?.at(&phi)?.gradient()?;
        let mut sum = pulled.space().zeros();
        for state in states.iter().rev() {
            sum = sum.axpy(rate * problem.regularization(), &pulled)?;
            let product = problem.loss().at(state)?.hessian_vector_product(&pulled)?;
            let kept = 1.0 - rate * problem.regularization();
            pulled = pulled.scale(kept).axpy(-rate, &product)?;
        }
        Ok((sum.add(&pulled)?, states.len()))
    }

    fn check(&self, name: &str, figures: &mut Figures) -> Outcome {
        for regularization in [2.0, 0.1] {
            let name = format!("{name}.{regularization}");
            self.by_cg_steps(regularization, &name, figures)?;
            self.by_inner_steps(regularization, &name, figures)?;
        }
        Ok(())
    }
}

/// All products of two of (1, x), with rows of mean squared norm 4.
fn quadratic((x, y): Samples) -> Samples {
    let [n, _] = x.dims();
    let one = Tensor::ones([n, 1], &x.device());
    let x = Tensor::cat(vec![one, x], 1);
    let columns = (0..=FEATURES).flat_map(|i| {
        let first = x.clone().narrow(1, i, 1);
        let rest = x.clone().narrow(1, i, FEATURES + 1 - i);
        std::iter::once(rest * first)
    });
    normalized((Tensor::cat(columns.collect(), 1), y))
}

/// Rows of mean squared norm 4.
fn normalized((x, y): Samples) -> Samples {
    let n = x.dims()[0] as f64;
    let square = x.clone().powi_scalar(2).sum().into_data().iter::<f64>().sum::<f64>();
    (x * (4.0 * n / square).sqrt(), y)
}

#[test]
#[ignore = "takes a while, see main.rs"]
fn meta_gradients_on_letters() -> Outcome {
    let device = Device::default().autodiff();
    let letters = Letters::load()?;
    let shots = Shots { ways: 6, training: 5, test: 5 };
    let classes: Vec<usize> = (0..26).collect();
    let mut figures = Figures::default();
    for seed in [1, 2, 3] {
        let (training, test) = letters.task(&classes, shots, (seed, &device));
        let task = Task::new((quadratic(training), quadratic(test)), shots.ways, seed)?;
        if seed == 1 {
            figures.note("letters.parameters", task.objective.layout().len() as f64);
        }
        task.check(&format!("letters.{seed}"), &mut figures)?;
    }
    assert!(figures.print());
    Ok(())
}

#[test]
#[ignore = "takes a while, see main.rs"]
fn meta_gradients_on_omniglot() -> Outcome {
    let device = Device::default().autodiff();
    let Some(omniglot) = Omniglot::load()? else { return Ok(()) };
    let mut figures = Figures::default();
    for seed in [1, 2, 3] {
        let (training, test) = omniglot.task((5, 5), (seed, &device));
        let task = Task::new((normalized(training), normalized(test)), 5, seed)?;
        task.check(&format!("omniglot.{seed}"), &mut figures)?;
    }
    assert!(figures.print());
    Ok(())
}
