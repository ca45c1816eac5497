//! Scores on disk: the same bits after an interruption, refused where they are of another run.

use std::{
    fs,
    path::{Path, PathBuf},
    sync::atomic::{AtomicUsize, Ordering},
};

use burn_curvature::{
    DirectConfig, Error, Likelihood, Objective, Precision, Reduction,
    errors::StoreError,
    influence::{
        Curvature, Estimator, Influence, InfluenceConfig, Query,
        store::{ScorePlan, StoreConfig, StoredScores},
    },
};

use super::{TEST, TRAINING, World, part, sum_of_losses};
use crate::compare::relative_error;

/// A folder that is removed at the end.
struct Folder(PathBuf);

impl Folder {
    fn new() -> Self {
        static COUNT: AtomicUsize = AtomicUsize::new(0);
        let count = COUNT.fetch_add(1, Ordering::Relaxed);
        let name = format!("burn-curvature-scores-{}-{count}", std::process::id());
        let folder = std::env::temp_dir().join(name);
        fs::create_dir_all(&folder).unwrap();
        Self(folder)
    }

    fn file(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

fn influence(training: &Objective) -> Influence {
    let config = InfluenceConfig::new(Estimator::Dense(DirectConfig::new()));
    config.with_damping(0.2).with_at_once(2).init(training).unwrap()
}

fn plan<'a>(influence: &'a Influence, query: impl Into<Query<'a>>) -> ScorePlan<'a> {
    StoreConfig::new().init(influence, query).unwrap()
}

fn kind<T>(result: Result<T, Error>) -> StoreError {
    let error = result.map(drop).unwrap_err();
    error.downcast_ref::<StoreError>().unwrap_or_else(|| panic!("another kind: {error}")).clone()
}

fn rows(scores: &mut StoredScores) -> Vec<f64> {
    (0..scores.queries()).flat_map(|query| scores.row(query).unwrap()).collect()
}

/// Writes scores with a panic after some queries, as a process that is killed.
fn interrupted(influence: &Influence, query: &Objective, path: &Path, after: usize) {
    let run = || {
        let plan = plan(influence, query).with_progress(move |at| {
            assert!(at.done < after, "killed");
        });
        plan.create(path)
    };
    let result = std::panic::catch_unwind(std::panic::AssertUnwindSafe(run));
    assert!(!matches!(result, Ok(Ok(_))));
}

#[test]
fn the_file_holds_the_scores() {
    let (world, folder) = (World::new(31), Folder::new());
    let influence = influence(&world.training);
    let expected = influence.scores(&world.queries).unwrap();
    let plan = plan(&influence, &world.queries);
    assert_eq!((plan.queries(), plan.samples()), (TEST, TRAINING));
    assert!(plan.to_string().starts_with("5 × 30 scores: 1328 bytes on disk, "), "{plan}");
    let path = folder.file("scores.npy");
    let mut scores = plan.create(&path).unwrap();
    assert_eq!(rows(&mut scores), expected.values()); // f64, bit by bit
    // How many vectors are multiplied together changes rounding, which is all that the residual of a direct solve is.
    let residual = scores.report.solves.largest_residual;
    assert!(residual.is_some_and(|residual| residual < 1e-13), "{residual:?}");
    let mut report = scores.report.clone();
    report.solves.largest_residual = expected.report.solves.largest_residual;
    assert_eq!(report, expected.report);
    assert_eq!(fs::metadata(&path).unwrap().len(), plan.file_bytes());
    let bytes = fs::read(&path).unwrap();
    assert_eq!((&bytes[..6], bytes.len()), (&b"\x93NUMPY"[..], 128 + 8 * TEST * TRAINING));

    let narrow = StoreConfig::new().with_precision(Some(Precision::F32));
    let narrow = narrow.init(&influence, &world.queries).unwrap();
    let mut narrow = narrow.create(folder.file("narrow.npy")).unwrap();
    let rounded: Vec<f64> = expected.values().iter().map(|&s| f64::from(s as f32)).collect();
    assert_eq!(rows(&mut narrow), rounded);
    let error = narrow.row(TEST).unwrap_err();
    assert!(matches!(error, StoreError::NoSuchQuery { query: TEST, queries: TEST, .. }));
}

#[test]
fn a_resumed_run_writes_the_same_bits() {
    let (world, folder) = (World::new(32), Folder::new());
    let influence = influence(&world.training);
    let whole = folder.file("whole.npy");
    plan(&influence, &world.queries).create(&whole).unwrap();
    for (after, torn) in [(2, 0), (2, 100), (4, 7)] {
        let path = folder.file(&format!("interrupted-{after}-{torn}.npy"));
        interrupted(&influence, &world.queries, &path, after);
        // What was written after the description was last brought up to date.
        let mut bytes = fs::read(&path).unwrap();
        bytes.extend(std::iter::repeat_n(0xab, torn));
        fs::write(&path, bytes).unwrap();
        let error = StoredScores::open(&path).map(drop).unwrap_err();
        let path_text = path.display().to_string();
        assert_eq!(error, StoreError::Unfinished { path: path_text, done: after, queries: TEST });

        let scores = plan(&influence, &world.queries).resume(&path).unwrap();
        assert_eq!(fs::read(&path).unwrap(), fs::read(&whole).unwrap());
        assert_eq!(scores.report.queries, TEST);
        assert_eq!(scores.report.solves.systems, TEST);
        // Once more: nothing is left to do, and the file stays as it is.
        plan(&influence, &world.queries).resume(&path).unwrap();
        assert_eq!(fs::read(&path).unwrap(), fs::read(&whole).unwrap());
    }
}

#[test]
fn nothing_is_overwritten() {
    let (world, folder) = (World::new(33), Folder::new());
    let influence = influence(&world.training);
    let plan = plan(&influence, &world.queries);
    let foreign = folder.file("notes.npy");
    fs::write(&foreign, "mine").unwrap();
    assert!(matches!(kind(plan.create(&foreign)), StoreError::Exists { .. }));
    let without = kind(plan.resume(&foreign));
    assert!(matches!(&without, StoreError::Missing { path } if path.ends_with("notes.npy.json")));
    assert_eq!(fs::read_to_string(&foreign).unwrap(), "mine");
    assert!(matches!(kind(plan.resume(folder.file("none.npy"))), StoreError::Missing { .. }));

    let path = folder.file("half.npy");
    interrupted(&influence, &world.queries, &path, 2);
    let before = fs::read(&path).unwrap();
    let StoreError::Exists { found, .. } = kind(plan.create(&path)) else { panic!() };
    assert_eq!(found, "the scores of 2 of 5 queries");
    // Its numbers are gone, and the description alone is there.
    fs::remove_file(&path).unwrap();
    assert!(matches!(kind(plan.create(&path)), StoreError::Exists { .. }));
    assert!(matches!(kind(plan.resume(&path)), StoreError::Missing { .. }));
    // Shorter than the description says.
    fs::write(&path, &before[..before.len() - 1]).unwrap();
    assert!(matches!(kind(plan.resume(&path)), StoreError::Damaged { .. }));
    fs::write(&path, &before).unwrap();
    // A description that is none, or of another version.
    let description = folder.file("half.npy.json");
    let good = fs::read_to_string(&description).unwrap();
    for bad in ["", "{}", &good.replace("scores.1", "scores.9"), &good[..good.len() / 2]] {
        fs::write(&description, bad).unwrap();
        assert!(matches!(kind(plan.resume(&path)), StoreError::Damaged { .. }), "{bad}");
    }
    fs::write(&description, good).unwrap();
    // Someone else is writing.
    let other = fs::OpenOptions::new().write(true).open(&path).unwrap();
    other.lock().unwrap();
    assert!(matches!(kind(plan.resume(&path)), StoreError::InUse { .. }));
    drop(other);
    assert_eq!(fs::read(&path).unwrap(), before);
    plan.resume(&path).unwrap();
}

#[test]
fn the_scores_of_another_run_are_refused() {
    let (world, folder) = (World::new(34), Folder::new());
    let own = influence(&world.training);
    let path = folder.file("scores.npy");
    interrupted(&own, &world.queries, &path, 2);
    let before = fs::read(&path).unwrap();
    let refused = |influence: &Influence, query: &Objective, expected: &str| {
        let StoreError::OtherRun { what, .. } = kind(plan(influence, query).resume(&path)) else {
            panic!()
        };
        assert!(what.contains(expected), "{what}");
        assert_eq!(fs::read(&path).unwrap(), before);
    };
    let config = own.config().clone();
    let damped = config.with_damping(0.3).init(&world.training).unwrap();
    refused(&damped, &world.queries, "settings");
    let theta = world.training.parameters().clone();
    let moved = theta.clone().scale(1.0 + 1e-15);
    let moved = influence(&world.training.at(&moved).unwrap());
    refused(&moved, &world.queries.at(moved.training().parameters()).unwrap(), "θ");
    let fewer = world.training.on(part(&world.train, 0, TRAINING - 1)).unwrap();
    refused(&influence(&fewer), &world.queries, "number of samples");
    let queries = world.queries.on(part(&world.test, 0, 3)).unwrap();
    refused(&own, &queries, "number of queries");
    let (x, y) = &world.train;
    let turned = world.training.on((x.clone().flip([0]), y.clone().flip([0]))).unwrap();
    refused(&influence(&turned), &world.queries, "checksum of the training samples");
    let other = world.queries.on(part(&world.train, 0, TEST)).unwrap();
    refused(&own, &other, "checksum of the queries");
    let wide = StoreConfig::new().with_precision(Some(Precision::F32));
    let wide = wide.init(&own, &world.queries).unwrap();
    let StoreError::OtherRun { what, .. } = kind(wide.resume(&path)) else { panic!() };
    assert!(what.contains("precision on disk"), "{what}");
    plan(&own, &world.queries).resume(&path).unwrap();
}

/// Vectors of equal norms, the sum in place of the mean, and batches as the terms of a series.
#[test]
fn what_has_the_same_checksums_is_another_run_too() {
    let (world, folder) = (World::new(36), Folder::new());
    let own = influence(&world.training);
    let space = world.training.parameters().space();
    let vectors: Vec<_> = (0..4).map(|seed| space.normal(seed)).collect();
    let units: Vec<_> = vectors.iter().map(|v| v.clone().scale(1.0 / v.norm().unwrap())).collect();
    let path = folder.file("vectors.npy");
    plan(&own, Query::Vectors(&units[..2])).create(&path).unwrap();
    let negative: Vec<_> = units[..2].iter().map(|v| v.clone().scale(-1.0)).collect();
    let turned = [units[1].clone(), units[0].clone()];
    for others in [&units[2..], &negative[..], &turned[..]] {
        let refused = kind(plan(&own, Query::Vectors(others)).resume(&path));
        let StoreError::OtherRun { what, .. } = refused else { panic!("{refused}") };
        assert!(what.contains("the query's vectors"), "{what}");
    }
    plan(&own, Query::Vectors(&units[..2])).resume(&path).unwrap();

    let path = folder.file("mean.npy");
    plan(&own, &world.queries).create(&path).unwrap();
    let sum = Objective::capture(&world.model, world.train.clone(), sum_of_losses).unwrap();
    let sum = influence(&sum.in_f64().unwrap());
    let refused = kind(plan(&sum, &world.queries).resume(&path));
    let StoreError::OtherRun { what, .. } = refused else { panic!("{refused}") };
    assert!(what.contains("reduction"), "{what}");

    let path = folder.file("batches.npy");
    let kfac = InfluenceConfig::new(Estimator::kfac())
        .with_curvature(Curvature::Fisher(Likelihood::Categorical));
    let kfac = kfac.with_damping(0.2);
    let one = kfac.init(&world.training).unwrap();
    plan(&one, &world.queries).create(&path).unwrap();
    let halves = [(0, 10), (10, TRAINING)].map(|(from, to)| part(&world.train, from, to));
    let halves = world.training.over(halves, Reduction::Mean).unwrap();
    let halves = kfac.init(&halves).unwrap();
    let refused = kind(plan(&halves, &world.queries).resume(&path));
    let StoreError::OtherRun { what, .. } = refused else { panic!("{refused}") };
    assert!(what.contains("number of batches"), "{what}");
}

/// The same scores to rounding from one batch, batches of seven, and a stream.
#[test]
fn scores_do_not_depend_on_the_batches() {
    let (world, folder) = (World::new(35), Folder::new());
    let one = plan(&influence(&world.training), &world.queries)
        .create(folder.file("one.npy"))
        .map(|mut scores| rows(&mut scores))
        .unwrap();
    let batches: Vec<_> = (0..TRAINING)
        .step_by(7)
        .map(|first| part(&world.train, first, TRAINING.min(first + 7)))
        .collect();
    let held = world.training.over(batches.clone(), Reduction::Mean).unwrap();
    let streamed = world
        .training
        .over_stream(Reduction::Mean, move |visit| batches.iter().cloned().try_for_each(visit))
        .unwrap();
    for (index, training) in [held, streamed].iter().enumerate() {
        let influence = influence(training);
        let plan = plan(&influence, &world.queries);
        let mut scores = plan.create(folder.file(&format!("{index}.npy"))).unwrap();
        assert!(relative_error(&rows(&mut scores), &one) < 1e-10);
    }
}

#[test]
fn vectors_and_values_are_stored_too() {
    let (world, folder) = (World::new(36), Folder::new());
    let influence = influence(&world.training);
    let vectors = vec![world.queries.gradient().unwrap(), world.training.parameters().clone()];
    let queries = [Query::Value(&world.queries), Query::Vectors(&vectors)];
    for (index, query) in queries.into_iter().enumerate() {
        let expected = influence.scores(query.clone()).unwrap();
        let plan = plan(&influence, query);
        let mut scores = plan.create(folder.file(&format!("{index}.npy"))).unwrap();
        assert_eq!(rows(&mut scores), expected.values());
    }
    let sum = Objective::capture(&world.model, world.train.clone(), sum_of_losses).unwrap();
    let error = StoreConfig::new().init(&influence, &sum).map(drop);
    assert!(error.is_err(), "f32 where f64 is needed");
}
