//! Draws a picture without a graphics card. `browser/gl` draws the same; tests compare.

use pacs_core::pixel::VoiLut;

use crate::camera::Placement;
use crate::picture::{Picture, Texels};

/// RGBA, row by row, of a canvas of `width` × `height` device pixels; what the image does not cover is black.
///
/// Between pixels `smooth` interpolates the stored values, not the greys: the window is applied last.
pub fn draw(picture: &Picture<'_>, placement: Placement, smooth: bool, width: usize, height: usize) -> Vec<u8> {
    let shade = shader(picture);
    let mut rgba = Vec::with_capacity(width * height * 4);
    for y in 0..height {
        for x in 0..width {
            let column = (x as f64 + 0.5 - placement.x) / placement.column_px;
            let row = (y as f64 + 0.5 - placement.y) / placement.row_px;
            let inside =
                (0.0..f64::from(picture.columns)).contains(&column) && (0.0..f64::from(picture.rows)).contains(&row);
            let [red, green, blue] = if inside { shade(sample(picture, column, row, smooth)) } else { [0; 3] };
            rgba.extend([red, green, blue, 255]);
        }
    }
    rgba
}

/// Texel value, or red, green and blue, to display values.
fn shader(picture: &Picture<'_>) -> impl Fn([f64; 3]) -> [u8; 3] {
    let inverted = picture.inverted;
    let tone = picture.tone.clone().map(|tone| (tone.slope, tone.intercept, VoiLut::Window(tone.window)));
    let finish = move |value: f64| {
        let value = if inverted { 1.0 - value } else { value };
        (value * 255.0).round() as u8
    };
    move |values| match &tone {
        Some((slope, intercept, voi_lut)) => [finish(voi_lut.apply(values[0] * slope + intercept)); 3],
        None => values.map(|value| finish(value / 255.0)),
    }
}

/// Value at a place given in texel edges: texel c covers c..c+1.
fn sample(picture: &Picture<'_>, column: f64, row: f64, smooth: bool) -> [f64; 3] {
    if !smooth {
        return texel(picture, column.floor(), row.floor());
    }
    let (left, top) = ((column - 0.5).floor(), (row - 0.5).floor());
    let (across, down) = (column - 0.5 - left, row - 0.5 - top);
    let mix = |a: [f64; 3], b: [f64; 3], t: f64| [0, 1, 2].map(|i| a[i] + (b[i] - a[i]) * t);
    let line = |row| mix(texel(picture, left, row), texel(picture, left + 1.0, row), across);
    mix(line(top), line(top + 1.0), down)
}

/// The texel at a place, that of the border beyond it.
fn texel(picture: &Picture<'_>, column: f64, row: f64) -> [f64; 3] {
    let clamp = |at: f64, count: u16| at.clamp(0.0, f64::from(count.saturating_sub(1))) as usize;
    let at = clamp(row, picture.rows) * usize::from(picture.columns) + clamp(column, picture.columns);
    match &picture.texels {
        Texels::I16(v) => [v.get(at).map_or(0.0, |value| f64::from(*value)); 3],
        Texels::U16(v) => [v.get(at).map_or(0.0, |value| f64::from(*value)); 3],
        Texels::F32(v) => [v.get(at).map_or(0.0, |value| f64::from(*value)); 3],
        Texels::Rgb8(v) => [0, 1, 2].map(|i| v.get(at * 3 + i).map_or(0.0, |value| f64::from(*value))),
    }
}
