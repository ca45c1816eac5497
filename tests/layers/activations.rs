//! Every activation, as a module and as a function.

use burn::nn::{
    CeluConfig, EluConfig, GLU, HardShrinkConfig, HardSigmoidConfig, LeakyReluConfig, Linear,
    LinearConfig, PRelu, PReluConfig, ShrinkConfig, SoftShrinkConfig, SoftplusConfig, SwiGluConfig,
    ThresholdedReluConfig,
    activation::{
        Activation, ActivationConfig, HardtanhConfig, LogSigmoid, Mish, RRelu, RReluConfig, Relu6,
        SiLU, Tanhshrink, ThresholdConfig,
    },
};
use burn::{prelude::*, tensor::activation};

use super::{
    check::Table,
    probe::{Probe, data, device, readout},
};

const SHAPE: [usize; 2] = [5, 4];

#[test]
fn selectable() {
    use ActivationConfig::*;
    let mut table = Table::new("Activation");
    let all = [
        Gelu,
        GeluApproximate,
        PRelu(PReluConfig::new()),
        PRelu(PReluConfig::new().with_num_parameters(4)),
        Relu,
        LeakyRelu(LeakyReluConfig::new()),
        LeakyRelu(LeakyReluConfig::new().with_negative_slope(0.3)),
        SwiGlu(SwiGluConfig::new(4, 3)),
        SwiGlu(SwiGluConfig::new(4, 3).with_bias(true)),
        Selu,
        Sigmoid,
        Tanh,
        HardSigmoid(HardSigmoidConfig::new()),
        HardSigmoid(HardSigmoidConfig::new().with_alpha(0.4).with_beta(0.3)),
        HardSwish,
        Softplus(SoftplusConfig::new()),
        Softplus(SoftplusConfig::new().with_beta(2.5)),
        Softplus(SoftplusConfig::new().with_threshold(0.4)),
        Softsign,
        Elu(EluConfig::new()),
        Elu(EluConfig::new().with_alpha(0.6)),
        Celu(CeluConfig::new()),
        Celu(CeluConfig::new().with_alpha(0.6)),
        ThresholdedRelu(ThresholdedReluConfig::new().with_alpha(0.2)),
        HardShrink(HardShrinkConfig::new()),
        SoftShrink(SoftShrinkConfig::new()),
        Shrink(ShrinkConfig::new().with_bias(0.2)),
    ];
    for config in all {
        let layer = config.init(&device());
        table.layer(&format!("{config:?}"), SHAPE, layer, |layer: &Activation, x: Tensor<2>| {
            layer.forward(x)
        });
    }
    let gelu = Probe::new(4, Gelu.init(&device()));
    table.everywhere(
        "Gelu, ndarray too",
        gelu,
        data(SHAPE, 1),
        |model: &Probe<Activation>, x: Tensor<2>| readout(model.layer.forward(model.bent(x))),
    );
    table.finish();
}

/// An activation after two linear maps.
fn function<const E: usize>(
    table: &mut Table,
    name: &str,
    f: impl Fn(Tensor<2>) -> Tensor<E> + Send + Sync + 'static,
) {
    let linear = LinearConfig::new(4, 4).init(&device());
    table.layer(name, SHAPE, linear, move |linear: &Linear, x| f(linear.forward(x)));
}

#[test]
fn modules_outside_the_selection() {
    let mut table = Table::new("Activation modules");
    function(&mut table, "Hardtanh", |x| HardtanhConfig::new().init().forward(x));
    function(&mut table, "Hardtanh, other bounds", |x| {
        HardtanhConfig::new().with_min_val(-0.3).with_max_val(0.6).init().forward(x)
    });
    function(&mut table, "LogSigmoid", |x| LogSigmoid::new().forward(x));
    function(&mut table, "Mish", |x| Mish::new().forward(x));
    function(&mut table, "Relu6", |x| Relu6::new().forward(x * 4.0));
    function(&mut table, "SiLU", |x| SiLU::new().forward(x));
    function(&mut table, "Tanhshrink", |x| Tanhshrink::new().forward(x));
    function(&mut table, "Threshold", |x| ThresholdConfig::new(0.1, -0.4).init().forward(x));
    function(&mut table, "GLU", |x| GLU::new(1).forward(x));
    table.layer("RRelu", SHAPE, RReluConfig::new().init(), |layer: &RRelu, x: Tensor<2>| {
        layer.forward(x)
    });
    let channels = PReluConfig::new().with_num_parameters(3).init(&device());
    table.layer("PRelu of channels", [2, 3, 4], channels, |layer: &PRelu, x: Tensor<3>| {
        layer.forward(x)
    });
    table.finish();
}

