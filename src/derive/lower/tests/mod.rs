//! Tests of the lowerings.
