//! Rows of small images with captions, as SVG, and without captions as PNG. Independent of what is drawn.

use std::{
    error::Error,
    fs,
    io::Write,
    path::{Path, PathBuf},
};

use flate2::{Compression, Crc, write::ZlibEncoder};
use plotters::prelude::*;

/// Pixels of an image along each side.
const SIDE: usize = 8;
/// Size of a pixel on the page.
const ZOOM: usize = 12;
/// Space around an image, and the height of a line of text.
const GAP: usize = 16;
const TEXT: usize = 20;

/// An image, values from 0 (white) to 1 (black), and what is written below it.
pub struct Tile {
    pub pixels: Vec<f32>,
    pub caption: String,
}

/// Rows of images, each under a title.
pub struct Mosaic {
    columns: usize,
    rows: Vec<(String, Vec<Tile>)>,
}

impl Mosaic {
    pub fn new(columns: usize) -> Self {
        Self { columns, rows: Vec::new() }
    }

    pub fn row(&mut self, title: &str, tiles: impl IntoIterator<Item = Tile>) {
        self.rows.push((title.into(), tiles.into_iter().collect()));
    }

    /// Writes `target/<name>.svg` and `target/<name>.png`.
    pub fn save(&self, name: &str) -> Result<[PathBuf; 2], Box<dyn Error>> {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("target");
        fs::create_dir_all(&folder)?;
        let files = ["svg", "png"].map(|ending| folder.join(format!("{name}.{ending}")));
        self.page(&files[0])?;
        fs::write(&files[1], self.picture()?)?;
        Ok(files)
    }

    fn page(&self, file: &Path) -> Result<(), Box<dyn Error>> {
        let tall = 2 * TEXT + SIDE * ZOOM + GAP;
        let size = (GAP + self.columns * (SIDE * ZOOM + GAP), GAP + self.rows.len() * tall);
        let page = SVGBackend::new(file, (size.0 as u32, size.1 as u32)).into_drawing_area();
        page.fill(&WHITE)?;
        let place = |x: usize, y: usize| (x as i32, y as i32);
        for (row, (title, tiles)) in self.rows.iter().enumerate() {
            let top = GAP + row * tall;
            page.draw(&Text::new(title.as_str(), place(GAP, top), ("sans-serif", 16)))?;
            for (column, tile) in tiles.iter().enumerate() {
                let (left, top) = (GAP + column * (SIDE * ZOOM + GAP), top + TEXT);
                for (index, value) in tile.pixels.iter().enumerate() {
                    let (x, y) = (left + index % SIDE * ZOOM, top + index / SIDE * ZOOM);
                    let corners = [place(x, y), place(x + ZOOM, y + ZOOM)];
                    let gray = gray(*value);
                    page.draw(&Rectangle::new(corners, RGBColor(gray, gray, gray).filled()))?;
                }
                let below = place(left, top + SIDE * ZOOM + 4);
                page.draw(&Text::new(tile.caption.as_str(), below, ("sans-serif", 13)))?;
            }
        }
        page.present()?;
        Ok(())
    }

    /// The images as a gray PNG of 8 bits.
    fn picture(&self) -> Result<Vec<u8>, Box<dyn Error>> {
        let step = SIDE * ZOOM + GAP;
        let (width, height) = (GAP + self.columns * step, GAP + self.rows.len() * step);
        let mut gray_values = vec![255; width * height];
        for (row, (_, tiles)) in self.rows.iter().enumerate() {
            for (column, tile) in tiles.iter().enumerate() {
                for (y, x) in (0..SIDE * ZOOM).flat_map(|y| (0..SIDE * ZOOM).map(move |x| (y, x))) {
                    let value = tile.pixels.get(y / ZOOM * SIDE + x / ZOOM).copied();
                    let at = (GAP + row * step + y) * width + GAP + column * step + x;
                    gray_values[at] = gray(value.unwrap_or(0.0));
                }
            }
        }
        // Each line starts with the number of its filter, 0 for none.
        let lines = gray_values.chunks(width).flat_map(|line| [&[0], line].concat());
        let mut packed = ZlibEncoder::new(Vec::new(), Compression::default());
        packed.write_all(&lines.collect::<Vec<u8>>())?;
        let size = [width, height].map(|length| (length as u32).to_be_bytes()).concat();
        let mut png = b"\x89PNG\r\n\x1a\n".to_vec();
        png.extend(chunk(b"IHDR", &[size.as_slice(), &[8, 0, 0, 0, 0]].concat()));
        png.extend(chunk(b"IDAT", &packed.finish()?));
        png.extend(chunk(b"IEND", &[]));
        Ok(png)
    }
}

/// Paper is white, ink is black.
fn gray(value: f32) -> u8 {
    255 - (255.0 * value.clamp(0.0, 1.0)) as u8
}

/// Length, name, data and checksum.
fn chunk(name: &[u8; 4], data: &[u8]) -> Vec<u8> {
    let mut checksum = Crc::new();
    checksum.update(name);
    checksum.update(data);
    let length = (data.len() as u32).to_be_bytes();
    [length.as_slice(), name, data, &checksum.sum().to_be_bytes()].concat()
}
