//! Steps with the eigenvalue-corrected inverse: compared with the same on dense matrices, and in training.

use crate::failure::failure;
use burn::tensor::{DType, Device};
use burn_curvature::{
    KfacConfig, KfacOptimizerConfig,
    errors::{KfacError, OptimizerError},
    kfac::KfacFisher,
    optim::{KfacInverse, StepRule},
};

use super::{TARGET, exact_config, optimizer, parameters, problem};
use crate::{B, Classifier, dense::dot, without_draws};

type Matrix = Vec<Vec<f64>>;

const RATE: f64 = 0.3;
const DAMPING: f64 = 0.2;
const DECAY: f64 = 0.6;

/// Eigenvectors (as rows) and eigenvalues by Jacobi's rotations.
fn eigen(matrix: &Matrix) -> (Matrix, Vec<f64>) {
    let n = matrix.len();
    let mut a = matrix.clone();
    let mut vectors: Matrix =
        (0..n).map(|i| (0..n).map(|j| f64::from(u8::from(i == j))).collect()).collect();
    for _ in 0..30 {
        for p in 0..n {
            for q in p + 1..n {
                let angle = 0.5 * (2.0 * a[p][q]).atan2(a[q][q] - a[p][p]);
                let (sin, cos) = angle.sin_cos();
                for row in &mut a {
                    (row[p], row[q]) = (cos * row[p] - sin * row[q], sin * row[p] + cos * row[q]);
                }
                for rows in [&mut a, &mut vectors] {
                    let (above, below) = rows.split_at_mut(q);
                    for (x, y) in above[p].iter_mut().zip(&mut below[0]) {
                        (*x, *y) = (cos * *x - sin * *y, sin * *x + cos * *y);
                    }
                }
            }
        }
    }
    let values = (0..n).map(|i| a[i][i]).collect();
    (vectors, values)
}

/// What one layer has of a batch: every input with a one, and for each the output gradients of the Fisher matrix' root.
struct Seen {
    inputs: Vec<Vec<f64>>,
    gradients: Vec<Vec<Vec<f64>>>,
}

/// Both layers of the classifier, by hand.
fn seen(theta: &[f64], x: &[f64]) -> [Seen; 2] {
    let (w1, b1, w2, b2) = (&theta[..20], &theta[20..25], &theta[25..40], &theta[40..]);
    let mut layers = [(); 2].map(|()| Seen { inputs: Vec::new(), gradients: Vec::new() });
    for x in x.chunks(4) {
        let column = |w: &[f64], width: usize, o: usize| -> Vec<f64> {
            w.iter().skip(o).step_by(width).copied().collect()
        };
        let h: Vec<f64> = (0..5).map(|o| (dot(&column(w1, 5, o), x) + b1[o]).tanh()).collect();
        let z: Vec<f64> = (0..3).map(|o| (dot(&column(w2, 3, o), &h) + b2[o]).exp()).collect();
        let total: f64 = z.iter().sum();
        let p: Vec<f64> = z.iter().map(|z| z / total).collect();
        let roots: Vec<Vec<f64>> = (0..3)
            .map(|c| {
                let one = |o: usize| f64::from(u8::from(o == c));
                (0..3).map(|o| p[c].sqrt() * (one(o) - p[o])).collect()
            })
            .collect();
        let back = |u: &Vec<f64>| -> Vec<f64> {
            let slopes = h.iter().zip(w2.chunks(3));
            slopes.map(|(h, row)| (1.0 - h * h) * dot(row, u)).collect()
        };
        layers[0].gradients.push(roots.iter().map(back).collect());
        layers[0].inputs.push(x.iter().copied().chain([1.0]).collect());
        layers[1].gradients.push(roots);
        layers[1].inputs.push(h.iter().copied().chain([1.0]).collect());
    }
    layers
}

/// Σ of outer products, times a factor.
fn moment<'a>(rows: impl Iterator<Item = &'a Vec<f64>>, factor: f64) -> Matrix {
    let mut rows = rows.peekable();
    let n = rows.peek().unwrap().len();
    let mut sum = vec![vec![0.0; n]; n];
    for row in rows {
        for i in 0..n {
            for j in 0..n {
                sum[i][j] += factor * row[i] * row[j];
            }
        }
    }
    sum
}

