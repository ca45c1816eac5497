//! Text with a font that is compiled in, since a bare machine has none. Knows no picture.

use std::convert::Infallible;

use ab_glyph::{Font, FontRef, GlyphId, InvalidFont, PxScale, ScaleFont, point};
use plotters_backend::{
    BackendColor, BackendCoord, BackendTextStyle, FontFamily, FontTransform,
    text_anchor::{HPos, Pos, VPos},
};

/// The backends take the size of a line, which is so much larger than the letters.
const LINE: f64 = 1.24;

/// A typeface.
pub struct Typeface {
    font: FontRef<'static>,
}

impl Typeface {
    pub fn new() -> Result<Self, InvalidFont> {
        let font = FontRef::try_from_slice(epaint_default_fonts::UBUNTU_LIGHT)?;
        Ok(Self { font })
    }

    /// A style of letters of so many pixels.
    pub fn style(&self, pixels: f64, anchor: HPos) -> Style<'_> {
        Style {
            font: &self.font,
            pixels,
            anchor: Pos::new(anchor, VPos::Center),
            colour: super::chart::INK,
            upwards: false,
        }
    }
}

/// How a text is set.
#[derive(Clone)]
pub struct Style<'a> {
    font: &'a FontRef<'static>,
    pixels: f64,
    anchor: Pos,
    colour: BackendColor,
    upwards: bool,
}

impl Style<'_> {
    /// From bottom to top.
    pub fn upwards(self) -> Self {
        Self {
            upwards: true,
            ..self
        }
    }

    /// The scale at which an em is so many pixels.
    fn scale(&self) -> PxScale {
        let em = self.font.units_per_em().unwrap_or(1000.0);
        PxScale::from(self.pixels as f32 * self.font.height_unscaled() / em)
    }

    /// Each glyph with its distance from the start, and the width of all.
    fn set(&self, text: &str) -> (Vec<(GlyphId, f32)>, f32) {
        let scaled = self.font.as_scaled(self.scale());
        let mut glyphs = Vec::new();
        let mut width = 0.0;
        for character in text.chars() {
            let glyph = self.font.glyph_id(character);
            glyphs.push((glyph, width));
            width += scaled.h_advance(glyph);
        }
        (glyphs, width)
    }
}

impl BackendTextStyle for Style<'_> {
    type FontError = Infallible;

    fn color(&self) -> BackendColor {
        self.colour
    }

    fn size(&self) -> f64 {
        LINE * self.pixels
    }

    fn transform(&self) -> FontTransform {
        match self.upwards {
            true => FontTransform::Rotate270,
            false => FontTransform::None,
        }
    }

    fn anchor(&self) -> Pos {
        self.anchor
    }

    fn family(&self) -> FontFamily<'_> {
        FontFamily::SansSerif
    }

    fn layout_box(&self, text: &str) -> Result<(BackendCoord, BackendCoord), Infallible> {
        let height = self.font.as_scaled(self.scale()).height();
        Ok(((0, 0), (self.set(text).1 as i32, height as i32)))
    }

    fn draw<E, D: FnMut(i32, i32, BackendColor) -> Result<(), E>>(
        &self,
        text: &str,
        (left, top): BackendCoord,
        mut draw: D,
    ) -> Result<Result<(), E>, Infallible> {
        let baseline = self.font.as_scaled(self.scale()).ascent();
        let mut result = Ok(());
        for (glyph, start) in self.set(text).0 {
            let placed = glyph.with_scale_and_position(self.scale(), point(start, baseline));
            let Some(outline) = self.font.outline_glyph(placed) else {
                continue;
            };
            let corner = outline.px_bounds().min;
            outline.draw(|x, y, coverage| {
                if result.is_ok() {
                    let x = left + corner.x as i32 + x as i32;
                    let y = top + corner.y as i32 + y as i32;
                    result = draw(x, y, self.colour.mix(f64::from(coverage.min(1.0))));
                }
            });
        }
        Ok(result)
    }
}
