//! Creation, movement, indexing and products.

use burn::tensor::{Bool, IndexingUpdateOp, Int, Tensor, s};

use super::{Entry, check_all, entry, out};

#[test]
fn creation() {
    check_all(vec![entry("creation", |source| {
        let device = &source.device;
        let x = source.float([2, 3], 0.0);
        vec![
            out(x.clone() + Tensor::<2>::zeros([2, 3], device)),
            out(Tensor::<2>::ones([2, 3], device)),
            out(Tensor::<2>::full([2, 3], 0.7, device)),
            out(x.zeros_like()),
            out(x.ones_like()),
            out(x.full_like(2.5)),
            out(Tensor::<1, Int>::arange(2..7, device)),
            out(Tensor::<1, Int>::arange_step(2..9, 3, device)),
            out(Tensor::<1, Int>::zeros([3], device)),
            out(Tensor::<1, Int>::ones([3], device)),
            out(Tensor::<1, Int>::full([3], 4, device)),
            out(Tensor::<2>::eye(3, device)),
            out(Tensor::<2, Bool>::tril_mask([3, 4], 0, device)),
            out(Tensor::<2, Bool>::triu_mask([3, 4], 1, device)),
            out(Tensor::<2, Bool>::diag_mask([3, 4], 0, device)),
            out(Tensor::<2>::from_floats([[1.0, 2.0], [3.0, 4.0]], device)),
            out(Tensor::<1, Int>::from_ints([1, 2], device)),
        ]
    })]);
}

#[test]
fn movement() {
    check_all(vec![
        entry("shapes", |source| {
            let x = source.float([2, 3, 4], 1.0);
            vec![
                out(x.clone().reshape([4, 6])),
                out(x.clone().transpose()),
                out(x.clone().swap_dims(0, 1)),
                out(x.clone().permute([2, 0, 1])),
                out(x.clone().movedim(0, 2)),
                out(x.clone().flip([0, 2])),
                out(x.clone().flatten::<1>(0, 2)),
                out(x.clone().unsqueeze::<4>()),
                out(x.clone().unsqueeze_dim::<4>(2)),
                out(x.clone().slice(s![0..1]).squeeze_dim::<2>(0)),
                out(x.clone().roll_dim(1, 2)),
                out(x.clone().unfold::<4, _>(2, 3, 1)),
                out(x.clone().repeat_dim(1, 2)),
                out(x.clone().repeat(&[2, 1, 3])),
                out(x.clone().slice_dim(1, 0..1).expand([2, 3, 4])),
                out(x.clone().pad((1, 2, 0, 1), 0.5)),
                out(x.pad((1, 1, 1, 1), burn::tensor::ops::PadMode::Reflect)),
            ]
        }),
        entry("int and bool shapes", |source| {
            let n = source.int([2, 3], &[1, 2, 3, 4, 5, 6]);
            let b = source.bool([2, 3], &[1, 0, 0, 1, 1, 0]);
            vec![
                out(n.clone().transpose()),
                out(n.clone().slice([0..2, 1..3])),
                out(Tensor::cat(vec![n.clone(), n.clone()], 1)),
                out(n.clone().repeat_dim(0, 2)),
                out(n.clone().pad((1, 0, 0, 1), 7.0)),
                out(n.flip([1])),
                out(b.clone().transpose()),
                out(b.clone().slice([0..2, 1..3])),
                out(Tensor::cat(vec![b.clone(), b.clone()], 1)),
                out(b.clone().repeat_dim(0, 2)),
                out(b.unsqueeze_dim::<3>(0).expand([4, 2, 3])),
            ]
        }),
        entry("parts", |source| {
            let x = source.float([4, 6], 2.0);
            let y = source.float([2, 2], 3.0);
            let mut results = vec![
                out(x.clone().slice(s![1..3, 0..6;2])),
                out(x.clone().slice(s![..;-1, 2..4])),
                out(x.clone().narrow(1, 2, 3)),
                out(x.clone().slice_assign(s![1..3, 2..4], y)),
                out(x.clone().slice_fill(s![1..3, 2..4], 0.3)),
                out(x.clone().select_dim::<1>(0, 2)),
                out(Tensor::cat(vec![x.clone(), x.clone() * 2.0], 0)),
                out(Tensor::stack::<3>(vec![x.clone(), x.clone() * 2.0], 1)),
                out(x.clone().triu(1)),
                out(x.clone().tril(0)),
            ];
            results.extend(x.clone().chunk(3, 1).into_iter().map(out));
            results.extend(x.clone().split(3, 0).into_iter().map(out));
            results.extend(x.iter_dim(0).map(out));
            results
        }),
    ]);
}

