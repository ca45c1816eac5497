//! Ranks on different devices of one process: threads on the CPU and on wgpu, in f32.

use std::sync::Arc;

use burn::prelude::*;
use burn_curvature::{
    Error, GaussNewton, Hessian, KfacConfig, Likelihood, LinearOperator, Objective, ParamLayout,
    ParamVector, Reduction,
    communicator::{Communicator, Threads},
    kfac::KfacFisher,
};

use crate::{
    compare::relative_error,
    shares::{self, Figures, Network},
    wgpu_device,
};

fn cpu() -> Device {
    Device::flex().autodiff()
}

/// Sums, which have the same bits on all ranks, and what each rank computes of them on its device.
fn figures(risk: &Objective) -> Result<(Figures, Figures), Error> {
    let v = risk.parameters().space().normal(1);
    let sums = vec![
        ("value".into(), vec![risk.value()?]),
        ("gradient".into(), risk.gradient()?.to_vec()?),
        ("Hessian".into(), Hessian::new(risk)?.apply(&v)?.to_vec()?),
        ("GaussNewton".into(), GaussNewton::new(risk)?.apply(&v)?.to_vec()?),
    ];
    let config = KfacConfig::new().with_fisher(KfacFisher::Exact);
    let kfac = config.init(risk, Likelihood::Categorical)?;
    let own = vec![
        ("K-FAC".into(), kfac.apply(&v)?.to_vec()?),
        ("its inverse".into(), kfac.inverse(0.1)?.apply(&v)?.to_vec()?),
    ];
    Ok((sums, own))
}

fn shared(ranks: Arc<Threads>, model: &Network, device: &Device) -> Result<Objective, Error> {
    let mine = shares::batches(shares::share(ranks.rank(), ranks.size()), device);
    let captured = Objective::capture(model, shares::batch(0, device), shares::cross_entropy)?;
    captured.shared(ranks)?.over(mine, Reduction::Mean)
}

#[test]
fn shares_on_the_cpu_and_on_wgpu_are_those_of_one_process() {
    let Some(wgpu) = wgpu_device::device() else { return };
    let model = Network::new(4, &cpu());
    let alone = shares::risk::<Threads>(&model, None, &cpu()).unwrap();
    let (sums, own) = figures(&alone).unwrap();
    for size in [2, 3] {
        let wgpu = wgpu.clone();
        let found = Threads::run(size, move |ranks| {
            let own = if ranks.rank() == 0 { cpu() } else { wgpu.clone().autodiff() };
            figures(&shared(ranks, &Network::new(4, &own), &own)?)
        });
        let found: Vec<_> = found.into_iter().map(Result::unwrap).collect();
        for (rank, (found_sums, found_own)) in found.iter().enumerate() {
            assert_eq!(found_sums, &found[0].0, "rank {rank} of {size}");
            let pairs = found_sums.iter().chain(found_own).zip(sums.iter().chain(&own));
            for ((name, found), (_, truth)) in pairs {
                let error = relative_error(found, truth);
                assert!(error < 1e-4, "{name} on rank {rank} of {size}: {error:e}");
            }
        }
    }
}

/// A solve and steps of an optimizer make decisions from scalar products: they must have the same bits on equal devices.
#[test]
fn ranks_on_equal_devices_solve_and_train_alike() {
    let Some(wgpu) = wgpu_device::device() else { return };
    let found = Threads::run(2, move |ranks| {
        let device = wgpu.clone().autodiff();
        let model = Network::new(4, &device);
        let risk = shared(ranks, &model, &device)?;
        let solution = shares::solution(&risk, 1e-4)?;
        let mut figures = shares::training(&risk, &model)?;
        figures.push(("CG".into(), solution.x.to_vec()?));
        Ok::<_, Error>(figures)
    });
    let found: Vec<_> = found.into_iter().map(Result::unwrap).collect();
    assert_eq!(found[0], found[1]);
}

/// Sums over many threads of a GPU, which would come in another order in every run.
#[test]
fn scalar_products_have_the_same_bits_in_every_run() {
    let Some(device) = wgpu_device::device() else { return };
    let data = |seed: u64| {
        let mut numbers = crate::random::SplitMix64::new(seed);
        let values: Vec<f32> = (0..200_003).map(|_| numbers.symmetric(1.0)).collect();
        Tensor::<1>::from_data(TensorData::new(values, [200_003]), &device)
    };
    let layout = ParamLayout::flat(200_003).unwrap();
    let vector = |seed| -> ParamVector { ParamVector::from_tensor(&layout, data(seed)).unwrap() };
    let (x, y) = (vector(1), vector(2));
    let first = x.dot(&y).unwrap();
    let exact: f64 = x.to_vec().unwrap().iter().zip(y.to_vec().unwrap()).map(|(x, y)| x * y).sum();
    assert!((first - exact).abs() < 1e-6 * x.norm().unwrap() * y.norm().unwrap());
    for run in 0..50 {
        assert_eq!(x.dot(&y).unwrap(), first, "run {run}");
    }
}
