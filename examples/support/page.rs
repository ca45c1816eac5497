//! Pictures as SVG and as PNG, with a font that is compiled in, since a bare machine has none. Knows no content.

use std::{
    error::Error,
    fs,
    path::{Path, PathBuf},
};

use plotters::{
    coord::{CoordTranslate, Shift},
    prelude::*,
    style::register_font,
};

pub type Drawn = Result<(), Box<dyn Error>>;

/// The page in pixels.
pub const PAGE: (u32, u32) = (1100, 640);
/// The family of all text.
pub const FONT: &str = "sans-serif";
pub const INK: RGBColor = RGBColor(45, 45, 45);
pub const FAINT: RGBColor = RGBColor(228, 228, 228);

/// Something that can be drawn on any backend.
pub trait Picture {
    fn paint<B: DrawingBackend<ErrorType: 'static>>(&self, page: &DrawingArea<B, Shift>) -> Drawn;
}

/// Draws a picture into `target`, under a name with `.svg` and `.png` behind it.
pub fn save(name: &str, picture: &impl Picture) -> Result<[PathBuf; 2], Box<dyn Error>> {
    register_font(FONT, FontStyle::Normal, epaint_default_fonts::UBUNTU_LIGHT)
        .map_err(|_| "the font is not readable")?;
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("target");
    fs::create_dir_all(&folder)?;
    let [svg, png] = ["svg", "png"].map(|kind| folder.join(format!("{name}.{kind}")));
    on(SVGBackend::new(&svg, PAGE).into_drawing_area(), picture)?;
    on(BitMapBackend::new(&png, PAGE).into_drawing_area(), picture)?;
    Ok([svg, png])
}

fn on<B: DrawingBackend<ErrorType: 'static>>(
    page: DrawingArea<B, Shift>,
    picture: &impl Picture,
) -> Drawn {
    page.fill(&WHITE)?;
    picture.paint(&page)?;
    Ok(page.present()?)
}

/// Text of a size.
pub fn text(size: u32) -> TextStyle<'static> {
    (FONT, size).into_font().color(&INK)
}

/// The legend of all that has a label.
pub fn legend<'a, B, C>(chart: &mut ChartContext<'a, B, C>) -> Drawn
where
    B: DrawingBackend<ErrorType: 'static> + 'a,
    C: CoordTranslate,
{
    chart
        .configure_series_labels()
        .label_font(text(17))
        .background_style(WHITE)
        .position(SeriesLabelPosition::UpperRight)
        .margin(12)
        .draw()?;
    Ok(())
}
