//! Reductions, cumulative functions, sorting.

use super::{check_all, entry, out};

#[test]
fn reductions() {
    check_all(vec![
        entry("over everything", |s| {
            let x = s.float([3, 4], 1.0);
            vec![
                out(x.clone().sum()),
                out(x.clone().mean()),
                out(x.clone().prod()),
                out(x.clone().max()),
                out(x.clone().min()),
                out(x.clone().max_abs()),
                out(x.clone().any()),
                out(x.all()),
            ]
        }),
        entry("along a dimension", |s| {
            let x = s.float([3, 4], 2.0);
            let (max, arg_max) = x.clone().max_dim_with_indices(0);
            let (min, arg_min) = x.clone().min_dim_with_indices(1);
            let (variance, mean) = x.clone().var_mean(1);
            vec![
                out(x.clone().sum_dim(0)),
                out(x.clone().mean_dim(1)),
                out(x.clone().prod_dim(0)),
                out(x.clone().max_dim(1)),
                out(x.clone().min_dim(0)),
                out(x.clone().max_abs_dim(1)),
                out(x.clone().argmax(1)),
                out(x.clone().argmin(0)),
                out(x.clone().any_dim(0)),
                out(x.clone().all_dim(1)),
                out(max),
                out(arg_max),
                out(min),
                out(arg_min),
                out(variance),
                out(mean),
                out(x.clone().var(0)),
                out(x.clone().var_bias(0)),
                out(x.clone().median(1)),
                out(x.cov(1, 1)),
            ]
        }),
        entry("along several dimensions", |s| {
            let x = s.float([2, 3, 4], 3.0);
            vec![
                out(x.clone().sum_dims(&[0, 2])),
                out(x.clone().mean_dims(&[0, 2])),
                out(x.clone().prod_dims(&[0, 1])),
                out(x.clone().max_dims(&[1, 2])),
                out(x.clone().min_dims(&[1, 2])),
                out(x.clone().max_abs_dims(&[1, 2])),
                out(x.sum_dims_squeeze::<1, _>(&[0, 2])),
            ]
        }),
        entry("running", |s| {
            let x = s.float([3, 4], 4.0);
            vec![
                out(x.clone().cumsum(0)),
                out(x.clone().cumprod(1)),
                out(x.clone().cummin(1)),
                out(x.cummax(0)),
            ]
        }),
        entry("sorted", |s| {
            let x = s.float([3, 4], 5.0);
            let (values, indices) = x.clone().sort_with_indices(1);
            let (top, where_top) = x.clone().topk_with_indices(2, 1);
            vec![
                out(x.clone().sort(0)),
                out(x.clone().sort_descending(1)),
                out(x.clone().argsort(1)),
                out(x.clone().argsort_descending(0)),
                out(values),
                out(indices),
                out(x.clone().topk(2, 0)),
                out(x.argtopk(3, 1)),
                out(top),
                out(where_top),
            ]
        }),
    ]);
}
