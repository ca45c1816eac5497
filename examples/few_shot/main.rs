//! Few-shot learning: five letters from one sample of each, out of ten letters that meta-training never saw. A start that is
//! meta-trained with implicit gradients (iMAML), by first-order MAML, and no meta-training at all. The error rates on
//! held-out tasks are drawn to `target/few_shot.svg`.
#![allow(clippy::print_stdout)]

#[path = "../../tests/support/figures.rs"]
mod figures;
#[path = "../../tests/support/letters.rs"]
mod letters;
mod network;
#[path = "../support/page.rs"]
mod page;
#[path = "../../tests/support/random.rs"]
mod random;
mod training;

use std::error::Error;

use burn::tensor::Device;
use burn_curvature::{ConjugateGradientConfig, implicit::Imaml};
use plotters::style::RGBColor;

use figures::Figures;
use letters::Letters;
use page::{Axis, Chart, Scale};
use training::{Rule, SHOTS, accuracy, classes, meta_train, scratch, start};

const SEED: u64 = 1;
const STEPS: usize = 100;
const EVERY: usize = 20;
const IMPLICIT: RGBColor = RGBColor(26, 99, 168);
const FIRST_ORDER: RGBColor = RGBColor(204, 68, 34);
const SCRATCH: RGBColor = RGBColor(45, 45, 45);

fn main() -> Result<(), Box<dyn Error>> {
    let device = Device::default().autodiff();
    let letters = Letters::load()?;
    let mut figures = Figures::default();

    // The report of one meta-gradient, with more conjugate gradient steps than training takes.
    let (_, imaml) = start(&letters, SEED, &device)?;
    let tasks = (0..3).map(|task| letters.task(&classes(SEED).0, SHOTS, (task, &device)));
    let solver = ConjugateGradientConfig::new().init()?;
    println!("{}\n", imaml.meta_gradient(tasks, &solver)?.report);

    let x = Axis { label: "meta-training steps", scale: Scale::Linear, ends: (0.0, STEPS as f64) };
    let y = Axis { label: "error rate", scale: Scale::Linear, ends: (0.3, 0.7) };
    let mut chart = Chart::new("Five letters from one sample each", x, y);
    let scratch = 1.0 - scratch(&letters, SEED, &device)?;
    figures.expect("scratch.accuracy", 1.0 - scratch, 0.2..=1.0);
    chart.level(scratch, SCRATCH);
    for (rule, name, color) in
        [(Rule::Implicit, "imaml", IMPLICIT), (Rule::FirstOrder, "first_order", FIRST_ORDER)]
    {
        let mut curve = Vec::new();
        let observe = |step: usize, imaml: &Imaml| {
            if step.is_multiple_of(EVERY) {
                curve.push((step as f64, 1.0 - accuracy(imaml, &letters, SEED)?));
            }
            Ok(())
        };
        let begin = start(&letters, SEED, &device)?;
        let clock = std::time::Instant::now();
        meta_train(begin, (&letters, SEED), (rule, STEPS), observe)?;
        figures.note(&format!("{name}.seconds"), clock.elapsed().as_secs_f64());
        let end = curve.last().map_or(f64::NAN, |(_, error)| 1.0 - error);
        figures.expect(&format!("{name}.accuracy"), end, 1.0 - scratch..=1.0);
        chart.line(curve, color);
    }
    chart.name(IMPLICIT, "iMAML");
    chart.name(FIRST_ORDER, "first-order MAML");
    chart.name(SCRATCH, "no meta-training");
    println!("drawn: {}", chart.save("few_shot")?.display());
    if figures.print() { Ok(()) } else { Err("a figure is out of its range".into()) }
}
