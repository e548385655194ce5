//! Where the image lies in the viewport, and which way the patient is turned there.

use pacs_core::geometry::Plane;

/// CSS pixels per image column.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub enum Zoom {
    /// The whole image, as large as fits.
    #[default]
    Fit,
    Scale(f64),
}

/// How the reader has moved the image; `pan` is in CSS pixels from the centred position.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Camera {
    pub zoom: Zoom,
    pub pan: [f64; 2],
}

/// Size of an image in columns and rows, and the height of a pixel over its width.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Extent {
    pub columns: f64,
    pub rows: f64,
    pub pixel_aspect: f64,
}

/// Affine map from image index to viewport: the left edge of column c is at `x + c * column_px`.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Placement {
    pub x: f64,
    pub y: f64,
    pub column_px: f64,
    pub row_px: f64,
}

const SMALLEST: f64 = 0.02;
const LARGEST: f64 = 64.0;

impl Camera {
    /// CSS pixels per column in a viewport of `size`.
    pub fn scale(&self, extent: Extent, size: [f64; 2]) -> f64 {
        match self.zoom {
            Zoom::Scale(scale) => scale,
            Zoom::Fit => (size[0] / extent.columns).min(size[1] / (extent.rows * extent.pixel_aspect)).max(SMALLEST),
        }
    }

    pub fn place(&self, extent: Extent, size: [f64; 2]) -> Placement {
        let column_px = self.scale(extent, size);
        let row_px = column_px * extent.pixel_aspect;
        Placement {
            x: (size[0] - extent.columns * column_px) / 2.0 + self.pan[0],
            y: (size[1] - extent.rows * row_px) / 2.0 + self.pan[1],
            column_px,
            row_px,
        }
    }

    /// Zooms by `factor`, the point `at` of the viewport staying where it is.
    pub fn zoomed(&self, factor: f64, at: [f64; 2], extent: Extent, size: [f64; 2]) -> Self {
        let before = self.scale(extent, size);
        let after = (before * factor).clamp(SMALLEST, LARGEST);
        let ratio = after / before;
        let pan = [0, 1].map(|i| {
            let from_centre = at[i] - size[i] / 2.0;
            from_centre - (from_centre - self.pan[i]) * ratio
        });
        Self { zoom: Zoom::Scale(after), pan }
    }

    pub fn panned(&self, by: [f64; 2]) -> Self {
        Self { pan: [self.pan[0] + by[0], self.pan[1] + by[1]], ..*self }
    }
}

impl Placement {
    /// Viewport point of (column, row), whole numbers being pixel centres.
    pub fn to_viewport(&self, column: f64, row: f64) -> [f64; 2] {
        [self.x + (column + 0.5) * self.column_px, self.y + (row + 0.5) * self.row_px]
    }

    /// The same placement on a canvas with `ratio` device pixels a CSS pixel.
    pub fn scaled(&self, ratio: f64) -> Self {
        Self { x: self.x * ratio, y: self.y * ratio, column_px: self.column_px * ratio, row_px: self.row_px * ratio }
    }
}

/// The patient's sides at the edges of the viewport, as PS3.3 C.7.6.1.1.1 letters.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct EdgeLetters {
    pub left: String,
    pub right: String,
    pub top: String,
    pub bottom: String,
}

impl EdgeLetters {
    pub fn of_plane(plane: &Plane) -> Self {
        Self::of_directions(&letters(plane.row), &letters(plane.column))
    }

    /// From Patient Orientation (0020,0020): the directions of the rows and of the columns.
    pub fn of_directions(row: &str, column: &str) -> Self {
        Self { left: opposite(row), right: row.to_owned(), top: opposite(column), bottom: column.to_owned() }
    }
}

/// A direction counts from about 11 degrees off the others.
const NOTICEABLE: f64 = 0.2;

/// Letters of a patient direction (LPS), the strongest first.
fn letters(direction: [f64; 3]) -> String {
    let names = [['L', 'R'], ['P', 'A'], ['H', 'F']];
    let mut parts: Vec<(f64, char)> = (direction.iter().zip(names))
        .map(|(component, [plus, minus])| (component.abs(), if *component >= 0.0 { plus } else { minus }))
        .filter(|(size, _)| *size > NOTICEABLE)
        .collect();
    parts.sort_by(|a, b| b.0.total_cmp(&a.0));
    parts.into_iter().map(|(_, letter)| letter).collect()
}

