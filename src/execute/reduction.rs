//! Runs reductions, running reductions and sorting.

use burn_backend::Backend;

use super::{
    Operand,
    call::{Call, Results, bool, float, int},
};
use crate::graph::{Cumulative, Reduction, SortOutputs};

/// Over everything.
pub(super) fn reduce<B: Backend>(mut call: Call<B>, reduction: Reduction) -> Results<B> {
    match (call.any()?, reduction) {
        (Operand::Float(x), Reduction::Sum) => float(B::float_sum(x)),
        (Operand::Float(x), Reduction::Mean) => float(B::float_mean(x)),
        (Operand::Float(x), Reduction::Prod) => float(B::float_prod(x)),
        (Operand::Float(x), Reduction::Max) => float(B::float_max(x)),
        (Operand::Float(x), Reduction::Min) => float(B::float_min(x)),
        (Operand::Float(x), Reduction::MaxAbs) => float(B::float_max_abs(x)),
        (Operand::Float(x), Reduction::All) => bool(B::float_all(x, call.bool_dtype(0)?)),
        (Operand::Float(x), Reduction::Any) => bool(B::float_any(x, call.bool_dtype(0)?)),
        (Operand::Int(x), Reduction::Sum) => int(B::int_sum(x)),
        (Operand::Int(x), Reduction::Mean) => int(B::int_mean(x)),
        (Operand::Int(x), Reduction::Prod) => int(B::int_prod(x)),
        (Operand::Int(x), Reduction::Max) => int(B::int_max(x)),
        (Operand::Int(x), Reduction::Min) => int(B::int_min(x)),
        (Operand::Int(x), Reduction::MaxAbs) => int(B::int_max_abs(x)),
        (Operand::Int(x), Reduction::All) => bool(B::int_all(x, call.bool_dtype(0)?)),
        (Operand::Int(x), Reduction::Any) => bool(B::int_any(x, call.bool_dtype(0)?)),
        (Operand::Bool(x), Reduction::All) => bool(B::bool_all(x)),
        (Operand::Bool(x), Reduction::Any) => bool(B::bool_any(x)),
        (Operand::Bool(_), _) => Err(call.unsupported("float or int")),
        (_, Reduction::ArgMax | Reduction::ArgMin) => {
            Err(call.unsupported("along a dimension: flattened"))
        }
    }
}

/// Along one dimension.
pub(super) fn reduce_dim<B: Backend>(
    mut call: Call<B>,
    reduction: Reduction,
    dim: usize,
) -> Results<B> {
    match call.any()? {
        Operand::Float(x) => match reduction {
            Reduction::Sum => float(B::float_sum_dim(x, dim)),
            Reduction::Mean => float(B::float_mean_dim(x, dim)),
            Reduction::Prod => float(B::float_prod_dim(x, dim)),
            Reduction::Max => float(B::float_max_dim(x, dim)),
            Reduction::Min => float(B::float_min_dim(x, dim)),
            Reduction::MaxAbs => float(B::float_max_abs_dim(x, dim)),
            Reduction::All => bool(B::float_all_dim(x, dim, call.bool_dtype(0)?)),
            Reduction::Any => bool(B::float_any_dim(x, dim, call.bool_dtype(0)?)),
            Reduction::ArgMax => int(B::float_argmax(x, dim, call.int_dtype(0)?)),
            Reduction::ArgMin => int(B::float_argmin(x, dim, call.int_dtype(0)?)),
        },
        Operand::Int(x) => match reduction {
            Reduction::Sum => int(B::int_sum_dim(x, dim)),
            Reduction::Mean => int(B::int_mean_dim(x, dim)),
            Reduction::Prod => int(B::int_prod_dim(x, dim)),
            Reduction::Max => int(B::int_max_dim(x, dim)),
            Reduction::Min => int(B::int_min_dim(x, dim)),
            Reduction::MaxAbs => int(B::int_max_abs_dim(x, dim)),
            Reduction::All => bool(B::int_all_dim(x, dim, call.bool_dtype(0)?)),
            Reduction::Any => bool(B::int_any_dim(x, dim, call.bool_dtype(0)?)),
            Reduction::ArgMax => Ok(vec![call.int_result(0, B::int_argmax(x, dim))?]),
            Reduction::ArgMin => Ok(vec![call.int_result(0, B::int_argmin(x, dim))?]),
        },
        Operand::Bool(x) => match reduction {
            Reduction::All => bool(B::bool_all_dim(x, dim)),
            Reduction::Any => bool(B::bool_any_dim(x, dim)),
            _ => Err(call.unsupported("float or int")),
        },
    }
}

/// Sum along several dimensions.
pub(super) fn sum_dims<B: Backend>(mut call: Call<B>, dims: &[usize]) -> Results<B> {
    match call.any()? {
        Operand::Float(x) => float(B::float_sum_dims(x, dims)),
        Operand::Int(x) => int(dims.iter().fold(x, |x, &dim| B::int_sum_dim(x, dim))),
        Operand::Bool(_) => Err(call.unsupported("float or int")),
    }
}

