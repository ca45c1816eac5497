//! Jacobian, Gauss-Newton and Fisher operators, and objectives over data sets.

mod columns;
mod data;
mod data_refusals;
mod fisher;
mod gauss_newton;
mod jacobian;
mod refusals;
mod several;
