//! Influence functions on the MLP, compared with the plain Burn gradient in one interleaved run.

use burn::tensor::{Tensor, activation::log_softmax};
use burn_backend::AutodiffBackend;
use burn_curvature::{
    CaptureConfig, ConjugateGradientConfig, KfacConfig, Likelihood, Loss, Objective,
    backend::ProgramBackend,
    influence::{Curvature, Estimator, Influence, InfluenceConfig},
    kfac::KfacFisher,
    solver::OnNegativeCurvature,
};

use crate::{
    Backend, DAMPING, GRADIENT, STEPS,
    figures::Figures,
    finish,
    harness::{Plan, Rounds},
    megabytes,
    models::mlp,
};

/// Queries whose scores are computed in one run.
const QUERIES: usize = 8;

/// Prints, in gradients of the batch of 256 rows:
///
/// | figure | what |
/// |---|---|
/// | `influence_cg` | gradient of one query, 20 steps of conjugate gradients on the damped Hessian, scores of all rows |
/// | `influence_scores` | scores of all rows for one vector: a forward-mode pass |
/// | `influence_scores_8` | the same for each of eight vectors in one run |
/// | `influence_kfac` | gradient of one query, inverse of EK-FAC, scores of all rows out of the layers |
/// | `influence_kfac_8` | the same for each of eight queries in one run |
/// | `influence_kfac_self` | self-influence of all rows by EK-FAC |
///
/// Factors and decompositions are made before; see `ekfac_factors` for them.
pub fn measure<B: AutodiffBackend>((name, device): &Backend, plan: Plan)
where
    B::InnerBackend: ProgramBackend,
{
    let case = mlp::case(&device.clone().autodiff());
    let config = CaptureConfig::new();
    let training = Objective::<B>::capture_with(&config, &case.model, case.batch.clone(), losses)
        .expect("the model of the benchmark is traceable");
    let rows = |count: usize| {
        let (images, classes) = case.batch.clone();
        training.on((images.narrow(0, 0, count), classes.narrow(0, 0, count))).expect("a batch")
    };
    let (query, queries) = (rows(1), rows(QUERIES));
    let by = |estimator: Estimator| -> Influence<B> {
        let config = InfluenceConfig::new(estimator)
            .with_damping(DAMPING)
            .with_curvature(Curvature::Fisher(Likelihood::Categorical));
        config.init(&training).expect("influences")
    };
    let cg = ConjugateGradientConfig::new()
        .with_relative_tolerance(1e-30)
        .with_max_iterations(Some(STEPS))
        .with_residual_replacement(None)
        .with_stagnation_window(None)
        .with_on_negative_curvature(OnNegativeCurvature::Continue);
    let cg = InfluenceConfig::new(Estimator::ConjugateGradient(cg)).with_damping(DAMPING);
    let cg = cg.init(&training).expect("influences");
    let sampled = KfacConfig::new().with_fisher(KfacFisher::MonteCarlo { draws: 1, seed: 1 });
    let (plain, ekfac) = (by(Estimator::Identity), by(Estimator::Ekfac(sampled)));
    let space = training.parameters().space();
    let vectors: Vec<_> = (0..QUERIES as u64).map(|seed| space.normal(seed)).collect();

    let mut rounds = Rounds::default();
    rounds.add(GRADIENT, || finish(device, case.forward().backward()));
    rounds.add("influence_cg", || drop(cg.scores(&query).expect("scores")));
    rounds.add("influence_scores", || drop(plain.scores(&vectors[0]).expect("scores")));
    rounds.add("influence_scores_8", || drop(plain.scores(&vectors).expect("scores")));
    rounds.add("influence_kfac", || drop(ekfac.scores(&query).expect("scores")));
    rounds.add("influence_kfac_8", || drop(ekfac.scores(&queries).expect("scores")));
    rounds.add("influence_kfac_self", || drop(ekfac.self_influence().expect("scores")));
    let samples = rounds.measure(plan);

    let figures = Figures::new(case.name, name);
    figures.milliseconds("influence_gradient_ms", samples.seconds(GRADIENT));
    for (figure, runs) in [
        ("influence_cg", 1.0),
        ("influence_scores", 1.0),
        ("influence_scores_8", QUERIES as f64),
        ("influence_kfac", 1.0),
        ("influence_kfac_8", QUERIES as f64),
        ("influence_kfac_self", 1.0),
    ] {
        let ratio = samples.ratio(figure, GRADIENT);
        figures.quartiles(figure, ratio.divided_by(runs));
        let shortest = samples.ratio_of_shortest(figure, GRADIENT) / runs;
        figures.value(&format!("{figure}_min"), shortest);
        figures.milliseconds(&format!("{figure}_ms"), samples.seconds(figure).divided_by(runs));
    }
    figures.value("influence_cg_mb", megabytes(|| drop(cg.scores(&query).expect("scores"))));
    figures.value("influence_kfac_mb", megabytes(|| drop(ekfac.scores(&query).expect("scores"))));
}

/// Logits, and the cross-entropy of each row.
fn losses(model: &mlp::Mlp, (images, classes): mlp::Batch) -> (Tensor<2>, Loss) {
    let z = model.forward(images);
    let classes = classes.unsqueeze_dim(1);
    let losses = -log_softmax(z.clone(), 1).gather(1, classes).squeeze_dim::<1>(1);
    (z, Loss::mean_of(losses))
}