fn opposite(letters: &str) -> String {
    let turn = |letter| match letter {
        'L' => 'R',
        'R' => 'L',
        'A' => 'P',
        'P' => 'A',
        'H' => 'F',
        'F' => 'H',
        other => other,
    };
    letters.chars().map(turn).collect()
}

/// A round length in mm whose bar is at most `longest_px` long, and the bar's length in pixels.
pub fn scale_bar(mm_per_px: f64, longest_px: f64) -> Option<(f64, f64)> {
    if !(mm_per_px.is_finite() && mm_per_px > 0.0) {
        return None;
    }
    let steps = [500.0, 200.0, 100.0, 50.0, 20.0, 10.0, 5.0, 2.0, 1.0, 0.5];
    let mm = steps.into_iter().find(|mm| mm / mm_per_px <= longest_px)?;
    Some((mm, mm / mm_per_px))
}

#[cfg(test)]
mod tests {
    use super::*;

    const SQUARE: Extent = Extent { columns: 512.0, rows: 512.0, pixel_aspect: 1.0 };

    fn plane(row: [f64; 3], column: [f64; 3]) -> Plane {
        Plane { position: [0.0; 3], row, column, row_spacing_mm: 1.0, column_spacing_mm: 1.0 }
    }

    #[test]
    fn a_fitted_image_is_centred_and_whole() {
        let place = Camera::default().place(SQUARE, [1024.0, 768.0]);
        assert_eq!(place, Placement { x: 128.0, y: 0.0, column_px: 1.5, row_px: 1.5 });
    }

    #[test]
    fn oblong_pixels_are_drawn_oblong() {
        let extent = Extent { pixel_aspect: 2.0, ..SQUARE };
        let place = Camera::default().place(extent, [1024.0, 1024.0]);
        assert_eq!((place.column_px, place.row_px), (1.0, 2.0));
    }

    #[test]
    fn zooming_keeps_the_point_under_the_pointer() {
        let (at, size) = ([200.0, 300.0], [800.0, 600.0]);
        let camera = Camera::default().panned([13.0, -7.0]);
        let under = |camera: &Camera| {
            let place = camera.place(SQUARE, size);
            [(at[0] - place.x) / place.column_px, (at[1] - place.y) / place.row_px]
        };
        let (before, after) = (under(&camera), under(&camera.zoomed(1.7, at, SQUARE, size)));
        assert!((0..2).all(|i| (before[i] - after[i]).abs() < 1e-9), "{before:?} {after:?}");
    }

    #[test]
    fn axial_coronal_and_sagittal_images_show_the_right_letters() {
        let check = |row, column, expected: [&str; 4]| {
            let edges = EdgeLetters::of_plane(&plane(row, column));
            assert_eq!([edges.left, edges.right, edges.top, edges.bottom], expected);
        };
        check([1.0, 0.0, 0.0], [0.0, 1.0, 0.0], ["R", "L", "A", "P"]);
        check([1.0, 0.0, 0.0], [0.0, 0.0, -1.0], ["R", "L", "H", "F"]);
        check([0.0, 1.0, 0.0], [0.0, 0.0, -1.0], ["A", "P", "H", "F"]);
        // Prone: the patient's left is on the viewer's left.
        check([-1.0, 0.0, 0.0], [0.0, -1.0, 0.0], ["L", "R", "P", "A"]);
        // Oblique by 45 degrees, the stronger letter first.
        check([0.8, 0.6, 0.0], [0.0, 0.0, -1.0], ["RA", "LP", "H", "F"]);
    }

    #[test]
    fn the_scale_bar_is_round_and_fits() {
        assert_eq!(scale_bar(0.7, 200.0), Some((100.0, 100.0 / 0.7)));
        assert_eq!(scale_bar(0.0, 200.0), None);
        assert_eq!(scale_bar(f64::NAN, 200.0), None);
    }
}
