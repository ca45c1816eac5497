//! Which labels are wrong? A tenth of the labels of a spam filter's training set is flipped; its influence on itself says
//! which e-mails to check first. So does the plain loss, and here it does better.
#![allow(clippy::print_stdout)]

#[path = "../../tests/support/figures.rs"]
mod figures;
#[path = "../../tests/support/logistic.rs"]
#[allow(dead_code, reason = "other programs take some of the rows")]
mod logistic;
#[path = "../support/page.rs"]
mod page;
#[path = "../../tests/support/random.rs"]
mod random;
mod ranking;
mod spam;

use std::error::Error;

use burn_curvature::influence::truth::Detection;
use figures::Figures;
use page::{Axis, Chart, Corner, Scale};
use plotters::style::RGBColor;
use ranking::ranked;

const BY_INFLUENCE: RGBColor = RGBColor(30, 110, 180);
const BY_LOSS: RGBColor = RGBColor(210, 90, 30);
const AT_RANDOM: RGBColor = RGBColor(150, 150, 150);

fn main() -> Result<(), Box<dyn Error>> {
    let (influence, loss, report) = ranked(1)?;
    println!("{report}\n");
    println!("{} of {} labels are wrong", influence.wrong(), influence.samples());

    let mut figures = Figures::default();
    for (percent, least) in [(10, 0.6), (20, 0.85), (30, 0.94)] {
        let checked = f64::from(percent) / 100.0;
        let found = influence.found_at(checked);
        figures.expect(&format!("self_influence.found_at_{percent}_percent"), found, least..=1.0);
        figures.note(&format!("loss.found_at_{percent}_percent"), loss.found_at(checked));
    }
    figures.note("self_influence.auroc", influence.auroc());
    figures.note("loss.auroc", loss.auroc());
    draw(&influence, &loss)?;
    if figures.print() { Ok(()) } else { Err("a figure is out of its range".into()) }
}

/// The share of the wrong labels that is found, by the share of all labels that is checked.
fn draw(influence: &Detection, loss: &Detection) -> Result<(), Box<dyn Error>> {
    let axis = |label| Axis { label, scale: Scale::Linear, ends: (0.0, 1.0) };
    let (x, y) = (axis("share of the labels checked"), axis("share of the wrong labels found"));
    let mut chart = Chart::new("Which labels are wrong?", x, y);
    chart.line([(0.0, 0.0), (1.0, 1.0)], AT_RANDOM);
    chart.line(loss.curve(), BY_LOSS);
    chart.line(influence.curve(), BY_INFLUENCE);
    chart.name(BY_LOSS, "largest loss first");
    chart.name(BY_INFLUENCE, "largest influence on itself first");
    chart.name(AT_RANDOM, "in random order");
    chart.legend(Corner::LowerRight);
    println!("\n{}", chart.save("mislabeled")?.display());
    Ok(())
}
