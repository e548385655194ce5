//! Over the image: who, what, where in the corners, the patient's sides at the edges, findings and scale.

use leptos::prelude::*;

use super::{Ui, patient};
use crate::camera::EdgeLetters;
use crate::date;
use crate::i18n::Text;
use crate::marks::{self, Circle};
use crate::model::{Model, Msg, ReadingMsg};

#[component]
pub fn Overlay(ui: Ui) -> impl IntoView {
    view! {
        <Marks ui/>
        <Corner ui class="corner top left" lines=who/>
        <Corner ui class="corner top right" lines=study/>
        <Corner ui class="corner bottom left" lines=place/>
        <Corner ui class="corner bottom right" lines=look/>
        <Edges ui/>
        <Warning ui/>
    }
}

#[component]
fn Corner(ui: Ui, class: &'static str, lines: fn(&Model) -> Vec<String>) -> impl IntoView {
    let lines = ui.memo(lines);
    view! {
        <div class=class>{move || lines.get().into_iter().map(|line| view! { <p>{line}</p> }).collect_view()}</div>
    }
}

fn who(model: &Model) -> Vec<String> {
    let Some(slice) = model.viewer.as_ref().and_then(|viewer| viewer.slice()) else { return Vec::new() };
    let facts = &slice.facts;
    let born = patient::sex_and_birth(model.language, &facts.sex, &facts.birth_date, &facts.study_date);
    let name = patient::name(model.language, &facts.patient_name);
    said([name, patient::second_name(&facts.patient_name), facts.patient_id.clone(), born])
}

fn study(model: &Model) -> Vec<String> {
    let Some(slice) = model.viewer.as_ref().and_then(|viewer| viewer.slice()) else { return Vec::new() };
    let facts = &slice.facts;
    let when = format!("{} {}", date::display(&facts.study_date), date::display_time(&facts.study_time));
    let number = facts.series_number.map(|number| format!("{number} · ")).unwrap_or_default();
    let series = format!("{number}{} {}", facts.modality, facts.series_description);
    said([facts.study_description.clone(), when, series, facts.institution.clone()])
}

fn place(model: &Model) -> Vec<String> {
    let Some(viewer) = &model.viewer else { return Vec::new() };
    let Some(slice) = viewer.slice() else { return Vec::new() };
    let text = |text| model.language.text(text);
    let number = format!("{} {} / {}", text(Text::Slice), viewer.at + 1, viewer.slices().len());
    let location = slice.plane.map(|plane| format!("{} {} mm", text(Text::Location), tenths(plane.distance())));
    let thickness = slice.facts.thickness_mm.map(|mm| format!("{} {mm:.2} mm", text(Text::Thickness)));
    said([number, location.unwrap_or_default(), thickness.unwrap_or_default()])
}

fn look(model: &Model) -> Vec<String> {
    let Some(viewer) = &model.viewer else { return Vec::new() };
    let Some(slice) = viewer.slice() else { return Vec::new() };
    let text = |text| model.language.text(text);
    let grey = slice.image.as_ref().is_ok_and(|image| image.samples_per_pixel == 1 && image.palette.is_none());
    let window = model.shown().filter(|_| grey).map(|(slice, held)| {
        let window = viewer.shading.window(slice, held.range);
        format!("{} {} / {}", text(Text::WindowLevel), short(window.width), short(window.center))
    });
    let zoom = viewer
        .placement()
        .map(|place| format!("{} {:.0} %", text(Text::ZoomLabel), place.column_px * viewer.pixel_ratio * 100.0));
    let lossy = if slice.facts.lossy { text(Text::Lossy).to_owned() } else { String::new() };
    said([lossy, window.unwrap_or_default(), zoom.unwrap_or_default()])
}

/// One digit, and no minus before a zero: the distance of a slice through the origin is often -0.
fn tenths(value: f64) -> String {
    let text = format!("{value:.1}");
    if text == "-0.0" { "0.0".to_owned() } else { text }
}

/// Whole numbers where they are large, three digits where they are small.
fn short(value: f64) -> String {
    if value.abs() >= 10.0 || value == 0.0 { format!("{value:.0}") } else { format!("{value:.3}") }
}

fn said<const N: usize>(lines: [String; N]) -> Vec<String> {
    lines.into_iter().filter(|line| !line.trim().is_empty()).collect()
}

#[component]
fn Edges(ui: Ui) -> impl IntoView {
    let edges = ui.memo(|model| {
        let slice = model.viewer.as_ref().and_then(|viewer| viewer.slice());
        slice.map(|slice| slice.edges.clone()).unwrap_or_default()
    });
    let edge = move |class: &'static str, read: fn(EdgeLetters) -> String| {
        view! { <span class=class>{move || read(edges.get())}</span> }
    };
    view! {
        {edge("edge left", |edges| edges.left)}
        {edge("edge right", |edges| edges.right)}
        {edge("edge top", |edges| edges.top)}
        {edge("edge bottom", |edges| edges.bottom)}
    }
}

/// As long as anything of the AI is on the image.
#[component]
fn Warning(ui: Ui) -> impl IntoView {
    let shown =
        ui.memo(|model| model.viewer.as_ref().is_some_and(|v| v.show_findings && v.findings().next().is_some()));
    let words = ui.text(Text::NotForClinicalUse);
    view! {
        <p class="ai-warning" class:hidden=move || !shown.get()>"AI · "{words}</p>
    }
}

#[component]
fn Marks(ui: Ui) -> impl IntoView {
    let circles = ui.memo(|model| model.viewer.as_ref().map(marks::circles).unwrap_or_default());
    let scale = ui.memo(|model| {
        let detector = model.language.text(Text::AtDetector);
        let (mm, px, at_detector) = marks::scale(model.viewer.as_ref()?)?;
        Some((px, if at_detector { format!("{mm} mm ({detector})") } else { format!("{mm} mm") }))
    });
    view! {
        <svg class="marks" aria-hidden="true">
            {move || circles.get().into_iter().map(|circle| mark(ui, circle)).collect_view()}
        </svg>
        <div class="scale" class:hidden=move || scale.get().is_none()
            style:width=move || format!("{:.1}px", scale.get().map_or(0.0, |(px, _)| px))>
            {move || scale.get().map(|(_, text)| text)}
        </div>
    }
}

fn mark(ui: Ui, circle: Circle) -> impl IntoView {
    let Circle { report, number, x, y, radius, selected, long_axis_mm, estimated } = circle;
    let about = if estimated { "≈ " } else { "" };
    let corner = radius * std::f64::consts::FRAC_1_SQRT_2;
    let go = move |_| ui.send(Msg::Reading(ReadingMsg::GoToFinding { report: report.clone(), number }));
    view! {
        <g class="mark" class:selected=selected>
            <circle cx=x.to_string() cy=y.to_string() r=radius.to_string()></circle>
            <text x=(x + corner + 4.0).to_string() y=(y - corner - 2.0).to_string() on:click=go>
                {format!("{number} · {about}{long_axis_mm:.1} mm")}
            </text>
        </g>
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slice_through_the_origin_lies_at_zero() {
        assert_eq!([tenths(-0.0), tenths(-0.04), tenths(-0.06), tenths(12.34)], ["0.0", "0.0", "-0.1", "12.3"]);
    }

    #[test]
    fn windows_are_written_as_readers_say_them() {
        assert_eq!([short(1500.0), short(-600.4), short(0.0), short(0.0315)], ["1500", "-600", "0", "0.032"]);
    }
}
