//! Bad input drawn at random for the public calls: a typed error each time, no panic, and the right scores afterwards.

use std::panic::{AssertUnwindSafe, catch_unwind};

use burn::prelude::*;
use burn_curvature::{
    ConjugateGradientConfig, DirectConfig, Error, Likelihood, Loss, MinresConfig, Objective,
    ParamSpace, ParamVector, Precision,
    errors::{
        BatchError, CaptureError, ConfigError, InfluenceError, ObjectiveError, TensorError,
        VectorError,
    },
    influence::{
        Curvature, Estimator, Influence, InfluenceConfig, Query,
        store::StoreConfig,
        truth::{ProximalBregmanConfig, Retraining},
    },
    solver::NystromConfig,
};

use super::{TRAINING, World, losses, part};
use crate::{
    classifier::{Classifier, Samples},
    failure::failure,
    random::SplitMix64,
};

/// What is wrong with a query, as drawn.
#[derive(Clone, Copy, Debug)]
enum Bad {
    /// Vectors: none, too long, too short, in the other precision, with an entry that is NaN or infinite.
    None,
    Long,
    Short,
    Narrow,
    Nan,
    Infinite,
    /// A good vector and one of these.
    Behind,
    /// Objectives: of another instance of the model, in the other precision, with a sample that is NaN.
    Stranger,
    Single,
    NanSample,
}

const BAD: [Bad; 10] = [
    Bad::None,
    Bad::Long,
    Bad::Short,
    Bad::Narrow,
    Bad::Nan,
    Bad::Infinite,
    Bad::Behind,
    Bad::Stranger,
    Bad::Single,
    Bad::NanSample,
];

/// A world with what belongs to none of its parts.
struct Arena {
    world: World,
    stranger: World,
    single: Objective,
    nan: Objective,
}

impl Arena {
    fn new(seed: u64) -> Self {
        let (world, stranger) = (World::new(seed), World::new(seed));
        let (x, y) = world.test.clone();
        let hole = Tensor::full([1, 1], f32::NAN, &x.device());
        let nan = world.queries.on((x.slice_assign([2..3, 1..2], hole), y)).unwrap();
        let single = world.queries.in_precision(Precision::F32).unwrap();
        Self { world, stranger, single, nan }
    }

    /// The vectors of a bad kind, or an objective.
    fn vectors(&self, bad: Bad, numbers: &mut SplitMix64) -> Result<Vec<ParamVector>, &Objective> {
        let space = self.world.training.parameters().space();
        let flat = |len: usize| ParamSpace::flat(len).map(|space: ParamSpace| space.ones());
        let spoiled = |value: f64, numbers: &mut SplitMix64| {
            let mut values = numbers.normals(space.len());
            values[numbers.below(space.len())] = value;
            space.vector(&values).unwrap()
        };
        Ok(match bad {
            Bad::None => Vec::new(),
            Bad::Long => vec![flat(space.len() + 1).unwrap()],
            Bad::Short => vec![flat(1).unwrap()],
            Bad::Narrow => vec![space.ones().cast(Precision::F32).unwrap()],
            Bad::Nan => vec![spoiled(f64::NAN, numbers)],
            Bad::Infinite => vec![spoiled(f64::NEG_INFINITY, numbers)],
            Bad::Behind => vec![space.ones(), spoiled(f64::NAN, numbers)],
            Bad::Stranger => return Err(&self.stranger.queries),
            Bad::Single => return Err(&self.single),
            Bad::NanSample => return Err(&self.nan),
        })
    }
}

fn estimators() -> Vec<InfluenceConfig> {
    let fisher = Curvature::Fisher(Likelihood::Categorical);
    let of = |estimator, curvature| InfluenceConfig::new(estimator).with_curvature(curvature);
    let all = [
        of(Estimator::Dense(DirectConfig::new()), Curvature::GaussNewton),
        of(Estimator::ConjugateGradient(ConjugateGradientConfig::new()), Curvature::GaussNewton),
        of(Estimator::Minres(MinresConfig::new()), Curvature::Hessian),
        of(Estimator::Nystrom(NystromConfig::new(5, 0.5)), Curvature::GaussNewton),
        of(Estimator::kfac(), fisher),
        of(Estimator::ekfac(), fisher),
        of(Estimator::Identity, Curvature::Hessian),
    ];
    all.map(|config| config.with_damping(0.5).with_at_once(2)).to_vec()
}

/// One of the calls that take a query.
fn call(influence: &Influence, query: Query<'_>, which: usize, world: &World) -> Result<(), Error> {
    let hidden = world.training.layout().select_module("hidden")?;
    match which {
        0 => influence.scores(query).map(drop),
        1 => influence.top(query, 3).map(drop),
        2 => influence.visit_scores(query, None, |_| Ok(())).map(drop),
        3 => influence.group_scores(query, &[vec![0, 2], vec![1]]).map(drop),
        4 => influence.scores_by_parameter(query).map(drop),
        5 => influence.scores_by_part(query, &[("hidden", &hidden)]).map(drop),
        6 => influence.input_gradients(query, world.train.clone()).map(drop),
        _ => {
            let path = std::env::temp_dir().join(format!("attacked-{}", std::process::id()));
            let found = StoreConfig::new().init(influence, query)?.create(&path).map(drop);
            let _ = std::fs::remove_file(&path);
            let _ = std::fs::remove_file(path.with_extension("json"));
            found
        }
    }
}

