//! Jacobian, Gauss-Newton and Fisher operators, and objectives over data sets.

mod data;
mod fisher;
mod gauss_newton;
mod jacobian;
mod refusals;
mod several;
