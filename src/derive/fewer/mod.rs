//! Fewer operations in the part of a product that depends on the vector: on a GPU each costs the host some ten
//! microseconds, however small it is.

mod reshapes;
mod signs;
#[cfg(test)]
mod tests;

pub(super) use reshapes::reshapes_past_elements;
pub(super) use signs::signs_into_sums;
