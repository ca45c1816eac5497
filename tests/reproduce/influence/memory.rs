//! 10⁵ × 10³ scores of a net of 10⁵ parameters in less than 500 MB of memory, predicted before the start.
//!
//! A process of its own writes the scores of the first 48 of the 1000 queries, which takes as much memory as all of them: no
//! more than the 16 that are scored together are held. All of them take some minutes on two cores:
//! `BURN_CURVATURE_QUERIES=1000`.

use std::{env, fs, process::Command, time::Instant};

use burn::{
    nn::{Linear, LinearConfig},
    prelude::*,
    tensor::activation::tanh,
};
use burn_curvature::{
    ConjugateGradientConfig, Likelihood, Loss, Objective, Reduction,
    influence::{Curvature, Estimator, InfluenceConfig, store::StoreConfig},
};

use crate::{
    Outcome,
    digits::Digits,
    figures::Figures,
    logistic::{Samples, cross_entropies, rows},
    random::SplitMix64,
};

/// Samples of a batch; the large training set has a hundred batches.
const BATCH: usize = 1000;
/// Named where this program runs itself: how many batches, and by which estimator.
const CASE: &str = "BURN_CURVATURE_MEMORY_CASE";
const QUERIES: &str = "BURN_CURVATURE_QUERIES";

/// 64-256-256-64-10: 99,530 parameters.
#[derive(Module, Debug)]
struct Net {
    layers: Vec<Linear>,
}

impl Net {
    fn new(device: &Device) -> Self {
        let sizes = [64, 256, 256, 64, 10].windows(2).collect::<Vec<_>>();
        let layer = |size: &&[usize]| LinearConfig::new(size[0], size[1]).init(device);
        Self { layers: sizes.iter().map(layer).collect() }
    }
}

fn loss(net: &Net, (x, y): Samples) -> (Tensor<2>, Loss) {
    let (last, hidden) = net.layers.split_last().expect("there are four layers");
    let x = hidden.iter().fold(x, |x, layer| tanh(layer.forward(x)));
    let z = last.forward(x);
    (z.clone(), Loss::mean_of(cross_entropies(z, y)))
}

/// Bytes that the kernel says of this process.
fn status(name: &str) -> Option<f64> {
    let text = fs::read_to_string("/proc/self/status").ok()?;
    let line = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'))?;
    line.trim().trim_end_matches(" kB").trim().parse::<f64>().ok().map(|kib| 1024.0 * kib)
}

/// Digits, over and over, with noise.
fn batches(count: usize, device: &Device) -> Result<Vec<Samples>, std::io::Error> {
    let digits = Digits::load()?;
    let whole = (digits.images(device), digits.classes(device));
    let mut numbers = SplitMix64::new(1);
    let batch = |_| {
        let chosen: Vec<usize> = (0..BATCH).map(|_| numbers.below(digits.len())).collect();
        let (x, y) = rows(&whole, &chosen);
        let noise: Vec<f32> = (0..BATCH * 64).map(|_| numbers.symmetric(0.1)).collect();
        let noise = Tensor::<2>::from_data(TensorData::new(noise, [BATCH, 64]), device);
        (x + noise, y)
    };
    Ok((0..count).map(batch).collect())
}

/// Run by the test below in a process of its own.
#[test]
#[ignore = "run by another test"]
fn child() -> Outcome {
    let Ok(case) = env::var(CASE) else { return Ok(()) };
    let (count, estimator) = case.split_once(' ').ok_or("a number of batches and an estimator")?;
    let queries = env::var(QUERIES).map_or(Ok(48), |queries| queries.parse())?;
    let device = Device::default().autodiff();
    let batches = batches(count.parse()?, &device)?;
    let tests = rows(&batches[0], &(0..queries).map(|n| n % BATCH).collect::<Vec<_>>());
    let net = Net::new(&device);
    let objective = Objective::capture(&net, batches[0].clone(), loss)?;
    let training = objective.over(batches, Reduction::Mean)?.with_memory_budget(64 << 20);
    let tests = objective.on(tests)?;
    let config = match estimator {
        "ekfac" => InfluenceConfig::new(Estimator::ekfac())
            .with_curvature(Curvature::Fisher(Likelihood::Categorical)),
        _ => InfluenceConfig::new(Estimator::ConjugateGradient(
            ConjugateGradientConfig::new().with_relative_tolerance(0.1),
        ))
        .with_curvature(Curvature::GaussNewton),
    };
    let influence = config.with_damping(0.1).init(&training)?;
    let plan = StoreConfig::new().init(&influence, &tests)?;
    println!("{plan}");
    let before = status("VmRSS").unwrap_or(f64::NAN);
    let most_before = status("VmHWM").unwrap_or(f64::NAN);
    fs::write("/proc/self/clear_refs", "5")?; // VmHWM starts again from what is resident now
    let folder = env::temp_dir().join(format!("burn-curvature-memory-{}", std::process::id()));
    fs::create_dir_all(&folder)?;
    let clock = Instant::now();
    let scores = plan.create(folder.join("scores.npy"))?;
    let seconds = clock.elapsed().as_secs_f64();
    println!("{}", scores.report);
    fs::remove_dir_all(&folder)?;
    let most = status("VmHWM").unwrap_or(f64::NAN);
    println!("figure predicted {}", before + plan.memory() as f64);
    println!("figure most {most}");
    println!("figure most_before {most_before}");
    println!("figure samples {}", plan.samples());
    println!("figure seconds {seconds}");
    Ok(())
}

#[test]
#[ignore = "takes a while, see main.rs"]
fn scores_take_the_memory_that_was_predicted() -> Outcome {
    if status("VmHWM").is_none() {
        println!("skipped: this system does not say in /proc/self/status how much memory it took");
        return Ok(());
    }
    let mut figures = Figures::default();
    for (name, case) in [("ekfac", "100 ekfac"), ("cg", "5 cg")] {
        let child = Command::new(env::current_exe()?)
            .args(["influence::memory::child", "--exact", "--ignored", "--nocapture"])
            .env(CASE, case)
            .output()?;
        let printed = String::from_utf8_lossy(&child.stdout);
        println!("{printed}");
        assert!(child.status.success(), "{}", String::from_utf8_lossy(&child.stderr));
        let figure = |what: &str| {
            let lines = printed.lines().filter_map(|line| line.split_once("figure "));
            let mut found =
                lines.filter_map(|(_, line)| line.strip_prefix(what)?.trim().parse().ok());
            found.next().unwrap_or(f64::NAN)
        };
        let (predicted, most): (f64, f64) = (figure("predicted "), figure("most "));
        figures.expect(&format!("{name}.megabytes"), most / 1e6, 0.0..=500.0);
        let before = figure("most_before ") / 1e6;
        figures.expect(&format!("{name}.megabytes_before"), before, 0.0..=500.0);
        figures.expect(&format!("{name}.predicted_ratio"), predicted / most, 0.8..=1.2);
        figures.note(&format!("{name}.samples"), figure("samples "));
        figures.note(&format!("{name}.seconds"), figure("seconds "));
    }
    assert!(figures.print());
    Ok(())
}
