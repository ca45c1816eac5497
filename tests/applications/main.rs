//! What A⁻¹b is wanted for: influence functions, implicit differentiation, Newton-type optimizers. Against dense
//! references, finite differences in f64, retraining and closed forms.
#![allow(clippy::unwrap_used, clippy::panic)]
#![allow(deprecated)] // Burn deprecates NdArray but still ships it.

#[macro_use]
#[path = "../support/backends.rs"]
#[allow(dead_code, reason = "shared with other programs")]
mod backends;
#[path = "../support/classifier.rs"]
#[allow(dead_code, reason = "shared with other programs")]
mod classifier;
#[path = "../support/compare.rs"]
mod compare;
#[path = "../support/dense.rs"]
#[allow(dead_code, reason = "shared with other programs")]
mod dense;
#[path = "../support/failure.rs"]
mod failure;
mod implicit;
mod influence;
mod newton;
#[path = "../support/oracle.rs"]
#[allow(dead_code, reason = "shared with other programs")]
mod oracle;
#[path = "../support/random.rs"]
#[allow(dead_code, reason = "shared with other programs")]
mod random;
mod samples;
mod saved;
#[path = "../../examples/mislabeled/spam.rs"]
#[allow(dead_code, reason = "shared with other programs")]
mod spam;

use compare::relative_error;

#[test]
fn the_distance_of_a_vector_to_itself_is_zero() {
    assert_eq!(relative_error(&[1.0, -2.0], &[1.0, -2.0]), 0.0);
}