#[test]
fn indexing() {
    let add = IndexingUpdateOp::Add;
    check_all(vec![
        entry("picks", |source| {
            let x = source.float([4, 3], 4.0);
            let list = source.int([3], &[3, 1, 1]);
            let columns = source.int([4, 2], &[2, 0, 1, 1, 0, 2, 2, 2]);
            let pairs = source.int([2, 2], &[3, 0, 1, 2]);
            let b = source.bool([4, 3], &[1, 0, 0, 1, 1, 0, 0, 1, 1, 0, 1, 0]);
            vec![
                out(x.clone().select(0, list.clone())),
                out(x.clone().gather(1, columns.clone())),
                out(x.clone().gather_nd::<2, 1>(pairs)),
                out(x.take::<1, 2>(0, list.clone())),
                out(b.clone().select(0, list)),
                out(b.gather(1, columns)),
            ]
        }),
        entry("updates", move |source| {
            let x = source.float([4, 3], 5.0);
            let y = source.float([2, 3], 6.0);
            let rows = source.int([2, 3], &[3, 0, 1, 3, 1, 2]);
            let list = source.int([2], &[2, 2]);
            let tuples = source.int([2, 1], &[0, 3]);
            vec![
                out(x.clone().scatter(0, rows, y.clone(), add)),
                out(x.clone().select_assign(0, list, y.clone(), add)),
                out(x.clone().scatter_nd(tuples.clone(), y.clone(), IndexingUpdateOp::Mul)),
                out(x.scatter_nd(tuples, y, IndexingUpdateOp::Assign)),
            ]
        }),
        entry("masks", |source| {
            let (x, y) = (source.float([2, 3], 7.0), source.float([2, 3], 8.0));
            let mask = source.bool([2, 3], &[1, 0, 0, 1, 1, 0]);
            let n = source.int([2, 3], &[1, 2, 3, 4, 5, 6]);
            vec![
                out(x.clone().mask_where(mask.clone(), y)),
                out(x.mask_fill(mask.clone(), -1.5)),
                out(n.clone().mask_fill(mask.clone(), 9)),
                out(n.clone().mask_where(mask, n * 10)),
            ]
        }),
    ]);
}

fn products() -> Vec<Entry> {
    vec![
        entry("products", |source| {
            let (x, y) = (source.float([2, 3, 4], 9.0), source.float([2, 4, 2], 10.0));
            let shared = source.float([1, 4, 2], 11.0);
            let (a, b) = (source.float([5], 12.0), source.float([5], 13.0));
            let (u, v) = (source.float([2, 3], 14.0), source.float([2, 3], 15.0));
            vec![out(x.clone().matmul(y)), out(x.matmul(shared)), out(a.dot(b)), out(u.cross(v, 1))]
        }),
        entry("a chain of fifty operations", |source| {
            let w = source.float([4, 4], 16.0);
            let mut x = source.float([3, 4], 17.0);
            for _ in 0..25 {
                x = x.matmul(w.clone()).tanh();
            }
            vec![out(x)]
        }),
    ]
}

#[test]
fn products_agree() {
    check_all(products());
}

#[test]
fn outputs_may_be_inputs_constants_or_returned_twice() {
    check_all(vec![entry("outputs", |source| {
        let x = source.float([2, 3], 18.0);
        let c = Tensor::<2>::from_floats([[1.0, 2.0]], &source.device);
        let y = x.clone() * 2.0;
        vec![out(x), out(c), out(y.clone()), out(y)]
    })]);
}