fn mix(keep: f64, old: &mut Matrix, new: &Matrix) {
    for (old, new) in old.iter_mut().flatten().zip(new.iter().flatten()) {
        *old = keep * *old + (1.0 - keep) * new;
    }
}

/// A layer's averages and bases.
#[derive(Clone, Default)]
struct Layer {
    a: Matrix,
    g: Matrix,
    u: Matrix,
    w: Matrix,
    s: Matrix,
}

impl Layer {
    fn update(&mut self, seen: &Seen, keep: f64) {
        let share = 1.0 / seen.inputs.len() as f64;
        let a = moment(seen.inputs.iter(), share);
        let g = moment(seen.gradients.iter().flatten(), share);
        if self.a.is_empty() {
            (self.a, self.g) = (a, g);
        } else {
            mix(keep, &mut self.a, &a);
            mix(keep, &mut self.g, &g);
        }
    }

    fn decompose(&mut self) {
        let ((u, of_a), (w, of_g)) = (eigen(&self.a), eigen(&self.g));
        let row = |a: &f64| of_g.iter().map(|g| a * g).collect();
        (self.u, self.w, self.s) = (u, w, of_a.iter().map(row).collect());
    }

    fn correct(&mut self, seen: &Seen, keep: f64) {
        let mut new = vec![vec![0.0; self.w.len()]; self.u.len()];
        for (input, gradients) in seen.inputs.iter().zip(&seen.gradients) {
            for gradient in gradients {
                for (i, u) in self.u.iter().enumerate() {
                    for (j, w) in self.w.iter().enumerate() {
                        let one = dot(u, input) * dot(w, gradient);
                        new[i][j] += one * one / seen.inputs.len() as f64;
                    }
                }
            }
        }
        mix(keep, &mut self.s, &new);
    }

    /// U (Uᵀ V W / (s + λ)) Wᵀ, for V with the bias as its last row.
    fn solve(&self, v: &[f64]) -> Vec<f64> {
        let width = self.w.len();
        let mut solution = vec![0.0; v.len()];
        for (i, u) in self.u.iter().enumerate() {
            for (j, w) in self.w.iter().enumerate() {
                let rows = v.chunks(width).map(|row| dot(row, w));
                let coordinate = dot(&rows.collect::<Vec<_>>(), u) / (self.s[i][j] + DAMPING);
                for (at, number) in solution.iter_mut().enumerate() {
                    *number += coordinate * u[at / width] * w[at % width];
                }
            }
        }
        solution
    }
}

/// The same values in f64, so that steps are not rounded.
fn in_f64(mut model: Classifier) -> Classifier {
    for layer in [&mut model.hidden, &mut model.output] {
        layer.weight =
            layer.weight.clone().map(|weight| weight.cast(DType::F64).detach().require_grad());
        let bias = layer.bias.take();
        layer.bias =
            bias.map(|bias| bias.map(|bias| bias.cast(DType::F64).detach().require_grad()));
    }
    model
}

fn config(factor_period: usize) -> KfacOptimizerConfig {
    KfacOptimizerConfig::stochastic(RATE)
        .with_kfac(without_draws())
        .with_rule(StepRule::LearningRate { rate: RATE, momentum: 0.0, limit: None })
        .with_damping(DAMPING)
        .with_decay(DECAY)
        .with_inverse_period(5)
        .with_factor_period(factor_period)
        .with_inverse(KfacInverse::EigenvalueCorrected)
}

