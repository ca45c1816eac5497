//! Kronecker factors of a model, their inverses and products, compared with the plain Burn gradient in one interleaved run.

pub mod config;

use burn::module::Module;
use burn_backend::AutodiffBackend;
use burn_curvature::{
    Batch, CaptureConfig, Ekfac, KfacConfig, LinearOperator, Objective, Reduction,
    backend::ProgramBackend,
};

use config::{DAMPING, LOSS};

use crate::{
    Backend, GRADIENT,
    figures::Figures,
    finish,
    harness::{Plan, Rounds, Samples},
    megabytes,
    models::Case,
};

/// Rounds of eigendecompositions, each of which takes as long as dozens of gradients.
const SLOW_ROUNDS: usize = 3;

const EXACT: &str = "kfac_factors_exact";
const FIGURES: [&str; 4] = ["kfac_factors", "kfac_inverse", "kfac_apply", "kfac_gradient_program"];
const SLOW_FIGURES: [&str; 2] = ["kfac_eigen", "ekfac_factors"];

/// Prints the figures of one model: `kfac_factors` is the gradient with all factors from one draw, `kfac_factors_exact`
/// from the exact Fisher matrix, unless the model is one whose places mix; `kfac_inverse` the factored inverse of factors on the host, `kfac_eigen` the exact one;
/// `ekfac_factors` the corrected diagonal from one draw, decompositions included.
pub fn measure<B, M, X>((backend, device): &Backend, plan: Plan, case: &Case<M, X>)
where
    B: AutodiffBackend,
    B::InnerBackend: ProgramBackend,
    M: Module + 'static,
    X: Batch + Send + 'static,
{
    let objective = Objective::<B>::capture_with(
        &CaptureConfig::new(),
        &case.model,
        case.batch.clone(),
        case.loss,
    )
    .and_then(|objective| objective.reduced_by(Reduction::Mean))
    .expect("the models of the benchmark can be captured");
    let (sampled, exact) = (config::drawn(1), config::exact());
    let collect =
        |config: &KfacConfig| config.init_with_gradient(&objective, LOSS).expect("factors");
    let (kfac, at) = collect(&sampled);
    let gradient = || finish(device, case.forward().backward());
    let inverse = kfac.factored_inverse(DAMPING).expect("an inverse");

    let mut rounds = Rounds::default();
    rounds.add(GRADIENT, gradient);
    rounds.add("kfac_factors", || finish(device, collect(&sampled)));
    let has_exact = exact.init(&objective, LOSS).is_ok();
    if has_exact {
        rounds.add(EXACT, || finish(device, collect(&exact)));
    }
    rounds.add("kfac_inverse", || {
        finish(device, kfac.factored_inverse(DAMPING).expect("an inverse"))
    });
    rounds.add("kfac_apply", || finish(device, inverse.apply(&at.gradient).expect("a product")));
    rounds
        .add("kfac_gradient_program", || finish(device, objective.gradient().expect("a gradient")));
    let samples = rounds.measure(plan);

    // Factors keep their decompositions.
    let fresh = || {
        let mut made = (0..2 * SLOW_ROUNDS).map(|_| collect(&sampled).0).collect::<Vec<_>>();
        move || made.pop().unwrap_or_else(|| collect(&sampled).0)
    };
    let (mut to_invert, mut to_correct) = (fresh(), fresh());
    let mut slow = Rounds::default();
    slow.add(GRADIENT, gradient);
    slow.add("kfac_eigen", || finish(device, to_invert().inverse(DAMPING).expect("an inverse")));
    slow.add("ekfac_factors", || {
        let ekfac = Ekfac::from_kfac(&to_correct(), &objective, LOSS, &sampled);
        finish(device, ekfac.expect("a diagonal"));
    });
    let slow = slow.measure(Plan { rounds: SLOW_ROUNDS, ..plan });

    let figures = Figures::new(case.name, backend);
    print(&figures, &FIGURES, &samples);
    print(&figures, &SLOW_FIGURES, &slow);
    figures.milliseconds("kfac_factors_ms", samples.seconds("kfac_factors"));
    figures.milliseconds("kfac_inverse_ms", samples.seconds("kfac_inverse"));
    figures.milliseconds("kfac_apply_ms", samples.seconds("kfac_apply"));
    if has_exact {
        print(&figures, &[EXACT], &samples);
        figures.milliseconds("kfac_factors_exact_ms", samples.seconds(EXACT));
        figures.value("kfac_factors_exact_mb", megabytes(|| drop(collect(&exact))));
    }
    figures.value("kfac_factors_mb", megabytes(|| drop(collect(&sampled))));
    figures.value("kfac_inverse_mb", megabytes(|| drop(kfac.factored_inverse(DAMPING))));
}

fn print(figures: &Figures, names: &[&str], samples: &Samples) {
    for figure in names {
        figures.quartiles(figure, samples.ratio(figure, GRADIENT));
        let shortest = samples.ratio_of_shortest(figure, GRADIENT);
        figures.value(&format!("{figure}_min"), shortest);
    }
}
