//! Recurrent layers, in one direction and in both.

use burn::nn::{
    BiGru, BiGruConfig, BiLstm, BiLstmConfig, BiRnn, BiRnnConfig, Gru, GruConfig,
    HardSigmoidConfig, Lstm, LstmConfig, LstmState, Rnn, RnnConfig, activation::ActivationConfig,
};
use burn::prelude::*;

use super::{
    check::Table,
    probe::{Probe, data, device, readout},
};

const SHAPE: [usize; 3] = [2, 4, 3];

#[test]
fn lstm() {
    let mut table = Table::new("Lstm");
    let device = device();
    let config = || LstmConfig::new(3, 3, true);
    let rows = [
        ("plain", config()),
        ("without bias", LstmConfig::new(3, 3, false)),
        ("reverse", config().with_reverse(true)),
        ("sequence first", config().with_batch_first(false)),
        ("clipped", config().with_clip(Some(0.3))),
        ("input forget", config().with_input_forget(true)),
        ("other activations", config().with_cell_activation(ActivationConfig::Softsign)),
    ];
    for (name, config) in rows {
        table.layer(name, SHAPE, config.init(&device), |layer: &Lstm, x| layer.forward(x, None).0);
    }
    let state = |layer: &Lstm, x| {
        let state = layer.forward(x, None).1;
        Tensor::cat(vec![state.cell, state.hidden], 1)
    };
    table.layer("last state", SHAPE, config().init(&device), state);
    let model = || Probe::new(3, config().init(&device));
    table.model(
        "given state",
        model(),
        (data(SHAPE, 1), data([2, 3], 2)),
        |model: &Probe<Lstm>, (x, first)| {
            let state = LstmState::new(first.clone().tanh(), first);
            readout(model.layer.forward(model.bent(x), Some(state)).0)
        },
    );
    table.everywhere("ndarray too", model(), data(SHAPE, 1), |model: &Probe<Lstm>, x| {
        readout(model.layer.forward(model.bent(x), None).0)
    });
    table.finish();
}

#[test]
fn gru() {
    let mut table = Table::new("Gru");
    let device = device();
    let config = || GruConfig::new(3, 3, true);
    let rows = [
        ("plain", config()),
        ("without bias", GruConfig::new(3, 3, false)),
        ("reset before", config().with_reset_after(false)),
        ("clipped", config().with_clip(Some(0.3))),
        (
            "hard sigmoid",
            config().with_gate_activation(ActivationConfig::HardSigmoid(HardSigmoidConfig::new())),
        ),
    ];
    for (name, config) in rows {
        table.layer(name, SHAPE, config.init(&device), |layer: &Gru, x| layer.forward(x, None));
    }
    let model = Probe::new(3, config().init(&device));
    table.everywhere(
        "given state, ndarray too",
        model,
        (data(SHAPE, 1), data([2, 3], 2)),
        |model: &Probe<Gru>, (x, state)| readout(model.layer.forward(model.bent(x), Some(state))),
    );
    table.finish();
}

#[test]
fn plain_recurrence() {
    let mut table = Table::new("Rnn");
    let device = device();
    let config = || RnnConfig::new(3, 3, true);
    let forward = |layer: &Rnn, x| layer.forward(x, None).0;
    table.layer("plain", SHAPE, config().init(&device), forward);
    table.layer("reverse", SHAPE, config().with_reverse(true).init(&device), forward);
    let relu = config().with_hidden_activation(ActivationConfig::Relu);
    table.layer("relu", SHAPE, relu.init(&device), forward);
    let both = BiRnnConfig::new(3, 2, true).init(&device);
    table.layer("both directions", SHAPE, both, |layer: &BiRnn, x| layer.forward(x, None).0);
    table.finish();
}

#[test]
fn both_directions() {
    let mut table = Table::new("BiLstm, BiGru");
    let device = device();
    let lstm = |layer: &BiLstm, x| layer.forward(x, None).0;
    table.layer("BiLstm", SHAPE, BiLstmConfig::new(3, 2, true).init(&device), lstm);
    let first = BiLstmConfig::new(3, 2, true).with_batch_first(false).init(&device);
    table.layer("BiLstm, sequence first", SHAPE, first, lstm);
    let gru = |layer: &BiGru, x| layer.forward(x, None).0;
    table.layer("BiGru", SHAPE, BiGruConfig::new(3, 2, true).init(&device), gru);
    let before =
        BiGruConfig::new(3, 2, true).with_reset_after(false).with_batch_first(false).init(&device);
    table.layer("BiGru, reset before, sequence first", SHAPE, before, gru);
    table.finish();
}
