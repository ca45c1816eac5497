//! Influence functions on the MLP, compared with the plain Burn gradient in one interleaved run.

use burn::tensor::{Device, Tensor, activation::log_softmax};
use burn_backend::AutodiffBackend;
use burn_curvature::{
    CaptureConfig, ConjugateGradientConfig, Error, KfacConfig, Likelihood, Loss, Objective,
    ParamVector,
    backend::ProgramBackend,
    influence::{Curvature, Estimator, Influence, InfluenceConfig},
    kfac::KfacFisher,
    solver::OnNegativeCurvature,
};
use serde_json::{Map, Value, json};

use crate::{
    Backend, DAMPING, GRADIENT,
    figures::Figures,
    finish,
    harness::{Plan, Rounds},
    megabytes,
    models::{Case, mlp},
    operators::steps::STEPS,
};

/// Queries whose scores are computed in one run.
const QUERIES: usize = 8;
/// Of EKFAC.
const EKFAC_DAMPING: f64 = 1e-2;
/// Rounds of eigendecompositions, each of which takes as long as dozens of gradients.
const SLOW_ROUNDS: usize = 3;

/// A training objective with queries, which are its first rows.
struct Setting<B: AutodiffBackend> {
    case: Case<mlp::Mlp, mlp::Batch>,
    training: Objective<B>,
    query: Objective<B>,
    queries: Objective<B>,
}

impl<B: AutodiffBackend> Setting<B>
where
    B::InnerBackend: ProgramBackend,
{
    fn new(device: &Device) -> Result<Self, Error> {
        let case = mlp::case(device);
        let (config, batch) = (CaptureConfig::new(), case.batch.clone());
        let training = Objective::<B>::capture_with(&config, &case.model, batch, losses)?;
        let rows = |count: usize| {
            let (images, classes) = case.batch.clone();
            training.on((images.narrow(0, 0, count), classes.narrow(0, 0, count)))
        };
        Ok(Self { query: rows(1)?, queries: rows(QUERIES)?, training, case })
    }

    fn cg(&self) -> Result<Influence<B>, Error> {
        let cg = ConjugateGradientConfig::new()
            .with_relative_tolerance(1e-30)
            .with_max_iterations(Some(STEPS))
            .with_residual_replacement(None)
            .with_stagnation_window(None)
            .with_on_negative_curvature(OnNegativeCurvature::Continue);
        let config = InfluenceConfig::new(Estimator::ConjugateGradient(cg));
        config.with_damping(DAMPING).init(&self.training)
    }

    fn ekfac(&self, fisher: KfacFisher) -> Result<Influence<B>, Error> {
        let config = InfluenceConfig::new(Estimator::Ekfac(KfacConfig::new().with_fisher(fisher)));
        let config = config.with_curvature(Curvature::Fisher(Likelihood::Categorical));
        config.with_damping(EKFAC_DAMPING).init(&self.training)
    }
}

/// Scores to compare with, without randomness: a row for each query.
pub fn results<B: AutodiffBackend>(device: &Device) -> Result<Map<String, Value>, Error>
where
    B::InnerBackend: ProgramBackend,
{
    let setting = Setting::<B>::new(device)?;
    let scores = |influence: &Influence<B>| -> Result<Value, Error> {
        Ok(json!(influence.scores(&setting.queries)?.rows().collect::<Vec<_>>()))
    };
    let ekfac = setting.ekfac(KfacFisher::Empirical)?;
    let found = [
        ("cg_scores", scores(&setting.cg()?)?),
        ("ekfac_damping", json!(EKFAC_DAMPING)),
        ("ekfac_scores", scores(&ekfac)?),
        ("ekfac_own", json!(ekfac.self_influence()?.scores)),
    ];
    Ok(found.into_iter().map(|(name, value)| (name.to_string(), value)).collect())
}

