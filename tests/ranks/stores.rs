//! Influence scores on disk: each rank writes the columns of its samples; interrupted ranks go on together.

use std::{
    fs,
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::Relaxed},
    },
};

use burn_curvature::{
    ConjugateGradientConfig, Error, KfacConfig, Likelihood,
    communicator::{Communicator, Threads},
    errors::{SharedError, StoreError},
    influence::{
        Curvature, Estimator, Influence, InfluenceConfig,
        store::{StoreConfig, StoredScores},
    },
    kfac::KfacFisher,
};

use crate::{
    applied,
    compare::relative_error,
    device,
    failure::failure,
    run,
    shares::{self, Network},
};

/// A folder that is removed at the end.
struct Folder(PathBuf);

impl Folder {
    fn new() -> Self {
        static COUNT: AtomicUsize = AtomicUsize::new(0);
        let count = COUNT.fetch_add(1, Relaxed);
        let name = format!("burn-curvature-ranks-{}-{count}", std::process::id());
        let folder = std::env::temp_dir().join(name);
        fs::create_dir_all(&folder).unwrap();
        Self(folder)
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

fn file(folder: &Path, rank: usize) -> PathBuf {
    folder.join(format!("scores.{rank}.npy"))
}

/// By conjugate gradients, and by layers; two of five queries in a block.
fn config(by_layers: bool) -> InfluenceConfig {
    let fisher = KfacConfig::new().with_fisher(KfacFisher::Exact);
    let (estimator, curvature, at_once) = if by_layers {
        (Estimator::Ekfac(fisher), Curvature::Fisher(Likelihood::Categorical), 5)
    } else {
        let solver = ConjugateGradientConfig::new().with_relative_tolerance(1e-13);
        (Estimator::ConjugateGradient(solver), Curvature::GaussNewton, 2)
    };
    InfluenceConfig::new(estimator)
        .with_curvature(curvature)
        .with_damping(0.5)
        .with_at_once(at_once)
}

/// Calls `work` with the influence over a rank's batches and the queries.
fn with_influence<T>(
    ranks: Option<Arc<Threads>>,
    by_layers: bool,
    work: impl FnOnce(&Influence, &burn_curvature::Objective) -> Result<T, Error>,
) -> Result<T, Error> {
    let (training, test) = applied::by_sample(&Network::new(4, &device()), ranks, &device())?;
    work(&config(by_layers).init(&training)?, &test)
}

#[test]
fn files_side_by_side_are_the_scores_of_one_process() {
    for by_layers in [false, true] {
        let truth = with_influence(None, by_layers, |influence, test| influence.scores(test));
        let truth = truth.unwrap();
        for size in 2..=4 {
            let folder = Folder::new();
            let path = folder.0.clone();
            let sizes = run(size, move |ranks| {
                let own = file(&path, ranks.rank());
                with_influence(Some(ranks), by_layers, |influence, test| {
                    let plan = StoreConfig::new().init(influence, test)?;
                    let bytes = plan.file_bytes();
                    plan.create(&own)?;
                    assert_eq!(fs::metadata(&own).unwrap().len(), bytes);
                    Ok(plan.samples())
                })
            });
            let mut files: Vec<StoredScores> =
                (0..size).map(|rank| StoredScores::open(file(&folder.0, rank)).unwrap()).collect();
            let mut first = 0;
            for (rank, (scores, samples)) in files.iter().zip(sizes).enumerate() {
                let batches = shares::share(rank, size);
                let own: usize =
                    batches.map(|at| if at + 1 == shares::BATCHES { 5 } else { 8 }).sum();
                assert_eq!((scores.samples(), scores.first_sample()), (own, first));
                assert_eq!((samples.unwrap(), scores.queries()), (own, 5));
                first += own;
            }
            for query in 0..5 {
                let row: Vec<f64> =
                    files.iter_mut().flat_map(|scores| scores.row(query).unwrap()).collect();
                let error = relative_error(&row, truth.row(query).unwrap());
                assert!(error < 1e-12, "query {query} by {size} ranks: {error:e}");
            }
        }
    }
}

/// The files of a folder by their names.
fn files(folder: &Path) -> Vec<(PathBuf, Vec<u8>)> {
    let names = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    let mut found: Vec<_> = names.map(|name| (name.clone(), fs::read(&name).unwrap())).collect();
    found.sort();
    found
}

fn put(files: &[(PathBuf, Vec<u8>)]) {
    files.iter().for_each(|(path, bytes)| fs::write(path, bytes).unwrap());
}

/// Rank 1 of two panics after each block: what the folder holds after none, one and two of three blocks.
fn interrupted(folder: &Path) -> Vec<Vec<(PathBuf, Vec<u8>)>> {
    let mut states = Vec::new();
    for after in [2, 4] {
        let path = folder.to_path_buf();
        let outcomes = run(2, move |ranks| {
            let (rank, own) = (ranks.rank(), file(&path, ranks.rank()));
            with_influence(Some(ranks), false, |influence, test| {
                let plan = StoreConfig::new().init(influence, test)?.with_progress(move |at| {
                    assert!(rank != 1 || at.done < after, "killed");
                });
                plan.create(own)
            })
        });
        assert!(outcomes.iter().all(Result::is_err));
        let state = files(folder);
        state.iter().for_each(|(path, _)| fs::remove_file(path).unwrap());
        states.push(state);
    }
    states
}

fn resumed(folder: &Path) -> Vec<Result<usize, Error>> {
    let path = folder.to_path_buf();
    run(2, move |ranks| {
        let own = file(&path, ranks.rank());
        with_influence(Some(ranks), false, |influence, test| {
            let scores = StoreConfig::new().init(influence, test)?.resume(own)?;
            Ok(scores.report.solves.systems)
        })
    })
}

#[test]
fn interrupted_ranks_go_on_together_with_the_same_bits() {
    let folder = Folder::new();
    let path = folder.0.clone();
    let whole = run(2, move |ranks| {
        let own = file(&path, ranks.rank());
        with_influence(Some(ranks), false, |influence, test| {
            StoreConfig::new().init(influence, test)?.create(own)
        })
    });
    assert!(whole.iter().all(Result::is_ok));
    let scores = |files: Vec<(PathBuf, Vec<u8>)>| -> Vec<_> {
        files
            .into_iter()
            .filter(|(path, _)| path.extension().is_some_and(|it| it == "npy"))
            .collect()
    };
    let whole = files(&folder.0);
    whole.iter().for_each(|(path, _)| fs::remove_file(path).unwrap());
    let states = interrupted(&folder.0);
    let of_rank = |state: &[(PathBuf, Vec<u8>)], rank: usize| -> Vec<(PathBuf, Vec<u8>)> {
        let own = format!("scores.{rank}.");
        let is =
            |path: &Path| path.file_name().is_some_and(|it| it.to_string_lossy().starts_with(&own));
        state.iter().filter(|(path, _)| is(path)).cloned().collect()
    };
    // As they were interrupted; and with rank 1, or rank 0, a block behind.
    for (zero, one) in [
        (&states[0], &states[0]),
        (&states[1], &states[0]),
        (&states[0], &states[1]),
        (&whole, &states[1]),
    ] {
        put(&of_rank(zero, 0));
        put(&of_rank(one, 1));
        for outcome in resumed(&folder.0) {
            assert_eq!(outcome.unwrap(), 5, "systems in the report");
        }
        assert!(scores(files(&folder.0)) == scores(whole.clone()));
    }
    // Two blocks apart: no interruption does that.
    put(&of_rank(&whole, 0));
    put(&of_rank(&states[0], 1));
    let outcomes = resumed(&folder.0);
    assert!(matches!(failure(&outcomes[0]), Some(StoreError::Damaged { .. })), "{outcomes:?}");
    assert!(matches!(failure(&outcomes[1]), Some(SharedError::OtherRank { rank: 0, .. })));
    assert!(files(&folder.0)[..2] == of_rank(&whole, 0));
}

#[test]
fn what_one_rank_cannot_write_none_begins() {
    let folder = Folder::new();
    // The same path on both ranks.
    let path = folder.0.clone();
    let outcomes = run(2, move |ranks| {
        with_influence(Some(ranks), false, |influence, test| {
            StoreConfig::new().init(influence, test)?.create(path.join("scores.npy"))
        })
    });
    let own = outcomes.iter().filter(|it| failure::<_, StoreError>(it).is_some()).count();
    assert!(outcomes.iter().all(Result::is_err) && own == 1, "{outcomes:?}");
    assert!(files(&folder.0).is_empty());
    // A file of two ranks is not that of three.
    interrupted(&folder.0).pop().iter().for_each(|state| put(state));
    let before = files(&folder.0);
    let path = folder.0.clone();
    let outcomes = run(3, move |ranks| {
        let own = file(&path, ranks.rank());
        with_influence(Some(ranks), false, |influence, test| {
            StoreConfig::new().init(influence, test)?.resume(own)
        })
    });
    assert!(matches!(failure(&outcomes[0]), Some(StoreError::OtherRun { .. })), "{outcomes:?}");
    assert!(matches!(failure(&outcomes[2]), Some(StoreError::Missing { .. })), "{outcomes:?}");
    assert!(files(&folder.0) == before);
}

/// A closure that fails on one rank: its own error there, and an error on the others before the next block. Afterwards the
/// scores are those of an undisturbed influence.
#[test]
fn a_visit_that_fails_on_one_rank_ends_it_on_all() {
    let truth = with_influence(None, false, |influence, test| influence.scores(test)).unwrap();
    let found = run(3, |ranks| {
        let rank = ranks.rank();
        with_influence(Some(ranks), false, |influence, test| {
            let mut blocks = 0;
            let failed = influence.visit_scores(test, None, |_| {
                blocks += 1;
                let full = std::io::Error::other("the disk is full");
                if rank == 1 { Err(Error::new(full)) } else { Ok(()) }
            });
            Ok((failed.unwrap_err(), blocks, influence.scores(test)?))
        })
    });
    for (rank, outcome) in found.into_iter().enumerate() {
        let (error, blocks, scores) = outcome.unwrap();
        assert_eq!((error.is::<std::io::Error>(), blocks), (rank == 1, 1), "{error}");
        assert!(error.to_string().contains("the disk is full"), "{error}");
        assert!(relative_error(scores.values(), truth.values()) < 1e-11);
    }
}