/// Largest or smallest along a dimension, and where.
pub(super) fn extremum<B: Backend>(mut call: Call<B>, dim: usize, largest: bool) -> Results<B> {
    match call.any()? {
        Operand::Float(x) => {
            let dtype = call.int_dtype(1)?;
            let (values, indices) = if largest {
                B::float_max_dim_with_indices(x, dim, dtype)
            } else {
                B::float_min_dim_with_indices(x, dim, dtype)
            };
            Ok(vec![Operand::Float(values), Operand::Int(indices)])
        }
        Operand::Int(x) => {
            let (values, indices) = if largest {
                B::int_max_dim_with_indices(x, dim)
            } else {
                B::int_min_dim_with_indices(x, dim)
            };
            Ok(vec![Operand::Int(values), call.int_result(1, indices)?])
        }
        Operand::Bool(_) => Err(call.unsupported("float or int")),
    }
}

/// The k largest along a dimension.
pub(super) fn top_k<B: Backend>(
    mut call: Call<B>,
    dim: usize,
    k: usize,
    outputs: SortOutputs,
) -> Results<B> {
    match (call.any()?, outputs) {
        (Operand::Float(x), SortOutputs::Values) => float(B::float_topk(x, dim, k)),
        (Operand::Float(x), SortOutputs::Indices) => {
            int(B::float_argtopk(x, dim, k, call.int_dtype(0)?))
        }
        (Operand::Float(x), SortOutputs::Both) => {
            let (values, indices) = B::float_topk_with_indices(x, dim, k, call.int_dtype(1)?);
            Ok(vec![Operand::Float(values), Operand::Int(indices)])
        }
        (Operand::Int(x), SortOutputs::Values) => int(B::int_topk(x, dim, k)),
        (Operand::Int(x), SortOutputs::Indices) => {
            Ok(vec![call.int_result(0, B::int_argtopk(x, dim, k))?])
        }
        (Operand::Int(x), SortOutputs::Both) => {
            let (values, indices) = B::int_topk_with_indices(x, dim, k);
            Ok(vec![Operand::Int(values), call.int_result(1, indices)?])
        }
        (Operand::Bool(_), _) => Err(call.unsupported("float or int")),
    }
}

/// Sorted along a dimension.
pub(super) fn sort<B: Backend>(
    mut call: Call<B>,
    dim: usize,
    descending: bool,
    outputs: SortOutputs,
) -> Results<B> {
    match (call.any()?, outputs) {
        (Operand::Float(x), SortOutputs::Values) => float(B::float_sort(x, dim, descending)),
        (Operand::Float(x), SortOutputs::Indices) => {
            int(B::float_argsort(x, dim, descending, call.int_dtype(0)?))
        }
        (Operand::Float(x), SortOutputs::Both) => {
            let dtype = call.int_dtype(1)?;
            let (values, indices) = B::float_sort_with_indices(x, dim, descending, dtype);
            Ok(vec![Operand::Float(values), Operand::Int(indices)])
        }
        (Operand::Int(x), SortOutputs::Values) => int(B::int_sort(x, dim, descending)),
        (Operand::Int(x), SortOutputs::Indices) => {
            let indices = B::int_argsort(x, dim, descending);
            Ok(vec![call.int_result(0, indices)?])
        }
        (Operand::Int(x), SortOutputs::Both) => {
            let (values, indices) = B::int_sort_with_indices(x, dim, descending);
            Ok(vec![Operand::Int(values), call.int_result(1, indices)?])
        }
        (Operand::Bool(_), _) => Err(call.unsupported("float or int")),
    }
}

/// A running reduction.
pub(super) fn cumulative<B: Backend>(
    mut call: Call<B>,
    function: Cumulative,
    dim: usize,
) -> Results<B> {
    match (call.any()?, function) {
        (Operand::Float(x), Cumulative::Sum) => float(B::float_cumsum(x, dim)),
        (Operand::Float(x), Cumulative::Prod) => float(B::float_cumprod(x, dim)),
        (Operand::Float(x), Cumulative::Min) => float(B::float_cummin(x, dim)),
        (Operand::Float(x), Cumulative::Max) => float(B::float_cummax(x, dim)),
        (Operand::Int(x), Cumulative::Sum) => int(B::int_cumsum(x, dim)),
        (Operand::Int(x), Cumulative::Prod) => int(B::int_cumprod(x, dim)),
        (Operand::Int(x), Cumulative::Min) => int(B::int_cummin(x, dim)),
        (Operand::Int(x), Cumulative::Max) => int(B::int_cummax(x, dim)),
        (Operand::Bool(_), _) => Err(call.unsupported("float or int")),
    }
}
