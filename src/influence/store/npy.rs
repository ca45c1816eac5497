//! Matrices in files of NumPy's format, version 1.0. Independent of what they hold.
//!
//! `\x93NUMPY`, the version, the length of a header, the header: a Python dictionary with element type, order and shape,
//! filled with spaces up to a multiple of 64 bytes; then the elements, row by row.

use crate::tensor::Precision;

const MAGIC: &[u8] = b"\x93NUMPY\x01\x00";
/// The data starts at a multiple of it.
const ALIGNMENT: usize = 64;

/// What a file starts with.
pub(super) fn header(precision: Precision, [rows, columns]: [usize; 2]) -> Vec<u8> {
    let element = format!("<f{}", precision.bytes());
    let text =
        format!("{{'descr': '{element}', 'fortran_order': False, 'shape': ({rows}, {columns}), }}");
    let length = MAGIC.len() + 2 + text.len() + 1;
    let padding = length.next_multiple_of(ALIGNMENT) - length;
    let header_length = (text.len() + padding + 1) as u16; // at most some 150 bytes
    let mut bytes = MAGIC.to_vec();
    bytes.extend(header_length.to_le_bytes());
    bytes.extend(text.as_bytes());
    bytes.extend(std::iter::repeat_n(b' ', padding));
    bytes.push(b'\n');
    bytes
}

/// A row as bytes.
pub(super) fn encoded(precision: Precision, row: &[f64]) -> Vec<u8> {
    match precision {
        Precision::F32 => row.iter().flat_map(|&value| (value as f32).to_le_bytes()).collect(),
        Precision::F64 => row.iter().flat_map(|value| value.to_le_bytes()).collect(),
    }
}

/// What [`encoded`] wrote.
pub(super) fn decoded(precision: Precision, bytes: &[u8]) -> Vec<f64> {
    match precision {
        Precision::F32 => {
            let elements = bytes.as_chunks().0.iter();
            elements.map(|&element| f64::from(f32::from_le_bytes(element))).collect()
        }
        Precision::F64 => {
            bytes.as_chunks().0.iter().map(|&element| f64::from_le_bytes(element)).collect()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{decoded, encoded, header};
    use crate::tensor::Precision;

    /// Byte by byte what `numpy.save` writes for `numpy.zeros((3, 1000))`.
    #[test]
    fn the_header_is_that_of_numpy() {
        let found = header(Precision::F64, [3, 1000]);
        let text = b"{'descr': '<f8', 'fortran_order': False, 'shape': (3, 1000), }";
        let mut expected = b"\x93NUMPY\x01\x00\x76\x00".to_vec();
        expected.extend(text);
        expected.resize(127, b' ');
        expected.push(b'\n');
        assert_eq!(found, expected);
        for size in [1, 99_999_999, usize::MAX / 2] {
            assert_eq!(header(Precision::F32, [size, size]).len() % 64, 0);
        }
    }

    #[test]
    fn numbers_come_back_bit_by_bit() {
        let row = [0.1, -0.0, 1e-300, f64::MAX];
        assert_eq!(decoded(Precision::F64, &encoded(Precision::F64, &row)), row);
        let narrow = [f64::from(0.1_f32), 3.0];
        assert_eq!(decoded(Precision::F32, &encoded(Precision::F32, &narrow)), narrow);
    }
}
