//! Files of scores that are those of another run, damaged, or no scores: refused, and left as they are.

use std::{fs, path::Path};

use burn::{module::Param, prelude::*};
use burn_curvature::{
    Likelihood, Loss, Objective, Precision, Reduction,
    errors::StoreError,
    influence::{Curvature, Estimator, Influence, InfluenceConfig, Query, store::StoreConfig},
    solver::LissaConfig,
};

use super::{
    TEST, TRAINING, World, part,
    reports::Line,
    store::{Folder, influence, interrupted, kind, plan},
    sum_of_losses,
};

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

/// One query or one training sample of twenty thousand is another; so is a scalar of θ with the same value.
#[test]
fn one_number_among_thousands_is_another_run() {
    let (device, folder) = (Device::default().autodiff(), Folder::new());
    let of = |y: &[f32]| Tensor::<1>::from_floats(y, &device);
    let model = Line { w: Param::from_tensor(of(&[2.0])) };
    let small = Objective::capture(&model, of(&[1.0, 1.0, 4.0]), |model, y: Tensor<1>| {
        Loss::mean_of((model.w.val() - y).powf_scalar(2.0) * 0.5)
    });
    let small = small.unwrap();
    let numbers = |other: usize| {
        let mut y: Vec<f32> = (0..20_000).map(|n| (n * 7919 % 1000) as f32 / 1000.0).collect();
        y[other] += 0.5;
        y
    };
    let many = |other: usize| small.on(of(&numbers(other))).unwrap();
    let refused = |influence: &Influence, query: Query<'_>, path: &Path, expected: &str| {
        let StoreError::OtherRun { what, .. } = kind(plan(influence, query).resume(path)) else {
            panic!()
        };
        assert!(what.contains(expected), "{what}");
    };
    let (queries, path) = (many(3), folder.file("queries.npy"));
    let own = InfluenceConfig::new(Estimator::Identity).with_at_once(20_000);
    let own = own.init(&small).unwrap();
    plan(&own, &queries).create(&path).unwrap();
    refused(&own, Query::Samples(&many(5)), &path, "checksum of the queries");
    plan(&own, &queries).resume(&path).unwrap();

    let (training, path) = (influence(&queries), folder.file("training.npy"));
    plan(&training, &small).create(&path).unwrap();
    refused(
        &influence(&many(5)),
        Query::Samples(&small),
        &path,
        "checksum of the training samples",
    );
    // The same samples in other batches, which round otherwise.
    let batches = numbers(3).chunks(777).map(of).collect::<Vec<_>>();
    let batches = small.over(batches, Reduction::Mean).unwrap();
    plan(&influence(&batches), &small).resume(&path).unwrap();

    let scalar = |slope: f32| {
        let f = Objective::capture(&model, (), move |model: &Line, ()| {
            (model.w.val() - 2.0) * slope + 2.0
        });
        f.unwrap()
    };
    let path = folder.file("value.npy");
    plan(&own, Query::Value(&scalar(1.0))).create(&path).unwrap();
    refused(&own, Query::Value(&scalar(2.0)), &path, "checksum of the queries");
    plan(&own, Query::Value(&scalar(1.0))).resume(&path).unwrap();
}

/// Two batches of 5 and 25 samples are other terms of a series than two of 25 and 5.
#[test]
fn other_terms_of_a_series_are_another_run() {
    let (world, folder) = (World::new(37), Folder::new());
    let config = InfluenceConfig::new(Estimator::Lissa(LissaConfig::new())).with_damping(0.5);
    let cut = |at: usize| {
        let batches = [(0, at), (at, TRAINING)].map(|(from, to)| part(&world.train, from, to));
        config.init(&world.training.over(batches, Reduction::Mean).unwrap()).unwrap()
    };
    let (own, path) = (cut(5), folder.file("series.npy"));
    plan(&own, &world.queries).create(&path).unwrap();
    let refused = kind(plan(&cut(25), &world.queries).resume(&path));
    let StoreError::OtherRun { what, .. } = refused else { panic!("{refused}") };
    assert!(what.contains("sizes of the batches"), "{what}");
    plan(&own, &world.queries).resume(&path).unwrap();
}

/// A run whose description cannot be written leaves no numbers without one.
#[test]
fn a_run_that_cannot_start_leaves_no_file() {
    let (world, folder) = (World::new(38), Folder::new());
    let (own, path) = (influence(&world.training), folder.file("scores.npy"));
    fs::create_dir(folder.file("scores.npy.json.new")).unwrap();
    assert!(matches!(kind(plan(&own, &world.queries).create(&path)), StoreError::File { .. }));
    assert!(!path.exists());
    fs::remove_dir(folder.file("scores.npy.json.new")).unwrap();
    plan(&own, &world.queries).create(&path).unwrap();
}