/// Prints, in gradients of the batch of 256 rows:
///
/// | figure | what |
/// |---|---|
/// | `influence_cg` | gradient of one query, 20 steps of conjugate gradients on the damped Hessian, scores of all rows |
/// | `influence_cg_8` | the same for each of eight queries in one run |
/// | `influence_scores` | scores of all rows for one vector: a forward-mode pass |
/// | `influence_scores_8` | the same for each of eight vectors in one run |
/// | `influence_kfac` | gradient of one query, inverse of EKFAC, scores of all rows out of the layers |
/// | `influence_kfac_8` | the same for each of eight queries in one run |
/// | `influence_kfac_self` | self-influence of all rows by EKFAC |
/// | `influence_kfac_factors` | what is made before: factors, decompositions, the corrected diagonal, all checks |
pub fn measure<B: AutodiffBackend>((name, device): &Backend, plan: Plan)
where
    B::InnerBackend: ProgramBackend,
{
    let setting = Setting::<B>::new(&device.clone().autodiff()).expect("the model can be captured");
    let Setting { case, training, query, queries } = &setting;
    let cg = setting.cg().expect("influences");
    let plain = InfluenceConfig::new(Estimator::Identity).init(training).expect("influences");
    let sampled = KfacFisher::MonteCarlo { draws: 1, seed: 1 };
    let ekfac = setting.ekfac(sampled).expect("influences");
    let space = training.parameters().space();
    let vectors: Vec<ParamVector<B>> = (0..QUERIES as u64).map(|seed| space.normal(seed)).collect();

    let gradient = || finish(device, case.forward().backward());
    let mut rounds = Rounds::default();
    rounds.add(GRADIENT, gradient);
    rounds.add("influence_cg", || drop(cg.scores(query).expect("scores")));
    rounds.add("influence_cg_8", || drop(cg.scores(queries).expect("scores")));
    rounds.add("influence_scores", || drop(plain.scores(&vectors[0]).expect("scores")));
    rounds.add("influence_scores_8", || drop(plain.scores(&vectors).expect("scores")));
    rounds.add("influence_kfac", || drop(ekfac.scores(query).expect("scores")));
    rounds.add("influence_kfac_8", || drop(ekfac.scores(queries).expect("scores")));
    rounds.add("influence_kfac_self", || drop(ekfac.self_influence().expect("scores")));
    let samples = rounds.measure(plan);
    let mut slow = Rounds::default();
    slow.add(GRADIENT, gradient);
    slow.add("influence_kfac_factors", || drop(setting.ekfac(sampled).expect("influences")));
    let slow = slow.measure(Plan { rounds: SLOW_ROUNDS, ..plan });

    let figures = Figures::new(case.name, name);
    figures.milliseconds("influence_gradient_ms", samples.seconds(GRADIENT));
    for (figure, runs, samples) in [
        ("influence_cg", 1.0, &samples),
        ("influence_cg_8", QUERIES as f64, &samples),
        ("influence_scores", 1.0, &samples),
        ("influence_scores_8", QUERIES as f64, &samples),
        ("influence_kfac", 1.0, &samples),
        ("influence_kfac_8", QUERIES as f64, &samples),
        ("influence_kfac_self", 1.0, &samples),
        ("influence_kfac_factors", 1.0, &slow),
    ] {
        let ratio = samples.ratio(figure, GRADIENT);
        figures.quartiles(figure, ratio.divided_by(runs));
        let shortest = samples.ratio_of_shortest(figure, GRADIENT) / runs;
        figures.value(&format!("{figure}_min"), shortest);
        figures.milliseconds(&format!("{figure}_ms"), samples.seconds(figure).divided_by(runs));
    }
    figures.value("influence_cg_mb", megabytes(|| drop(cg.scores(query).expect("scores"))));
    figures.value("influence_kfac_mb", megabytes(|| drop(ekfac.scores(query).expect("scores"))));
}

/// Logits, and the cross-entropy of each row.
fn losses(model: &mlp::Mlp, (images, classes): mlp::Batch) -> (Tensor<2>, Loss) {
    let z = model.forward(images);
    let classes = classes.unsqueeze_dim(1);
    let losses = -log_softmax(z.clone(), 1).gather(1, classes).squeeze_dim::<1>(1);
    (z, Loss::mean_of(losses))
}