/// Whether an error is of a kind that says what is wrong with the input.
fn is_typed(error: &Error) -> bool {
    error.downcast_ref::<VectorError>().is_some()
        || error.downcast_ref::<InfluenceError>().is_some()
        || error.downcast_ref::<ObjectiveError>().is_some()
        || error.downcast_ref::<CaptureError>().is_some()
        || error.downcast_ref::<BatchError>().is_some()
        || error.downcast_ref::<ConfigError>().is_some()
        || error.downcast_ref::<TensorError>().is_some()
}

#[test]
fn bad_queries_are_typed_errors_and_change_nothing() {
    for (seed, config) in (0..).zip(estimators()) {
        let arena = Arena::new(50 + seed);
        let influence = config.init(&arena.world.training).unwrap();
        let before = influence.scores(&arena.world.queries).unwrap();
        let mut numbers = SplitMix64::new(seed);
        for bad in BAD {
            for which in [numbers.below(8), numbers.below(8)] {
                let vectors = arena.vectors(bad, &mut numbers);
                let query = match &vectors {
                    Ok(vectors) => Query::Vectors(vectors),
                    Err(objective) if numbers.below(2) == 0 => Query::Samples(objective),
                    Err(objective) => Query::Value(objective),
                };
                let run = || call(&influence, query.clone(), which, &arena.world);
                let story = format!("{:?} {bad:?} call {which}", config.estimator);
                let found = catch_unwind(AssertUnwindSafe(run));
                let Ok(found) = found else { panic!("{story}: a panic") };
                let Err(error) = found else { panic!("{story}: accepted") };
                assert!(is_typed(&error), "{story}: {error:?}");
            }
        }
        let after = influence.scores(&arena.world.queries).unwrap();
        assert_eq!(after.values(), before.values(), "{:?}", config.estimator);
    }
}

/// Directions, groups and batches.
#[test]
fn bad_directions_groups_and_batches_are_typed_errors() {
    let arena = Arena::new(70);
    let world = &arena.world;
    let influence = estimators()[1].init(&world.training).unwrap();
    let mut numbers = SplitMix64::new(3);
    for bad in [Bad::Long, Bad::Short, Bad::Narrow, Bad::Nan, Bad::Infinite] {
        let Ok(vectors) = arena.vectors(bad, &mut numbers) else { panic!() };
        let found = influence.change_along(&vectors[0], &world.queries);
        assert!(found.as_ref().is_err_and(is_typed), "{bad:?} {found:?}");
    }
    for _ in 0..40 {
        let mut group: Vec<usize> =
            (0..numbers.below(4)).map(|_| numbers.below(TRAINING)).collect();
        match numbers.below(3) {
            0 => group.clear(),
            1 => group.push([TRAINING, TRAINING + 7, usize::MAX][numbers.below(3)]),
            _ => {
                let twice = numbers.below(TRAINING);
                group.extend([twice, twice]);
            }
        }
        let groups = [vec![1], group.clone()];
        let bregman = ProximalBregmanConfig::new(0.5).init(&world.training).unwrap();
        let mut retraining = Retraining::new(TRAINING, |_, _| Ok::<_, Error>(vec![1.0]));
        for found in [
            influence.newton_step(&group).map(drop),
            influence.influence_step(&group).map(drop),
            influence.group_scores(&world.queries, &groups).map(drop),
            bregman.leave_out(&groups, &world.queries).map(drop),
            retraining.leave_out(&groups).map(drop),
        ] {
            assert!(failure::<_, InfluenceError>(&found).is_some(), "{group:?} {found:?}");
        }
    }
    // An input that the model cannot take, one without samples, and integers where floats are.
    let (x, y) = world.train.clone();
    let batches: [Samples; 3] = [
        (x.clone().narrow(1, 0, 3), y.clone()),
        (x.clone().slice(0..0), y.clone().slice(0..0)),
        (x.clone(), y.clone().narrow(0, 0, 7)),
    ];
    for batch in batches {
        let run = || influence.input_gradients(&world.queries, batch.clone());
        let found = catch_unwind(AssertUnwindSafe(run)).unwrap();
        assert!(found.as_ref().is_err_and(is_typed), "{found:?}");
        assert!(world.training.on(batch).is_err());
    }
}

/// Losses that are not one for each sample, drawn at random.
#[test]
fn other_numbers_of_losses_are_refused() {
    let world = World::new(74);
    let mut numbers = SplitMix64::new(5);
    for _ in 0..12 {
        let count = match numbers.below(TRAINING + 6) {
            TRAINING => TRAINING + 1,
            count => count,
        };
        let closure = move |model: &Classifier, batch: Samples| {
            let (z, losses) = losses(model, batch);
            let all = Tensor::cat(vec![losses.clone(), losses], 0);
            (z, Loss::mean_of(all.slice(0..count)))
        };
        let run = || -> Result<(), Error> {
            let objective = Objective::capture(&world.model, world.train.clone(), closure)?;
            InfluenceConfig::default().with_damping(0.5).init(&objective).map(drop)
        };
        let found = catch_unwind(AssertUnwindSafe(run)).unwrap();
        assert!(found.as_ref().is_err_and(is_typed), "{count} losses: {found:?}");
    }
    // One sample is a training set, and one that cannot be left out.
    let one = world.training.on(part(&world.train, 0, 1)).unwrap();
    let influence = InfluenceConfig::default().with_damping(0.5).init(&one).unwrap();
    assert_eq!(influence.scores(&world.queries).unwrap().samples(), 1);
    let found = influence.newton_step(&[0]);
    assert!(matches!(failure(&found), Some(InfluenceError::NothingLeft { .. })), "{found:?}");
}
