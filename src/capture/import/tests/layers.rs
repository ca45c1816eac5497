//! Layers as functions and as modules of `burn::nn`, in evaluation mode.

use burn::{
    module::Module as BurnModule,
    nn,
    tensor::{
        Device, module,
        ops::{
            AttentionModuleOptions, AvgPoolOptions, ConvOptions, ConvTransposeOptions,
            GridSampleOptions, GridSamplePaddingMode, InterpolateMode, InterpolateOptions,
            MaxPoolOptions, UnfoldOptions,
        },
    },
};

use super::{Source, check_all, entry, out};

/// The module on the device of the source.
fn moved<M: BurnModule>(module: &M, source: &Source) -> M {
    module.clone().to_device(&source.device)
}

#[test]
fn convolutions() {
    check_all(vec![
        entry("conv1d", |s| {
            let (x, w, b) = (s.float([2, 4, 7], 0.0), s.float([6, 2, 3], 1.0), s.float([6], 2.0));
            let options = ConvOptions::new([2], [1], [1], 2);
            vec![out(module::conv1d(x, w, Some(b), options))]
        }),
        entry("conv2d", |s| {
            let (x, w) = (s.float([2, 3, 6, 5], 3.0), s.float([4, 3, 3, 2], 4.0));
            let b = s.float([4], 5.0);
            let options = ConvOptions::new([1, 2], [1, 0], [1, 2], 1);
            let uneven = ConvOptions::new_with_padding([1, 1], [(0, 2), (1, 0)], [1, 1], 1);
            vec![
                out(module::conv2d(x.clone(), w.clone(), Some(b), options.clone())),
                out(module::conv2d(x.clone(), w.clone(), None, options)),
                out(module::conv2d(x, w, None, uneven)),
            ]
        }),
        entry("conv3d", |s| {
            let (x, w) = (s.float([1, 2, 4, 4, 3], 6.0), s.float([3, 2, 2, 3, 2], 7.0));
            let options = ConvOptions::new([1, 2, 1], [1, 1, 0], [1, 1, 1], 1);
            vec![out(module::conv3d(x, w, None, options))]
        }),
        entry("conv_transpose", |s| {
            let line = ConvTransposeOptions::new([2], [1], [1], [1], 2);
            let plane = ConvTransposeOptions::new([2, 1], [1, 0], [1, 0], [1, 2], 1);
            let space = ConvTransposeOptions::new([1, 2, 1], [0, 1, 0], [0, 1, 0], [1; 3], 1);
            let (x, w) = (s.float([2, 4, 3], 8.0), s.float([4, 3, 3], 9.0));
            let first = module::conv_transpose1d(x, w, None, line);
            let (x, w) = (s.float([2, 4, 3, 3], 10.0), s.float([4, 3, 3, 2], 11.0));
            let second = module::conv_transpose2d(x, w, Some(s.float([3], 12.0)), plane);
            let (x, w) = (s.float([1, 2, 3, 3, 2], 13.0), s.float([2, 3, 2, 3, 2], 14.0));
            let third = module::conv_transpose3d(x, w, None, space);
            vec![out(first), out(second), out(third)]
        }),
        entry("unfold and fold", |s| {
            let options = UnfoldOptions::new([2, 1], [1, 0], [1, 1]);
            let unfolded = module::unfold4d(s.float([2, 3, 4, 5], 15.0), [2, 3], options.clone());
            let folded = module::fold4d(unfolded.clone(), [4, 5], [2, 3], options);
            vec![out(unfolded), out(folded)]
        }),
    ]);
}

