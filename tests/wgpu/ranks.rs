//! Ranks on different devices of one process: threads on the CPU and on wgpu, in f32.

use burn::prelude::*;
use burn_curvature::{
    Error, GaussNewton, Hessian, KfacConfig, Likelihood, LinearOperator, Objective, Reduction,
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

fn shared(ranks: std::sync::Arc<Threads>, device: &Device) -> Result<Objective, Error> {
    let model = Network::new(4, device);
    let mine = shares::batches(shares::share(ranks.rank(), ranks.size()), device);
    let captured = Objective::capture(&model, shares::batch(0, device), shares::cross_entropy)?;
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
            figures(&shared(ranks, &own)?)
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
