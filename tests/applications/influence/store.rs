//! Scores on disk: the same bits after an interruption, refused where they are of another run.

use std::{
    fs,
    path::{Path, PathBuf},
    sync::atomic::{AtomicUsize, Ordering},
};

use burn_curvature::{
    DirectConfig, Error, Objective, Precision, Reduction,
    errors::StoreError,
    influence::{
        Estimator, Influence, InfluenceConfig, Query,
        store::{ScorePlan, StoreConfig, StoredScores},
    },
};

use super::{TEST, TRAINING, World, part, sum_of_losses};
use crate::compare::relative_error;

/// A folder that is removed at the end.
pub(super) struct Folder(PathBuf);

impl Folder {
    pub fn new() -> Self {
        static COUNT: AtomicUsize = AtomicUsize::new(0);
        let count = COUNT.fetch_add(1, Ordering::Relaxed);
        let name = format!("burn-curvature-scores-{}-{count}", std::process::id());
        let folder = std::env::temp_dir().join(name);
        fs::create_dir_all(&folder).unwrap();
        Self(folder)
    }

    pub fn file(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

pub(super) fn influence(training: &Objective) -> Influence {
    let config = InfluenceConfig::new(Estimator::Dense(DirectConfig::new()));
    config.with_damping(0.2).with_at_once(2).init(training).unwrap()
}

pub(super) fn plan<'a>(influence: &'a Influence, query: impl Into<Query<'a>>) -> ScorePlan<'a> {
    StoreConfig::new().init(influence, query).unwrap()
}

pub(super) fn kind<T>(result: Result<T, Error>) -> StoreError {
    let error = result.map(drop).unwrap_err();
    error.downcast_ref::<StoreError>().unwrap_or_else(|| panic!("another kind: {error}")).clone()
}

fn rows(scores: &mut StoredScores) -> Vec<f64> {
    (0..scores.queries()).flat_map(|query| scores.row(query).unwrap()).collect()
}

/// Writes scores with a panic after some queries, as a process that is killed.
pub(super) fn interrupted(influence: &Influence, query: &Objective, path: &Path, after: usize) {
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

/// One factorization for all queries, which a plan counts until it is made.
#[test]
fn the_memory_of_a_factorization_is_counted_once() {
    let world = World::new(3);
    let influence = influence(&world.training);
    let entries = world.training.layout().len().pow(2);
    let before = plan(&influence, &world.queries).memory();
    let first = influence.scores(&world.queries).unwrap();
    let after = plan(&influence, &world.queries).memory();
    assert!(before >= after + 4 * 8 * entries, "{before} {after}");
    let again = influence.scores(&world.queries).unwrap();
    assert_eq!(again.values(), first.values());
    // The matrix on the device, and its factors.
    assert!(again.report.kept_bytes >= (8 + 8) * entries, "{}", again.report.kept_bytes);
}
