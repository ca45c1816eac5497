//! Every differentiable operation, one row each: lowered value against the backend's own, gradient against
//! differences of the backend's own value, Hessian product against differences of the gradient.

#![allow(clippy::panic)] // A failed test says what failed.

mod activations;
mod arithmetic;
#[cfg(feature = "ndarray")]
mod backends;
mod case;
mod check;
mod conv_gradients;
mod convolutions;
mod draw;
mod harness;
mod indexing;
mod layers;
mod movement;
mod native;
mod pools;
mod recorded;
mod reductions;
mod refusals;
mod special;

use crate::graph::{Class, samples};
use case::Case;

/// All rows.
fn table() -> Vec<Case> {
    [
        activations::cases(),
        arithmetic::cases(),
        conv_gradients::cases(),
        convolutions::cases(),
        indexing::cases(),
        layers::cases(),
        movement::cases(),
        pools::cases(),
        reductions::cases(),
    ]
    .concat()
}

/// Checks every row of a table and reports all failures at once.
fn check_all(cases: Vec<Case>) {
    let failures: Vec<String> = cases.iter().flat_map(check::check).collect();
    assert!(failures.is_empty(), "{} failures:\n{}", failures.len(), failures.join("\n"));
}

#[test]
fn names_are_unique_and_the_table_is_long() {
    let mut names: Vec<String> = table().into_iter().map(|case| case.name).collect();
    let count = names.len();
    names.sort();
    names.dedup();
    assert_eq!(names.len(), count);
    assert!(count > 200, "only {count} rows");
}

#[test]
fn the_table_has_a_row_for_every_operation_that_is_differentiated() {
    let differentiated =
        samples::existing().filter(|op| matches!(op.class(), Class::Native | Class::Lowered(_)));
    let table = table();
    let missing = samples::missing(differentiated, table.iter().map(|case| &case.op));
    assert!(missing.is_empty(), "no row for {missing:#?}");
}