#[test]
fn functions() {
    let mut table = Table::new("tensor::activation");
    function(&mut table, "relu", activation::relu);
    function(&mut table, "leaky_relu", |x| activation::leaky_relu(x, 0.2));
    function(&mut table, "leaky_relu, negative", |x| activation::leaky_relu(x, -0.2));
    function(&mut table, "hardtanh", |x| activation::hardtanh(x, -0.5, 0.7));
    function(&mut table, "tanhshrink", activation::tanhshrink);
    function(&mut table, "relu6", |x| activation::relu6(x * 4.0));
    function(&mut table, "gelu", activation::gelu);
    function(&mut table, "gelu_approximate", activation::gelu_approximate);
    function(&mut table, "softmax of rows", |x| activation::softmax(x, 1));
    function(&mut table, "softmax of columns", |x| activation::softmax(x, 0));
    function(&mut table, "softmin", |x| activation::softmin(x, 1));
    function(&mut table, "quiet_softmax", |x| activation::quiet_softmax(x, 1));
    function(&mut table, "log_softmax", |x| activation::log_softmax(x, 1));
    function(&mut table, "log_softmax of columns", |x| activation::log_softmax(x, 0));
    function(&mut table, "softplus", |x| activation::softplus(x, 1.3));
    function(&mut table, "softplus_with_threshold", |x| {
        activation::softplus_with_threshold(x, 1.3, 0.5)
    });
    function(&mut table, "sigmoid", activation::sigmoid);
    function(&mut table, "hard_sigmoid", |x| activation::hard_sigmoid(x, 0.3, 0.4));
    function(&mut table, "log_sigmoid", activation::log_sigmoid);
    function(&mut table, "silu", activation::silu);
    function(&mut table, "hard_swish", |x| activation::hard_swish(x * 2.0));
    function(&mut table, "mish", activation::mish);
    function(&mut table, "tanh", activation::tanh);
    function(&mut table, "elu", |x| activation::elu(x, 0.8));
    function(&mut table, "celu", |x| activation::celu(x, 0.8));
    function(&mut table, "selu", activation::selu);
    function(&mut table, "thresholded_relu", |x| activation::thresholded_relu(x, 0.3));
    function(&mut table, "threshold", |x| activation::threshold(x, 0.3, -0.2));
    function(&mut table, "glu", |x| activation::glu(x.slice(0..4), 0));
    function(&mut table, "softsign", activation::softsign);
    function(&mut table, "hard_shrink", |x| activation::hard_shrink(x, 0.3));
    function(&mut table, "soft_shrink", |x| activation::soft_shrink(x, 0.3));
    function(&mut table, "shrink", |x| activation::shrink(x, 0.3, 0.1));
    function(&mut table, "prelu", |x| {
        let alpha = Tensor::<1>::from_floats([0.1, 0.2, -0.3, 0.4], &x.device());
        activation::prelu(x, alpha)
    });
    table.finish();
}

#[test]
fn far_from_the_origin() {
    let mut table = Table::new("Activations of large values");
    function(&mut table, "sigmoid", |x| activation::sigmoid(x * 15.0));
    function(&mut table, "log_sigmoid", |x| activation::log_sigmoid(x * 15.0));
    function(&mut table, "softplus", |x| activation::softplus(x * 15.0, 1.0));
    function(&mut table, "silu", |x| activation::silu(x * 15.0));
    function(&mut table, "gelu", |x| activation::gelu(x * 3.0));
    function(&mut table, "mish", |x| activation::mish(x * 10.0));
    function(&mut table, "tanh", |x| activation::tanh(x * 5.0));
    function(&mut table, "log_softmax", |x| activation::log_softmax(x * 15.0, 1));
    function(&mut table, "softmax", |x| activation::softmax(x * 5.0, 1));
    table.finish();
}
