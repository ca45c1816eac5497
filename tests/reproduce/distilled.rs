//! Data distillation (Wang et al. 2018; Lorraine et al. 2020, section 5.2): ten images as hyperparameters, one for each
//! class, so that a linear classifier trained on them alone is good at all digits.

#[path = "../../examples/distilled/training.rs"]
pub mod training;

use crate::{Outcome, digits::Digits, figures::Figures};
use training::distill;

const STEPS: usize = 60;

#[test]
#[ignore = "takes a while, see main.rs"]
fn distilled() -> Outcome {
    let digits = Digits::load()?;
    let mut figures = Figures::default();
    for seed in [1, 2, 3] {
        let found = distill(&digits, seed, STEPS, |_, _| ())?;
        let (before, after) = (found.accuracies[0], found.accuracies[STEPS]);
        figures.note(&format!("distilled.{seed}.before"), before);
        figures.expect(&format!("distilled.{seed}.after"), after, 0.85..=1.0);
        figures.expect(&format!("distilled.{seed}.gain"), after - before, 0.05..=1.0);
    }
    assert!(figures.print());
    Ok(())
}
