//! Flipped labels of a spam filter, found by self-influence and by the plain loss, which does better here.

#[path = "../../../examples/mislabeled/ranking.rs"]
mod ranking;

use crate::{Outcome, figures::Figures};
use ranking::ranked;

/// Koh & Liang 2017, section 5.4.
#[test]
#[ignore = "takes a while, see main.rs"]
fn self_influence_finds_flipped_labels() -> Outcome {
    let mut figures = Figures::default();
    for seed in [1, 2, 3] {
        let (influence, loss, _) = ranked(seed)?;
        for (percent, least) in [(10, 0.6), (20, 0.85), (30, 0.94)] {
            let checked = f64::from(percent) / 100.0;
            let found = influence.found_at(checked);
            figures.expect(&format!("self_influence.{seed}.at_{percent}"), found, least..=1.0);
            figures.note(&format!("loss.{seed}.at_{percent}"), loss.found_at(checked));
        }
        // Said openly: no curvature is needed to find these.
        figures.expect(
            &format!("loss_is_ahead.{seed}"),
            loss.auroc() - influence.auroc(),
            0.0..=0.2,
        );
    }
    assert!(figures.print());
    Ok(())
}
