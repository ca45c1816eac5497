//! Pixels as a PNG file, by the library that reads the data. Knows no picture.

use std::{
    fs,
    io::{self, Write},
    path::Path,
};

use flate2::{Compression, Crc, write::ZlibEncoder};

/// Rows of red, green and blue, as drawn at twice the size; each pixel of the file is the mean of four.
pub fn write_halved(path: &Path, pixels: &[u8], (width, height): (u32, u32)) -> io::Result<()> {
    let mut data = ZlibEncoder::new(Vec::new(), Compression::best());
    let stride = 2 * 3 * width as usize;
    for rows in pixels.chunks_exact(2 * stride) {
        let (upper, lower) = rows.split_at(stride);
        data.write_all(&[0])?; // no filter
        for (upper, lower) in upper.chunks_exact(6).zip(lower.chunks_exact(6)) {
            let four = |i: usize| [upper[i], upper[i + 3], lower[i], lower[i + 3]];
            let mean = |i: usize| four(i).map(u16::from).iter().sum::<u16>().div_ceil(4) as u8;
            data.write_all(&[0, 1, 2].map(mean))?;
        }
    }
    let mut file = b"\x89PNG\r\n\x1a\n".to_vec();
    let size = [width.to_be_bytes(), height.to_be_bytes()].concat();
    chunk(&mut file, b"IHDR", &[size, vec![8, 2, 0, 0, 0]].concat()); // 8 bits each of red, green, blue
    chunk(&mut file, b"IDAT", &data.finish()?);
    chunk(&mut file, b"IEND", &[]);
    fs::write(path, file)
}

fn chunk(file: &mut Vec<u8>, kind: &[u8; 4], data: &[u8]) {
    let mut checksum = Crc::new();
    checksum.update(kind);
    checksum.update(data);
    file.extend((data.len() as u32).to_be_bytes());
    file.extend(kind);
    file.extend(data);
    file.extend(checksum.sum().to_be_bytes());
}