#[test]
fn pools_and_resizing() {
    check_all(vec![
        entry("averages", |s| {
            let mut even = AvgPoolOptions::new([3, 2]);
            even.padding = [(1, 1), (0, 0)];
            even.count_include_pad = false;
            even.stride = [2, 1];
            let x = s.float([2, 3, 6, 5], 0.0);
            vec![
                out(module::avg_pool2d(x.clone(), even)),
                out(module::avg_pool1d(s.float([2, 3, 7], 1.0), AvgPoolOptions::new([3]))),
                out(module::adaptive_avg_pool1d(s.float([2, 3, 7], 2.0), 3)),
                out(module::adaptive_avg_pool2d(x, [4, 2])),
                out(module::adaptive_avg_pool3d(s.float([1, 2, 4, 5, 3], 3.0), [2, 3, 2])),
            ]
        }),
        entry("maxima", |s| {
            let mut options = MaxPoolOptions::new([3, 2]);
            options.padding = [(1, 1), (0, 1)];
            options.stride = [1, 2];
            let x = s.float([2, 3, 6, 5], 4.0);
            let line = s.float([2, 3, 7], 5.0);
            let (values, indices) = module::max_pool2d_with_indices(x.clone(), options.clone());
            let (one, where_one) =
                module::max_pool1d_with_indices(line.clone(), MaxPoolOptions::new([3]));
            vec![
                out(module::max_pool2d(x, options)),
                out(module::max_pool1d(line, MaxPoolOptions::new([2]))),
                out(values),
                out(indices),
                out(one),
                out(where_one),
            ]
        }),
        entry("interpolate", |s| {
            let x = s.float([1, 2, 4, 5], 6.0);
            let modes = [
                InterpolateMode::Nearest,
                InterpolateMode::Bilinear,
                InterpolateMode::Bicubic,
                InterpolateMode::Lanczos3,
            ];
            let resize = |(mode, align)| {
                let options = InterpolateOptions::new(mode).with_align_corners(align);
                out(module::interpolate(x.clone(), options.with_output_size([7, 3])))
            };
            modes.into_iter().zip([true, false, true, false]).map(resize).collect()
        }),
        entry("grid_sample_2d", |s| {
            let (x, grid) = (s.float([2, 3, 4, 5], 7.0), s.float([2, 3, 2, 2], 8.0) * 1.3);
            let options = GridSampleOptions::new(InterpolateMode::Bilinear)
                .with_padding_mode(GridSamplePaddingMode::Reflection)
                .with_align_corners(true);
            let nearest = GridSampleOptions::new(InterpolateMode::Nearest);
            vec![
                out(x.clone().grid_sample_2d(grid.clone(), options)),
                out(x.grid_sample_2d(grid, nearest)),
            ]
        }),
    ]);
}

#[test]
fn functions_of_layers() {
    check_all(vec![
        entry("linear", |s| {
            let (x, w, b) = (s.float([2, 3, 4], 0.0), s.float([4, 5], 1.0), s.float([5], 2.0));
            vec![
                out(module::linear(x.clone(), w.clone(), Some(b))),
                out(module::linear(x, w, None)),
            ]
        }),
        entry("embedding", |s| {
            let (table, words) = (s.float([6, 3], 3.0), s.int([2, 3], &[5, 0, 0, 3, 1, 5]));
            vec![out(module::embedding(table, words))]
        }),
        entry("norms", |s| {
            let x = s.float([2, 3, 4], 4.0);
            let (gamma, beta) = (s.float([4], 5.0), s.float([4], 6.0));
            let (gain, shift) = (s.float([3], 7.0), s.float([3], 8.0));
            let (mean, variance) = (s.float([3], 9.0), s.positive([3], 10.0));
            vec![
                out(module::layer_norm(x.clone(), gamma.clone(), Some(beta), 1e-5)),
                out(module::layer_norm(x.clone(), gamma, None, 1e-5)),
                out(module::batch_norm(x, gain, shift, mean, variance, 1e-5)),
            ]
        }),
        entry("attention", |s| {
            let shape = [2, 2, 3, 4];
            let (q, k, v) = (s.float(shape, 11.0), s.float(shape, 12.0), s.float(shape, 13.0));
            let mask = s.bool([2, 2, 3, 3], &[0, 1, 0, 0, 0, 1].repeat(6));
            let bias = s.float([2, 2, 3, 3], 14.0);
            let options =
                AttentionModuleOptions { scale: Some(0.4), softcap: Some(2.0), is_causal: false };
            let causal = AttentionModuleOptions { is_causal: true, ..Default::default() };
            vec![
                out(module::attention(
                    q.clone(),
                    k.clone(),
                    v.clone(),
                    Some(mask),
                    Some(bias),
                    options,
                )),
                out(module::attention(q, k, v, None, None, causal)),
            ]
        }),
    ]);
}

