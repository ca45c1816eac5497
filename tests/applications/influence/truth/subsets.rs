//! The linear datamodeling score.

use std::sync::{Arc, Mutex};

use burn_curvature::{
    Error, ParamVector, Progress,
    errors::{ConfigError, TruthError},
    influence::truth::{DatamodelConfig, Retraining, SubsetOutputs},
};

use super::{
    super::retraining::{SAMPLES, rows_of, trained, world},
    Outcome, kind,
};
use crate::random::SplitMix64;

/// Scores of a logistic regression rank its retrainings on subsets, and negated ones rank them the other way around.
#[test]
fn scores_rank_trainings_on_subsets() {
    let world = world(5);
    let mut retraining = Retraining::of_parameters(SAMPLES, &world.queries, |kept, _| {
        Ok::<ParamVector, Error>(
            trained(world.training.on(rows_of(&world.train, kept))?).parameters().clone(),
        )
    });
    let config = DatamodelConfig::new().with_subsets(25).with_fraction(0.8).with_seed(1);
    let outputs = config.sample(&mut retraining).unwrap();
    let scores = world.influence.scores(&world.queries).unwrap();
    let score = outputs.score(&scores).unwrap();
    assert!(score.mean > 0.85, "{score}");
    assert_eq!(score.per_query.len(), scores.queries());
    let negated = scores.rows().map(|row| row.iter().map(|s| -s).collect::<Vec<_>>());
    assert!((outputs.score_rows(negated).unwrap().mean + score.mean).abs() < 1e-12);
    let saved = serde_json::to_string(&outputs).unwrap();
    let loaded: SubsetOutputs = serde_json::from_str(&saved).unwrap();
    assert_eq!(loaded.subsets, outputs.subsets);
}

#[test]
fn subsets_have_their_size_and_vary() {
    let seen = Arc::new(Mutex::new(Vec::new()));
    let mut numbers = SplitMix64::new(2);
    let progress = Arc::clone(&seen);
    let mut retraining =
        Retraining::new(20, |kept, _| -> Outcome { Ok(vec![kept[0] as f64, numbers.normal()]) })
            .with_repeats(2)
            .with_progress(move |at: Progress| progress.lock().unwrap().push((at.done, at.total)));
    let config = DatamodelConfig::new().with_subsets(200).with_fraction(0.3);
    let outputs = config.sample(&mut retraining).unwrap();
    let mut often = [0; 20];
    for subset in &outputs.subsets {
        assert_eq!(subset.len(), 6);
        assert!(subset.windows(2).all(|pair| pair[0] < pair[1]));
        subset.iter().for_each(|&sample| often[sample] += 1);
    }
    // Each sample is in 60 of 200 on average, with a standard deviation of 6.5.
    assert!(often.iter().all(|&count| (30..90).contains(&count)), "{often:?}");
    assert_ne!(outputs.subsets[0], outputs.subsets[1]);
    assert_eq!(*seen.lock().unwrap(), (1..=400).map(|n| (n, 400)).collect::<Vec<_>>());
    // The second f is noise: over 200 subsets its score is small, and the error of the mean is its spread.
    drop(retraining);
    let score = outputs.score_rows([numbers.normals(20), numbers.normals(20)]).unwrap();
    assert!(score.per_query[1].abs() < 0.3, "{score}");
    let half = (score.per_query[0] - score.per_query[1]).abs() / 2.0;
    assert!((score.standard_error - half).abs() < 1e-12);
    let again = DatamodelConfig::new().with_subsets(2).with_fraction(0.3).with_seed(1);
    let other = again.sample(&mut Retraining::new(20, |k, _| -> Outcome { Ok(vec![k[0] as f64]) }));
    assert_ne!(other.unwrap().subsets[0], outputs.subsets[0]);
}

#[test]
fn subsets_are_refused_where_they_say_nothing() {
    let mut retraining = Retraining::new(3, |kept, _| -> Outcome { Ok(vec![kept.len() as f64]) });
    let mut sample = |config: DatamodelConfig| config.sample(&mut retraining);
    let error = sample(DatamodelConfig::new().with_fraction(0.1)).unwrap_err();
    assert_eq!(*kind::<TruthError>(&error), TruthError::Subset { kept: 0, samples: 3 });
    let error = sample(DatamodelConfig::new().with_fraction(1.0)).unwrap_err();
    assert_eq!(kind::<ConfigError>(&error).field, "fraction");
    let error = sample(DatamodelConfig::new().with_subsets(1)).unwrap_err();
    assert_eq!(kind::<ConfigError>(&error).field, "subsets");
    let outputs = sample(DatamodelConfig::new().with_subsets(4)).unwrap();
    let constant = outputs.score_rows([[1.0, 2.0, 3.0]]).unwrap_err();
    assert!(matches!(constant, TruthError::Constant { count: 4, .. }));
    let other = outputs.score_rows([[1.0, 2.0]]).unwrap_err();
    assert_eq!(other, TruthError::OtherSamples { expected: 3, found: 2 });
    let none = outputs.score_rows(Vec::<Vec<f64>>::new()).unwrap_err();
    assert!(matches!(none, TruthError::Count { expected: 1, found: 0, .. }));
}

/// Outcomes whose noise the functions f share: only the error over the subsets, not that over the functions, is the spread
/// of the score when it is computed again on other subsets.
#[test]
fn the_error_over_subsets_is_the_spread_over_experiments() {
    const SUBSETS: usize = 40;
    let mut numbers = SplitMix64::new(3);
    let base = numbers.normals(30);
    let alike = |_| base.iter().map(|score| score + 0.1 * numbers.normal()).collect();
    let rows: Vec<Vec<f64>> = (0..4).map(alike).collect();
    let mut experiment = |subsets: usize| {
        let halves: Vec<Vec<usize>> =
            (0..subsets).map(|_| numbers.permutation(30).into_iter().take(15).collect()).collect();
        let outputs = halves.iter().map(|half| {
            let shared = 4.0 * numbers.normal();
            let kept = |row: &Vec<f64>| -half.iter().map(|&n| row[n]).sum::<f64>();
            rows.iter().map(|row| kept(row) + shared).collect()
        });
        let outputs = outputs.collect();
        SubsetOutputs { samples: 30, subsets: halves, outputs }.score_rows(&rows).unwrap()
    };
    let scores: Vec<_> = (0..200).map(|_| experiment(SUBSETS)).collect();
    let mean_of = |value: &dyn Fn(usize) -> f64| (0..200).map(value).sum::<f64>() / 200.0;
    let mean = mean_of(&|n| scores[n].mean);
    let spread = mean_of(&|n| (scores[n].mean - mean).powi(2)).sqrt();
    let stated = mean_of(&|n| scores[n].subset_error.unwrap());
    let over_functions = mean_of(&|n| scores[n].standard_error);
    assert!((stated / spread - 1.0).abs() < 0.25, "{stated} {spread}");
    assert!(over_functions < 0.5 * spread, "{over_functions} {spread}");
    let covered = scores.iter().filter(|score| {
        let [low, high] = score.interval();
        low <= mean && mean <= high
    });
    assert!(covered.count() > 180); // 95 % of 200
    let two = (0..50).map(|_| experiment(2)).find(|score| score.mean != 0.0).unwrap();
    assert_eq!(two.subset_error, None);
    assert_eq!(two.interval()[1], two.mean + 1.96 * two.standard_error);
}
