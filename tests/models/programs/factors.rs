//! K-FAC and its optimizer on random networks.

use std::collections::HashMap;

use burn::module::Module;
use burn_curvature::{
    CaptureConfig, EmpiricalFisher, Error, Fisher, KfacConfig, KfacOptimizerConfig, Likelihood,
    LinearOperator, Objective, ParamVector, Reduction,
    errors::{KfacError, LikelihoodError, ObjectiveError},
    kfac::{KfacFisher, UncoveredPolicy},
    materialize,
    optim::StepRule,
};

use super::{
    Case, SEEDS, capture, case, close,
    net::{Kind, Net, Step, draw},
    oracle::{Form, Task, Vector, batch, loss},
};
use crate::{random::SplitMix64, without_draws};

fn likelihood(classes: bool) -> Likelihood {
    if classes { Likelihood::Categorical } else { Likelihood::Gaussian { variance: 1.0 } }
}

/// The sums of the diagonal of a matrix over the parameters, and its blocks.
struct Blocks {
    values: Vec<f64>,
    /// Where a parameter begins, and its length.
    ranges: HashMap<String, (usize, usize)>,
    n: usize,
}

impl Blocks {
    fn of(
        objective: &Objective,
        fisher: KfacFisher,
        likelihood: Likelihood,
    ) -> Result<Self, Error> {
        let matrix = match fisher {
            KfacFisher::Empirical => materialize(&EmpiricalFisher::new(objective)?)?,
            KfacFisher::MonteCarlo { draws, seed } => {
                materialize(&Fisher::monte_carlo(objective, likelihood, draws, seed)?)?
            }
            _ => materialize(&Fisher::exact(objective, likelihood)?)?,
        };
        let (mut ranges, mut n) = (HashMap::new(), 0);
        for block in objective.layout().blocks() {
            ranges.insert(block.name().to_string(), (n, block.len()));
            n += block.len();
        }
        Ok(Self { values: matrix.values().to_vec(), ranges, n })
    }

    fn block(&self, name: &str) -> Vec<f64> {
        let (start, len) = self.ranges[name];
        let entry = |at: usize| self.values[(start + at / len) * self.n + start + at % len];
        (0..len * len).map(entry).collect()
    }

    fn trace(&self, name: &str) -> f64 {
        let (start, len) = self.ranges[name];
        (start..start + len).map(|at| self.values[at * self.n + at]).sum()
    }
}

/// Checks what theory says is exact: the traces of corrected blocks of weights that are used once in a sample, and the
/// blocks of all that is no layer. Returns how many were checked.
fn check(
    seed: u64,
    (objective, task): (&Objective, &Task),
    fisher: KfacFisher,
) -> Result<usize, Error> {
    let likelihood = likelihood(task.classes);
    let config = KfacConfig::new()
        .with_fisher(fisher)
        .with_uncovered(UncoveredPolicy::ExactBlock { limit: 500 });
    let (kfac, ekfac) =
        (config.init(objective, likelihood)?, config.init_ekfac(objective, likelihood)?);
    let truth = Blocks::of(objective, fisher, likelihood)?;
    let at_places = |weight: &str| {
        let steps = &task.drawn.steps;
        steps
            .iter()
            .any(|step| matches!(step, Step::Places(at) if weight == format!("matrices.{at}")))
    };
    let mut checked = 0;
    for (layer, own) in kfac.layers().iter().zip(ekfac.layers()) {
        let weight = layer.weight();
        assert_eq!(weight, own.weight());
        let once = format!("{:?}", layer.treatment()).contains("uses: 1");
        if once && !at_places(weight) {
            let expected = truth.trace(weight) + layer.bias().map_or(0.0, |bias| truth.trace(bias));
            close(&format!("{fisher:?} {weight}"), seed, &[own.trace()?], &[expected]);
            checked += 1;
        }
    }
    for (parameter, factor) in kfac.uncovered() {
        close(parameter, seed, factor.values()?, &truth.block(parameter));
        checked += 1;
    }
    Ok(checked)
}