#[test]
fn modules_of_norms_and_rows() {
    let device = Device::flex();
    let batch = nn::BatchNormConfig::new(3).init(&device);
    let group = nn::GroupNormConfig::new(2, 4).init(&device);
    let instance = nn::InstanceNormConfig::new(4).init(&device);
    let layer = nn::LayerNormConfig::new(5).init(&device);
    let rms = nn::RmsNormConfig::new(5).init(&device);
    let local = nn::LocalResponseNormConfig::new(3).init();
    let lstm = nn::LstmConfig::new(3, 4, true).init(&device);
    let gru = nn::GruConfig::new(3, 4, true).init(&device);
    let rnn = nn::RnnConfig::new(3, 4, true).init(&device);
    check_all(vec![
        entry("BatchNorm", move |s| {
            vec![out(moved(&batch, s).forward(s.float([2, 3, 4, 4], 0.0)))]
        }),
        entry("GroupNorm", move |s| vec![out(moved(&group, s).forward(s.float([2, 4, 5], 1.0)))]),
        entry("InstanceNorm", move |s| {
            vec![out(moved(&instance, s).forward(s.float([2, 4, 5], 2.0)))]
        }),
        entry("LayerNorm", move |s| vec![out(moved(&layer, s).forward(s.float([2, 4, 5], 3.0)))]),
        entry("RmsNorm", move |s| vec![out(moved(&rms, s).forward(s.float([2, 4, 5], 4.0)))]),
        entry("LocalResponseNorm", move |s| vec![out(local.forward(s.float([2, 4, 5, 5], 5.0)))]),
        entry("Lstm", move |s| {
            let (y, state) = moved(&lstm, s).forward(s.float([2, 4, 3], 6.0), None);
            vec![out(y), out(state.cell), out(state.hidden)]
        }),
        entry("Gru", move |s| vec![out(moved(&gru, s).forward(s.float([2, 4, 3], 7.0), None))]),
        entry("Rnn", move |s| vec![out(moved(&rnn, s).forward(s.float([2, 4, 3], 8.0), None).0)]),
    ]);
}

#[test]
fn modules_of_transformers() {
    let device = Device::flex();
    let encoder = nn::transformer::TransformerEncoderConfig::new(8, 16, 2, 2).init(&device);
    let decoder = nn::transformer::TransformerDecoderConfig::new(8, 16, 2, 1).init(&device);
    let embedding = nn::EmbeddingConfig::new(9, 8).init(&device);
    let positions = nn::PositionalEncodingConfig::new(8).init(&device);
    let rotary = nn::RotaryEncodingConfig::new(6, 8).init(&device);
    check_all(vec![
        entry("TransformerEncoder", move |s| {
            use nn::{
                attention::generate_autoregressive_mask, transformer::TransformerEncoderInput,
            };
            let words = s.int([2, 4], &[1, 5, 8, 0, 2, 2, 7, 3]);
            let hidden = s.bool([2, 4], &[0, 0, 0, 1, 0, 0, 1, 1]);
            let x =
                positions.clone().to_device(&s.device).forward(moved(&embedding, s).forward(words));
            let mask = generate_autoregressive_mask(2, 4, &s.device);
            let input = TransformerEncoderInput::new(x).mask_pad(hidden).mask_attn(mask);
            vec![out(moved(&encoder, s).forward(input))]
        }),
        entry("TransformerDecoder", move |s| {
            use nn::transformer::TransformerDecoderInput;
            let (target, memory) = (s.float([2, 3, 8], 0.0), s.float([2, 4, 8], 1.0));
            let input = TransformerDecoderInput::new(target, memory);
            vec![out(moved(&decoder, s).forward(input))]
        }),
        entry("RotaryEncoding", move |s| {
            vec![out(rotary.clone().to_device(&s.device).forward(s.float([2, 4, 8], 2.0)))]
        }),
    ]);
}

#[test]
fn other_modules() {
    let device = Device::flex();
    let conv = nn::conv::Conv2dConfig::new([1, 4], [3, 3])
        .with_padding(nn::PaddingConfig2d::Same)
        .init(&device);
    let up = nn::conv::ConvTranspose2dConfig::new([4, 2], [2, 2]).with_stride([2, 2]).init(&device);
    let swiglu = nn::SwiGluConfig::new(4, 6).init(&device);
    let prelu = nn::PReluConfig::new().init(&device);
    let dropout = nn::DropoutConfig::new(0.5).init();
    check_all(vec![
        entry("CNN", move |s| {
            let x = moved(&conv, s).forward(s.float([2, 1, 6, 6], 0.0));
            let x = nn::pool::MaxPool2dConfig::new([2, 2]).init().forward(dropout.forward(x));
            vec![out(moved(&up, s).forward(x))]
        }),
        entry("SwiGlu", move |s| vec![out(moved(&swiglu, s).forward(s.float([2, 4], 1.0)))]),
        entry("PRelu", move |s| vec![out(moved(&prelu, s).forward(s.float([2, 4], 2.0)))]),
        entry("PixelShuffle", |s| {
            let wide = nn::PixelShuffleConfig::new(2).init().forward(s.float([1, 8, 3, 3], 3.0));
            let back = nn::PixelUnshuffleConfig::new(2).init().forward(wide.clone());
            vec![out(wide), out(back)]
        }),
        entry("similarity and distance", |s| {
            let (x, y) = (s.float([3, 4], 4.0), s.float([3, 4], 5.0));
            vec![
                out(nn::CosineSimilarityConfig::new().init().forward(x.clone(), y.clone())),
                out(nn::PairwiseDistanceConfig::new().init().forward(x, y)),
            ]
        }),
    ]);
}
