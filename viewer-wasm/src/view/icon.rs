//! Small drawings for buttons; each button has its words as well.

use leptos::prelude::*;

/// Outlines on a 16 × 16 grid.
pub const BACK: &str = "M10 3 L5 8 L10 13";
pub const INVERT: &str = "M8 2 A6 6 0 0 0 8 14 Z M8 2 A6 6 0 0 1 8 14";
pub const FIT: &str = "M2 6 V2 H6 M10 2 H14 V6 M14 10 V14 H10 M6 14 H2 V10";
pub const RESET: &str = "M3 8 A5 5 0 1 0 5 4 M5 1 V4.5 H8.5";
pub const PLAY: &str = "M4 3 L13 8 L4 13 Z";
pub const STOP: &str = "M4 4 H12 V12 H4 Z";
pub const MARK: &str = "M8 3 A5 5 0 1 0 8 13 A5 5 0 1 0 8 3 M8 1 V4 M8 12 V15 M1 8 H4 M12 8 H15";
pub const SEARCH: &str = "M7 2 A5 5 0 1 0 7 12 A5 5 0 1 0 7 2 M10.6 10.6 L14.5 14.5";

#[component]
pub fn Icon(path: &'static str) -> impl IntoView {
    view! {
        <svg class="icon" viewBox="0 0 16 16" aria-hidden="true"><path d=path></path></svg>
    }
}
