//! The matrices of average pools and interpolations, one dimension at a time, as Burn's Flex and NdArray compute
//! them.

use std::f64::consts::PI;

use super::AxisMap;
use crate::graph::{Interpolation, PoolWindow};

/// Average pool. A window counts its elements, or also the padding it covers, but never what lies beyond.
pub(super) fn averages(
    window: &PoolWindow,
    axis: usize,
    size: usize,
    target: usize,
    count_padding: bool,
) -> AxisMap {
    let (kernel, stride, padding) =
        (window.kernel[axis], window.stride[axis], window.padding[axis]);
    if kernel == 1 && stride == 1 && padding == 0 {
        return AxisMap::Identity;
    }
    let row = |output: usize| {
        let start = output * stride;
        let padded_end = (start + kernel).min(size + 2 * padding);
        let inside = start.max(padding)..padded_end.min(size + padding);
        let count = if count_padding { padded_end.saturating_sub(start) } else { inside.len() };
        share(size, inside.start - padding..(inside.end.max(inside.start) - padding), count)
    };
    AxisMap::Mix((0..target).map(row).collect())
}

/// Adaptive average pool: output `o` averages inputs `⌊o·n/m⌋ .. ⌈(o+1)·n/m⌉`.
pub(super) fn equal_shares(size: usize, target: usize) -> AxisMap {
    if size == target {
        return AxisMap::Identity;
    }
    let row = |output: usize| {
        let range = output * size / target..((output + 1) * size).div_ceil(target);
        let count = range.len();
        share(size, range, count)
    };
    AxisMap::Mix((0..target).map(row).collect())
}

fn share(size: usize, range: std::ops::Range<usize>, count: usize) -> Vec<f64> {
    let weight = 1.0 / count.max(1) as f64;
    (0..size).map(|index| if range.contains(&index) { weight } else { 0.0 }).collect()
}

/// Interpolation from `size` to `target` points.
pub(super) fn interpolation(
    mode: Interpolation,
    size: usize,
    target: usize,
    align_corners: bool,
) -> AxisMap {
    let scale = size as f64 / target as f64;
    let pick = |source: &dyn Fn(usize) -> usize| {
        AxisMap::Pick((0..target).map(|output| source(output).min(size - 1)).collect())
    };
    let coordinate = |output: usize| {
        if align_corners {
            output as f64 * ((size - 1) as f64 / target.saturating_sub(1).max(1) as f64)
        } else {
            (output as f64 + 0.5) * scale - 0.5
        }
    };
    let mix = |row: fn(f64, usize) -> Vec<f64>| {
        AxisMap::Mix((0..target).map(|output| row(coordinate(output), size)).collect())
    };
    match mode {
        Interpolation::Nearest => pick(&|output| (output as f64 * scale).floor() as usize),
        Interpolation::NearestExact => pick(&|output| (2 * output + 1) * size / (2 * target)),
        Interpolation::Bilinear => mix(linear_row),
        Interpolation::Bicubic => mix(cubic_row),
        Interpolation::Lanczos3 => mix(lanczos_row),
    }
}

/// Two neighbors; beyond the border, the border.
fn linear_row(coordinate: f64, size: usize) -> Vec<f64> {
    let coordinate = coordinate.clamp(0.0, (size - 1) as f64);
    let low = coordinate.floor() as usize;
    let weight = coordinate - low as f64;
    let mut row = vec![0.0; size];
    row[low] += 1.0 - weight;
    row[(low + 1).min(size - 1)] += weight;
    row
}

/// Four neighbors by Keys' cubic with a = −¾; beyond the border, the border.
fn cubic_row(coordinate: f64, size: usize) -> Vec<f64> {
    const A: f64 = -0.75;
    let weight = |distance: f64| {
        let t = distance.abs();
        if t < 1.0 {
            ((A + 2.0) * t - (A + 3.0)) * t * t + 1.0
        } else if t < 2.0 {
            ((A * t - 5.0 * A) * t + 8.0 * A) * t - 4.0 * A
        } else {
            0.0
        }
    };
    let base = coordinate.floor();
    let mut row = vec![0.0; size];
    for offset in -1..=2_isize {
        let index = (base as isize + offset).clamp(0, size as isize - 1);
        row[index.unsigned_abs()] += weight(coordinate - base - offset as f64);
    }
    row
}

/// Six neighbors by Lanczos' windowed sinc, those beyond the border left out and the rest scaled to sum one.
fn lanczos_row(coordinate: f64, size: usize) -> Vec<f64> {
    let weight = |x: f64| match x.abs() {
        0.0 => 1.0,
        far if far >= 3.0 => 0.0,
        _ => (PI * x).sin() * (PI * x / 3.0).sin() / (PI * x * (PI * x / 3.0)),
    };
    let base = coordinate.floor();
    let mut row = vec![0.0; size];
    for offset in -2..=3_isize {
        let index = base as isize + offset;
        if (0..size as isize).contains(&index) {
            row[index.unsigned_abs()] += weight(coordinate - (base + offset as f64));
        }
    }
    let sum: f64 = row.iter().sum();
    if sum != 0.0 {
        row.iter_mut().for_each(|weight| *weight /= sum);
    }
    row
}