#[test]
fn what_is_exact_of_factors_is_that_of_the_fisher_matrix() {
    let mut checked = 0;
    for seed in 0..SEEDS {
        let Some(Case { task, coupled, drops, objective, .. }) = case(seed) else { continue };
        let stated = match task.form {
            Form::Mean => objective.reduced_by(Reduction::Mean),
            Form::Sum => objective.reduced_by(Reduction::Sum),
            _ => Ok(objective),
        };
        let stated = match stated {
            Ok(stated) => stated,
            Err(error) => {
                assert!(error.is::<ObjectiveError>() && (coupled || drops), "seed {seed}: {error}");
                continue;
            }
        };
        let drawn = KfacFisher::MonteCarlo { draws: 3, seed };
        for fisher in [KfacFisher::Exact, KfacFisher::Empirical, drawn] {
            match check(seed, (&stated, &task), fisher) {
                Ok(count) => checked += count,
                // Samples that depend on each other, or that count differently.
                Err(error) if error.is::<KfacError>() => {
                    assert!(coupled, "seed {seed}: {error}");
                }
                Err(error) => {
                    let weighted = task.form == Form::Weighted && error.is::<LikelihoodError>();
                    assert!(weighted, "seed {seed}: {error}");
                }
            }
        }
    }
    assert!(checked > 100, "{checked}");
}

fn statistics(net: &Net) -> Vec<f64> {
    let of_norm = |norm: burn::nn::BatchNorm| {
        [norm.running_mean.value(), norm.running_var.value()].map(|value| value.into_data())
    };
    let norms = net.norms.iter().flat_map(|norm| of_norm(norm.valid()));
    norms.flat_map(|data| data.iter::<f64>().collect::<Vec<_>>()).collect()
}

/// −rate·F⁻¹g with Burn's gradient in training mode and factors at the running statistics, which take part in the step.
#[test]
fn steps_are_those_by_hand() {
    for seed in 0..SEEDS {
        let mut random = SplitMix64::new(seed ^ 0x5555);
        let kind = Kind {
            norms: true,
            dropout: false,
            frozen: random.below(3) == 0,
            repeated: random.below(2) == 0,
        };
        let drawn = draw(kind, &mut random);
        let classes = drawn.widths[1] > 1 && random.below(2) == 0;
        let task = Task { drawn, form: Form::Mean, classes };
        let batch = batch(&task.drawn, 4 + random.below(4), &mut random);
        let Ok(objective) = capture(CaptureConfig::new().evaluation(), &task, &batch) else {
            continue; // All is frozen.
        };
        let objective = objective.reduced_by(Reduction::Mean).unwrap();
        let likelihood = likelihood(classes);
        let mut optimizer = KfacOptimizerConfig::stochastic(0.1)
            .with_kfac(without_draws())
            .with_rule(StepRule::LearningRate { rate: 0.1, momentum: 0.0, limit: None })
            .init(&objective, likelihood)
            .unwrap();
        // Copies that share no running statistics.
        let [mine, twin] = [0; 2].map(|_| task.drawn.net.valid().train());
        let steps = &task.drawn.steps;
        let value = loss(&twin, (steps, Form::Mean, classes), batch.clone()).1.into_tensor();
        let by_burn = value.clone().into_data().iter::<f64>().next().unwrap();
        let gradient: Vector = ParamVector::from_backward(&twin, value.backward()).unwrap();
        let kfac = without_draws().init(&objective.at_model(&twin).unwrap(), likelihood).unwrap();
        let delta = kfac.factored_inverse(1e-2).unwrap().apply(&gradient).unwrap();
        let (moved, report) = optimizer.step(&mine, batch).unwrap();
        close("value", seed, &[report.value], &[by_burn]);
        close("statistics", seed, &statistics(&moved), &statistics(&twin));
        let read = |net: &Net| ParamVector::from_module(net).unwrap();
        let (found, expected): (Vector, Vector) =
            (read(&moved), read(&delta.add_to(&twin, -0.1).unwrap()));
        let (found, expected) = (found.to_vec().unwrap(), expected.to_vec().unwrap());
        close("step", seed, &found, &expected);
    }
}