#[test]
fn steps_are_those_of_dense_matrices() {
    let device = Device::flex().autodiff();
    for (seed, period) in [(1, 1), (2, 1), (3, 2)] {
        let (model, batch, objective) = problem::<B>(seed, &device);
        let mut model = in_f64(model);
        let mut optimizer = optimizer(&config(period), &objective);
        let (mut layers, mut updates) = ([Layer::default(), Layer::default()], 0);
        for k in 1..=12 {
            // Batches of four samples, one after another.
            let rows = 4 * (k % 3)..4 * (k % 3) + 4;
            let part = (batch.0.clone().slice([rows.clone()]), batch.1.clone().slice([rows]));
            let theta = parameters(&model);
            let x: Vec<f64> = part.0.to_data().iter().collect();
            let at = objective.on(part.clone()).unwrap();
            let at = at.at(&objective.parameters().space().vector(&theta).unwrap());
            let gradient = at.unwrap().gradient().unwrap().to_vec().unwrap();

            let seen = seen(&theta, &x);
            let collected = k == 1 || k % period == 0;
            updates += usize::from(collected);
            let keep = (1.0 - 1.0 / updates as f64).min(DECAY);
            let mut expected = Vec::new();
            for ((layer, seen), own) in layers.iter_mut().zip(&seen).zip([0..25, 25..43]) {
                if collected {
                    layer.update(seen, keep);
                }
                if k <= 3 || k % 5 == 0 {
                    layer.decompose();
                }
                if collected {
                    layer.correct(seen, keep);
                }
                expected.extend(layer.solve(&gradient[own]));
            }
            let (moved, step) = optimizer.step(&model, part).unwrap();
            assert_eq!(step.inverted, k <= 3 || k % 5 == 0);
            let moved_to = parameters(&moved);
            for ((old, new), expected) in theta.iter().zip(&moved_to).zip(&expected) {
                let found = (old - new) / RATE;
                assert!(
                    (found - expected).abs() < 1e-9 * (1.0 + expected.abs()),
                    "step {k}: {found} for {expected}"
                );
            }
            model = moved;
        }
    }
}

/// Martens & Grosse's steps with the corrected inverse lower the objective as with K-FAC's exact one.
#[test]
fn the_quadratic_model_takes_corrected_directions() {
    let device = Device::flex().autodiff();
    for seed in 1..4 {
        let (start, batch, objective) = problem::<B>(seed, &device);
        let ends = [KfacInverse::Exact, KfacInverse::EigenvalueCorrected].map(|kind| {
            let config = exact_config().with_inverse(kind).with_search_period(Some(6));
            let (mut model, mut optimizer) = (start.clone(), optimizer(&config, &objective));
            let mut values = Vec::new();
            for _ in 0..30 {
                let step;
                (model, step) = optimizer.step(&model, batch.clone()).unwrap();
                values.push(step.value);
            }
            assert!(values[29] < 0.5 * values[0], "{kind:?}: {values:?}");
            values[29]
        });
        assert!(ends[1] < 1.2 * ends[0], "seed {seed}: {ends:?}");
    }
}

/// Mini-batches with drawn targets, bases that stay for the whole training: the loss on all data falls.
#[test]
fn mini_batches_train_in_old_bases() {
    let device = Device::flex().autodiff();
    for seed in 1..4 {
        let (mut model, batch, objective) = problem::<B>(seed, &device);
        let kfac = KfacConfig::new().with_fisher(KfacFisher::MonteCarlo { draws: 1, seed });
        let config = KfacOptimizerConfig::stochastic(0.3)
            .with_kfac(kfac)
            .with_inverse(KfacInverse::EigenvalueCorrected)
            .with_inverse_period(1000);
        let mut optimizer = optimizer(&config, &objective);
        let before = objective.value().unwrap();
        for k in 0..60 {
            let rows = 4 * (k % 3)..4 * (k % 3) + 4;
            let part = (batch.0.clone().slice([rows.clone()]), batch.1.clone().slice([rows]));
            (model, _) = optimizer.step(&model, part).unwrap();
        }
        let theta = objective.parameters().space().vector(&parameters(&model));
        let after = objective.at(&theta.unwrap()).unwrap().value().unwrap();
        assert!(after < 0.7 * before, "seed {seed}: {before} to {after}");
    }
}

#[test]
fn what_has_no_diagonal_is_refused() {
    let device = Device::flex().autodiff();
    let (model, batch, objective) = problem::<B>(1, &device);
    let forward = KfacConfig::new().with_fisher(KfacFisher::ForwardOnly);
    let error = config(1).with_kfac(forward).init(&objective, TARGET);
    assert_eq!(failure(&error), Some(&KfacError::NoDiagonal));
    // A state of the one kind of inverse is none of the other.
    let kinds = [KfacInverse::EigenvalueCorrected, KfacInverse::Exact];
    for (own, other) in [(kinds[0], kinds[1]), (kinds[1], kinds[0])] {
        let mut whole = optimizer(&config(1).with_inverse(own), &objective);
        whole.step(&model, batch.clone()).unwrap();
        let state = whole.state().unwrap();
        let other = config(1).with_inverse(other);
        let error = other.resume(&objective, TARGET, &state);
        assert!(matches!(error.unwrap_err().downcast_ref(), Some(OptimizerError::State { .. })));
    }
}
