//! Few-shot learning of letters: iMAML, first-order MAML and no meta-training, over three seeds.

#[path = "../../examples/few_shot/network.rs"]
pub mod network;
#[path = "../../examples/few_shot/training.rs"]
pub mod training;

use burn::tensor::Device;

use crate::{Outcome, figures::Figures, letters::Letters};
use training::{Rule, accuracy, meta_train, scratch, start};

/// Later the two rules come together: on 16 letters both begin to overfit.
const STEPS: usize = 100;

#[test]
#[ignore = "takes a while, see main.rs"]
fn few_shot() -> Outcome {
    let device = Device::default().autodiff();
    let letters = Letters::load()?;
    let mut figures = Figures::default();
    let mut sums = [0.0; 3];
    for seed in [1, 2, 3] {
        let trained = |rule| {
            let begin = start(&letters, seed, &device)?;
            let end = meta_train(begin, (&letters, seed), (rule, STEPS), |_, _| Ok(()))?;
            accuracy(&end, &letters, seed)
        };
        let found = [
            scratch(&letters, seed, &device)?,
            trained(Rule::FirstOrder)?,
            trained(Rule::Implicit)?,
        ];
        for ((name, sum), accuracy) in
            ["scratch", "first_order", "imaml"].iter().zip(&mut sums).zip(found)
        {
            figures.note(&format!("few_shot.{seed}.{name}"), accuracy);
            *sum += accuracy / 3.0;
        }
        figures.expect(&format!("few_shot.{seed}.gain"), found[2] - found[0], 0.03..=1.0);
    }
    figures.expect("few_shot.over_first_order", sums[2] - sums[1], 0.0..=1.0);
    assert!(figures.print());
    Ok(())
}
